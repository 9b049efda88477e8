//! The OpenAI API: `OpenAI-Allowed-Organization-Ids` is an allow-list of organizations.
//!
//! Ids as `org-…`, with commas and no spaces; 403 for another organization. Source: developers.openai.com,
//! "organization blocking"; the body of the refusal is not documented. The key names the organization: `sk-org-NAME`
//! belongs to `org-NAME`; `sk-permitted` to `org-contoso`, `sk-foreign` to `org-evil`.

use serde_json::{Value, json};

use crate::clock;
use crate::endpoint::unreadable;
use crate::request::{Request, Sent};
use crate::response::{Content, Response};

pub(crate) fn answer(request: &Request) -> Response {
    judge(request).with("x-request-id", format!("req_{}", clock::uuid().replace('-', "")))
}

fn judge(request: &Request) -> Response {
    let allowed = match allowed(request) {
        Ok(allowed) => allowed,
        Err(what) => return error(400, "invalid_request_error", "invalid_header", &format!("{HEADER}: {what}")),
    };
    let Some(organization) = request.bearer().and_then(organization) else {
        let message = "Incorrect API key provided.";
        return error(401, "invalid_request_error", "invalid_api_key", message);
    };
    if let Sent::Once(asked) = request.sent("openai-organization")
        && asked != organization
    {
        let message = "OpenAI-Organization header should match organization for API key.";
        return error(401, "invalid_request_error", "mismatched_organization", message);
    }
    if allowed.is_some_and(|allowed| !allowed.contains(&organization.as_str())) {
        let message = "Your network administrator does not allow access to this organization.";
        return error(403, "permission_error", "organization_not_allowed", message);
    }
    route(request).with("openai-organization", organization)
}

fn route(request: &Request) -> Response {
    match (request.method(), request.segments().as_slice()) {
        ("GET", ["v1", "models"]) => Response::json(200, &json!({ "object": "list", "data": [model()] })),
        ("GET", ["v1", "models", MODEL]) => Response::json(200, &model()),
        ("POST", ["v1", "chat", "completions"]) => chat(request),
        ("POST", ["v1", "responses"]) => responses(request),
        _ => error(404, "invalid_request_error", "unknown_url", "Unknown request URL."),
    }
}

fn chat(request: &Request) -> Response {
    let Some(body) = request.json() else { return not_json() };
    let (Some(name), Some(_)) = (body["model"].as_str(), body["messages"].as_array()) else {
        return error(400, "invalid_request_error", "missing_required_parameter", "model and messages are required.");
    };
    let shell = |object: &str, choice: Value| {
        json!({
            "id": format!("chatcmpl-{}", clock::uuid()), "object": object, "created": clock::unix_seconds(),
            "model": name, "choices": [choice],
        })
    };
    if body["stream"].as_bool() == Some(true) {
        let delta = json!({ "index": 0, "delta": { "role": "assistant", "content": TEXT }, "finish_reason": null });
        let end = json!({ "index": 0, "delta": {}, "finish_reason": "stop" });
        let chunk = |choice| format!("data: {}\n\n", shell("chat.completion.chunk", choice));
        let events = format!("{}{}data: [DONE]\n\n", chunk(delta), chunk(end));
        return Response::new(200, "text/event-stream; charset=utf-8", Content::Bytes(events.into_bytes()));
    }
    let message = json!({ "role": "assistant", "content": TEXT, "refusal": null });
    let mut answer = shell("chat.completion", json!({ "index": 0, "message": message, "finish_reason": "stop" }));
    answer["usage"] = json!({ "prompt_tokens": 8, "completion_tokens": 4, "total_tokens": 12 });
    Response::json(200, &answer)
}

fn responses(request: &Request) -> Response {
    let Some(body) = request.json() else { return not_json() };
    let content = json!([{ "type": "output_text", "text": TEXT, "annotations": [] }]);
    let message = json!({
        "type": "message", "id": format!("msg_{}", clock::uuid()), "status": "completed", "role": "assistant",
        "content": content,
    });
    let answer = json!({
        "id": format!("resp_{}", clock::uuid()), "object": "response", "created_at": clock::unix_seconds(),
        "status": "completed", "model": body["model"], "output": [message], "parallel_tool_calls": true,
        "tool_choice": "auto", "tools": [], "error": null, "incomplete_details": null,
    });
    Response::json(200, &answer)
}

fn allowed(request: &Request) -> Result<Option<Vec<&str>>, &'static str> {
    let Some(list) = unreadable(request, HEADER)? else { return Ok(None) };
    let ids: Vec<&str> = list.split(',').collect();
    let is_id = |id: &&str| {
        id.strip_prefix("org-").is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
    };
    if ids.iter().all(is_id) { Ok(Some(ids)) } else { Err("not a list of organization ids without spaces") }
}

fn organization(key: &str) -> Option<String> {
    match key {
        "sk-foreign" => Some("org-evil".to_owned()),
        "sk-permitted" => Some("org-contoso".to_owned()),
        key => key.strip_prefix("sk-").filter(|rest| rest.starts_with("org-")).map(str::to_owned),
    }
}

fn model() -> Value {
    json!({ "id": MODEL, "object": "model", "created": 1_767_225_600, "owned_by": "simulated" })
}

fn not_json() -> Response {
    error(400, "invalid_request_error", "invalid_json", "We could not parse the JSON body of your request.")
}

fn error(status: u16, kind: &str, code: &str, message: &str) -> Response {
    let error = json!({ "message": message, "type": kind, "param": null, "code": code });
    Response::json(status, &json!({ "error": error }))
}

const HEADER: &str = "OpenAI-Allowed-Organization-Ids";
const MODEL: &str = "gpt-simulated";
const TEXT: &str = "Hello from the simulated service.";

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: &str = "OpenAI-Allowed-Organization-Ids: org-contoso,org-Fabrikam01";

    fn chat_as(key: &str, headers: &[&str]) -> Response {
        let key = format!("Authorization: Bearer {key}");
        let mut lines = vec!["POST /v1/chat/completions HTTP/1.1", &key];
        lines.extend(headers);
        answer(&Request::example("api.openai.com", &lines, r#"{"model":"m","messages":[]}"#))
    }

    #[test]
    fn the_organization_of_the_key_decides() {
        assert_eq!(chat_as("sk-foreign", &[]).status, 200);
        assert_eq!(chat_as("sk-permitted", &[ALLOWED]).status, 200);
        assert_eq!(chat_as("sk-org-Fabrikam01", &[ALLOWED]).status, 200);
        let refused = chat_as("sk-foreign", &[ALLOWED]);
        assert_eq!((refused.status, &refused.body_json()["error"]["code"]), (403, &json!("organization_not_allowed")));
        assert_eq!(chat_as("nonsense", &[ALLOWED]).status, 401);
        assert_eq!(chat_as("sk-permitted", &["OpenAI-Organization: org-evil"]).status, 401);
    }

    #[test]
    fn malformed_and_copied_headers_are_a_400() {
        assert_eq!(chat_as("sk-permitted", &[ALLOWED, ALLOWED]).status, 400);
        for list in ["", "contoso", "org-", "org-a, org-b", "org-a,"] {
            let header = format!("OpenAI-Allowed-Organization-Ids: {list}");
            assert_eq!(chat_as("sk-permitted", &[&header]).status, 400, "{list}");
        }
    }

    #[test]
    fn answers_have_the_shapes_of_the_api() {
        let answer_json = chat_as("sk-permitted", &[]).body_json();
        assert_eq!(answer_json["choices"][0]["message"]["content"], TEXT);
        let lines = ["POST /v1/chat/completions HTTP/1.1", "Authorization: Bearer sk-permitted"];
        let body = r#"{"model":"m","messages":[],"stream":true}"#;
        let stream = answer(&Request::example("api.openai.com", &lines, body)).body_text();
        assert!(stream.ends_with("data: [DONE]\n\n"), "{stream}");
        let lines = ["GET /v1/models HTTP/1.1", "Authorization: Bearer sk-permitted"];
        assert_eq!(answer(&Request::example("api.openai.com", &lines, "")).body_json()["data"][0]["id"], MODEL);
    }
}
