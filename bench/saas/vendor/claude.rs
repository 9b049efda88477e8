//! Anthropic's Claude, web and API: `anthropic-allowed-org-ids` is an allow-list of organizations.
//!
//! Long lists: the base value ends in `;n=K` and the slots `anthropic-allowed-org-ids1` to `K-1` must all be there.
//! Copies and anything malformed are 400, a foreign organization is 403 `tenant_restriction_violation`. Source:
//! support.claude.com article 13198485.
//!
//! Who asks: an API key `sk-ant-org-UUID`, a bearer token `sk-ant-oat-UUID`, a cookie `sessionKey=sk-ant-sid-UUID`, or a
//! path `/api/organizations/UUID` names the organization; `sk-ant-permitted` and `sk-ant-foreign` stand for two of them.

use serde_json::{Value, json};

use crate::clock;
use crate::endpoint::unreadable;
use crate::request::{Request, Sent};
use crate::response::{Content, Response};

/// The web application and the console.
pub(crate) fn answer(request: &Request) -> Response {
    let organization = path_organization(request).or_else(|| organization(request));
    let response = match restricted(request, organization.as_deref()) {
        Err(refused) => *refused,
        Ok(()) => web(request, organization.as_deref()),
    };
    response.with("request-id", request_id())
}

/// api.anthropic.com.
pub(crate) fn answer_api(request: &Request) -> Response {
    let organization = organization(request);
    let response = match restricted(request, organization.as_deref()) {
        Err(refused) => *refused,
        Ok(()) => match organization {
            None => error(401, "authentication_error", "x-api-key header is required"),
            Some(organization) => api(request).with("anthropic-organization-id", organization),
        },
    };
    response.with("request-id", request_id())
}

fn web(request: &Request, organization: Option<&str>) -> Response {
    match (request.method(), request.segments().as_slice(), organization) {
        ("GET" | "HEAD", [] | ["login"], None) => Response::page(200, "Claude", "<p>Sign in to Claude.</p>"),
        ("GET" | "HEAD", [], Some(organization)) => {
            Response::page(200, "Claude", &format!("<p>You are signed in to organization {organization}.</p>"))
        }
        ("GET", ["api", "organizations"], Some(organization)) => {
            Response::json(200, &json!([{ "uuid": organization, "name": "An organization" }]))
        }
        ("GET", ["api", "organizations", ..], Some(organization)) => {
            Response::json(200, &json!({ "uuid": organization, "name": "An organization" }))
        }
        (_, ["api", ..], None) => error(401, "authentication_error", "Sign in first."),
        _ => error(404, "not_found_error", "Not found"),
    }
}

fn api(request: &Request) -> Response {
    match (request.method(), request.segments().as_slice()) {
        ("POST", ["v1", "messages"]) => messages(request),
        ("POST", ["v1", "messages", "count_tokens"]) => Response::json(200, &json!({ "input_tokens": 8 })),
        ("GET", ["v1", "models"]) => {
            let model = json!({
                "type": "model", "id": MODEL, "display_name": "Claude", "created_at": "2026-01-01T00:00:00Z",
            });
            Response::json(200, &json!({ "data": [model], "has_more": false, "first_id": MODEL, "last_id": MODEL }))
        }
        _ => error(404, "not_found_error", "Not found"),
    }
}

fn messages(request: &Request) -> Response {
    let Some(body) = request.json() else {
        return error(400, "invalid_request_error", "The body is not JSON.");
    };
    let (Some(model), Some(_), Some(_)) =
        (body["model"].as_str(), body["messages"].as_array(), body["max_tokens"].as_u64())
    else {
        return error(400, "invalid_request_error", "model, messages and max_tokens are required");
    };
    let mut message = json!({
        "id": format!("msg_{}", clock::uuid().replace('-', "")), "type": "message", "role": "assistant",
        "model": model, "content": [{ "type": "text", "text": TEXT }], "stop_reason": "end_turn",
        "stop_sequence": Value::Null, "usage": { "input_tokens": 8, "output_tokens": 4 },
    });
    if body["stream"].as_bool() != Some(true) {
        return Response::json(200, &message);
    }
    message["content"] = json!([]);
    message["stop_reason"] = Value::Null;
    Response::new(200, "text/event-stream; charset=utf-8", Content::Bytes(events(&message).into_bytes()))
}

fn events(message: &Value) -> String {
    let events = [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": TEXT } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({
            "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": Value::Null },
            "usage": { "output_tokens": 4 },
        }),
        json!({ "type": "message_stop" }),
    ];
    let encode = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default());
    events.iter().map(encode).collect()
}

/// Judges the headers, then the organization; a request that names none has nothing to be refused for.
fn restricted(request: &Request, organization: Option<&str>) -> Result<(), Box<Response>> {
    let allowed =
        allowed(request).map_err(|what| Box::new(error(400, "invalid_request_error", &format!("{HEADER}: {what}"))))?;
    match (allowed, organization) {
        (Some(allowed), Some(organization)) if !allowed.iter().any(|id| id.eq_ignore_ascii_case(organization)) => {
            Err(Box::new(violation()))
        }
        _ => Ok(()),
    }
}

/// The organizations of all slots; `None` when no restriction was sent.
fn allowed(request: &Request) -> Result<Option<Vec<&str>>, &'static str> {
    let base = unreadable(request, HEADER)?;
    let slots = (1..SLOTS_MAX).map(|slot| unreadable(request, &format!("{HEADER}{slot}")));
    let slots = slots.collect::<Result<Vec<_>, _>>()?;
    let Some(base) = base else {
        return if slots.iter().any(Option::is_some) { Err("numbered slots without the base") } else { Ok(None) };
    };
    let (base, count) = match base.split_once(";n=") {
        None => (base, 1),
        Some((base, count)) => (base, count.parse().map_err(|_| "n is not a number")?),
    };
    if !(1..=SLOTS_MAX).contains(&count) {
        return Err("n is out of range");
    }
    if sent_beyond(request, count) {
        return Err("a slot that n does not count");
    }
    let mut ids: Vec<&str> = base.split(',').collect();
    for slot in slots.into_iter().take(count - 1) {
        ids.extend(slot.ok_or("a declared slot is missing")?.split(','));
    }
    if ids.len() > IDS_MAX {
        return Err("too many organizations");
    }
    if ids.iter().any(|id| !clock::is_uuid(id)) {
        return Err("not a list of UUIDs without spaces");
    }
    Ok(Some(ids))
}

fn sent_beyond(request: &Request, count: usize) -> bool {
    let names = request.head.headers.iter().filter_map(|header| {
        let (start, rest) = header.name.split_at_checked(HEADER.len())?;
        start.eq_ignore_ascii_case(HEADER).then_some(rest)
    });
    names.filter_map(|rest| rest.parse::<usize>().ok()).any(|slot| slot >= count)
}

fn organization(request: &Request) -> Option<String> {
    let key = match request.sent("x-api-key") {
        Sent::Once(key) => Some(key),
        _ => None,
    };
    let token = key.or_else(|| request.bearer()).or_else(|| request.cookie("sessionKey"))?;
    let known = match token {
        "sk-ant-foreign" => FOREIGN,
        "sk-ant-permitted" => PERMITTED,
        token => token.get(token.len().checked_sub(36)?..)?,
    };
    clock::is_uuid(known).then(|| known.to_ascii_lowercase())
}

fn path_organization(request: &Request) -> Option<String> {
    match request.segments().as_slice() {
        ["api", "organizations", id, ..] if clock::is_uuid(id) => Some(id.to_ascii_lowercase()),
        _ => None,
    }
}

fn violation() -> Response {
    let details = json!({ "error_visibility": "user_facing", "error_code": "tenant_restriction_violation" });
    let message = "Access restricted by network policy. Contact IT Administrator.";
    let error = json!({ "type": "permission_error", "message": message, "details": details });
    Response::json(403, &json!({ "type": "error", "error": error, "request_id": request_id() }))
}

fn error(status: u16, kind: &str, message: &str) -> Response {
    let error = json!({ "type": kind, "message": message });
    Response::json(status, &json!({ "type": "error", "error": error, "request_id": request_id() }))
}

fn request_id() -> String {
    format!("req_{}", clock::uuid().replace('-', ""))
}

const HEADER: &str = "anthropic-allowed-org-ids";
const SLOTS_MAX: usize = 10;
const IDS_MAX: usize = 500;
const PERMITTED: &str = "11111111-2222-3333-4444-555555555555";
const FOREIGN: &str = "dddddddd-4444-4444-4444-dddddddddddd";
const MODEL: &str = "claude-simulated";
const TEXT: &str = "Hello from the simulated service.";

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: &str =
        "anthropic-allowed-org-ids: 11111111-2222-3333-4444-555555555555,66666666-7777-8888-9999-aaaaaaaaaaaa";

    fn api_call(headers: &[&str]) -> Response {
        let mut lines = vec!["POST /v1/messages HTTP/1.1"];
        lines.extend(headers);
        let body = r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#;
        answer_api(&Request::example("api.anthropic.com", &lines, body))
    }

    #[test]
    fn the_organization_of_the_key_decides() {
        assert_eq!(api_call(&["x-api-key: sk-ant-foreign"]).status, 200);
        assert_eq!(api_call(&["x-api-key: sk-ant-permitted", ALLOWED]).status, 200);
        let second = "Authorization: Bearer sk-ant-oat-66666666-7777-8888-9999-AAAAAAAAAAAA";
        assert_eq!(api_call(&[second, ALLOWED]).status, 200);
        let refused = api_call(&["x-api-key: sk-ant-foreign", ALLOWED]);
        assert_eq!(refused.status, 403);
        let error = &refused.body_json()["error"];
        assert_eq!(error["type"], "permission_error");
        assert_eq!(error["details"]["error_code"], "tenant_restriction_violation");
        assert_eq!(api_call(&[ALLOWED]).status, 401);
    }

    #[test]
    fn copies_and_malformed_lists_are_a_400() {
        let key = "x-api-key: sk-ant-permitted";
        for headers in [
            &[key, ALLOWED, ALLOWED][..],
            &[
                key,
                "anthropic-allowed-org-ids: 11111111-2222-3333-4444-555555555555, 66666666-7777-8888-9999-aaaaaaaaaaaa",
            ],
            &[key, "anthropic-allowed-org-ids: everything"],
            &[key, "anthropic-allowed-org-ids:"],
            &[key, "anthropic-allowed-org-ids1: 11111111-2222-3333-4444-555555555555"],
            &[key, ALLOWED, "anthropic-allowed-org-ids1: dddddddd-4444-4444-4444-dddddddddddd"],
            &[key, "anthropic-allowed-org-ids: 11111111-2222-3333-4444-555555555555;n=2"],
            &[key, "anthropic-allowed-org-ids: 11111111-2222-3333-4444-555555555555;n=11"],
            &[key, "anthropic-allowed-org-ids: 11111111-2222-3333-4444-555555555555;n=0"],
            &[key, ALLOWED, "anthropic-allowed-org-ids99: dddddddd-4444-4444-4444-dddddddddddd"],
        ] {
            assert_eq!(api_call(headers).status, 400, "{headers:?}");
        }
    }

    #[test]
    fn continuations_add_to_the_list_when_every_slot_is_there() {
        let base = "anthropic-allowed-org-ids: 66666666-7777-8888-9999-aaaaaaaaaaaa;n=3";
        let first = "anthropic-allowed-org-ids1: 77777777-7777-8888-9999-aaaaaaaaaaaa";
        let second = "Anthropic-Allowed-Org-Ids2: 11111111-2222-3333-4444-555555555555";
        let key = "x-api-key: sk-ant-permitted";
        assert_eq!(api_call(&[key, base, first, second]).status, 200);
        assert_eq!(api_call(&["x-api-key: sk-ant-foreign", base, first, second]).status, 403);
        assert_eq!(api_call(&[key, base, first]).status, 400);
        assert_eq!(api_call(&[key, base, first, second, second]).status, 400);
    }

    #[test]
    fn the_web_is_refused_by_session_and_by_path() {
        let get = |target: &str, headers: &[&str]| {
            let line = format!("GET {target} HTTP/1.1");
            let mut lines = vec![line.as_str()];
            lines.extend(headers);
            answer(&Request::example("claude.ai", &lines, ""))
        };
        assert_eq!(get("/", &[ALLOWED]).status, 200);
        let foreign = "Cookie: sessionKey=sk-ant-sid-dddddddd-4444-4444-4444-dddddddddddd";
        assert_eq!(get("/", &[foreign]).status, 200);
        assert_eq!(get("/", &[foreign, ALLOWED]).status, 403);
        assert_eq!(get("/api/organizations/dddddddd-4444-4444-4444-dddddddddddd", &[ALLOWED]).status, 403);
        assert_eq!(get("/api/organizations/11111111-2222-3333-4444-555555555555", &[ALLOWED]).status, 200);
    }

    #[test]
    fn a_stream_is_made_of_events() {
        let body = r#"{"model":"m","max_tokens":5,"stream":true,"messages":[]}"#;
        let lines = ["POST /v1/messages HTTP/1.1", "x-api-key: sk-ant-permitted"];
        let answer = answer_api(&Request::example("api.anthropic.com", &lines, body)).body_text();
        assert!(answer.starts_with("event: message_start\ndata: {"), "{answer}");
        assert!(answer.contains("event: message_stop"), "{answer}");
    }
}
