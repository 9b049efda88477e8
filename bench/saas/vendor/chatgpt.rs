//! ChatGPT: `ChatGPT-Allowed-Workspace-Id` filters the workspaces that a user is offered.
//!
//! UUIDs with commas and no spaces; 403 when none is left, 400 when malformed. Anonymous use is untouched. Source:
//! help.openai.com article 20001323. The user is the cookie `session=UUID,UUID,…` or a bearer token of the same form:
//! the workspaces that the user belongs to. The text of the refusal is not documented.

use serde_json::{Value, json};

use crate::clock;
use crate::endpoint::unreadable;
use crate::request::Request;
use crate::response::Response;

pub(crate) fn answer(request: &Request) -> Response {
    let response = match allowed(request) {
        Err(what) => error(400, "invalid_request", &format!("{HEADER}: {what}")),
        Ok(allowed) => route(request, allowed.as_deref()),
    };
    response.with("x-request-id", clock::uuid())
}

fn route(request: &Request, allowed: Option<&[&str]>) -> Response {
    let segments = request.segments();
    if segments.first() == Some(&"backend-anon") {
        return Response::json(200, &json!({ "anonymous": true }));
    }
    let user = request.cookie("session").or_else(|| request.bearer());
    let Some(user) = user else {
        return match segments.as_slice() {
            [] | ["auth", ..] => Response::page(200, "ChatGPT", "<p>Sign in to ChatGPT.</p>"),
            _ => error(401, "unauthorized", "Sign in first."),
        };
    };
    let is_allowed = |id: &&str| allowed.is_none_or(|allowed| allowed.iter().any(|one| one.eq_ignore_ascii_case(id)));
    let workspaces: Vec<&str> = user.split(',').filter(|id| clock::is_uuid(id)).filter(is_allowed).collect();
    if workspaces.is_empty() {
        let message = "Your network administrator has restricted access to this workspace.";
        return error(403, "workspace_not_allowed", message);
    }
    match (request.method(), segments.as_slice()) {
        ("GET" | "HEAD", []) => {
            let body = format!("<p>You are signed in to workspace {}.</p>", workspaces.join(", "));
            Response::page(200, "ChatGPT", &body)
        }
        ("GET", ["backend-api", "accounts", "check"]) => {
            let accounts: Vec<Value> = workspaces.iter().map(|id| json!({ "account_id": id })).collect();
            Response::json(200, &json!({ "accounts": accounts }))
        }
        ("POST", ["backend-api", "conversation"]) => Response::json(200, &json!({ "message": "Hello." })),
        _ => Response::unknown(&request.host, request.path()),
    }
}

fn allowed(request: &Request) -> Result<Option<Vec<&str>>, &'static str> {
    let Some(list) = unreadable(request, HEADER)? else { return Ok(None) };
    let ids: Vec<&str> = list.split(',').collect();
    if ids.iter().all(|id| clock::is_uuid(id)) { Ok(Some(ids)) } else { Err("not a list of UUIDs without spaces") }
}

fn error(status: u16, code: &str, message: &str) -> Response {
    Response::json(status, &json!({ "detail": { "code": code, "message": message } }))
}

const HEADER: &str = "ChatGPT-Allowed-Workspace-Id";

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "0f0f0f0f-1111-2222-3333-444444444444";
    const ALLOWED: &str = "ChatGPT-Allowed-Workspace-Id: 0f0f0f0f-1111-2222-3333-444444444444";

    fn get(target: &str, headers: &[&str]) -> Response {
        let line = format!("GET {target} HTTP/1.1");
        let mut lines = vec![line.as_str()];
        lines.extend(headers);
        answer(&Request::example("chatgpt.com", &lines, ""))
    }

    #[test]
    fn workspaces_are_filtered_and_none_is_a_refusal() {
        let both = format!("Cookie: session={OWN},eeeeeeee-1111-2222-3333-444444444444");
        let check = "/backend-api/accounts/check";
        assert_eq!(get(check, &[&both]).body_json()["accounts"].as_array().unwrap().len(), 2);
        assert_eq!(get(check, &[&both, ALLOWED]).body_json()["accounts"], json!([{ "account_id": OWN }]));
        let foreign = "Cookie: session=eeeeeeee-1111-2222-3333-444444444444";
        assert_eq!(get(check, &[foreign]).status, 200);
        assert_eq!(get("/", &[foreign, ALLOWED]).status, 403);
    }

    #[test]
    fn malformed_and_copied_headers_are_a_400() {
        assert_eq!(get("/", &[ALLOWED, ALLOWED]).status, 400);
        assert_eq!(get("/", &["ChatGPT-Allowed-Workspace-Id: ours"]).status, 400);
        let spaced = format!("{ALLOWED}, eeeeeeee-1111-2222-3333-444444444444");
        assert_eq!(get("/", &[&spaced]).status, 400);
    }

    #[test]
    fn anonymous_use_is_untouched() {
        assert_eq!(get("/backend-anon/conversation", &[ALLOWED]).status, 200);
        assert_eq!(get("/", &[ALLOWED]).status, 200);
    }
}
