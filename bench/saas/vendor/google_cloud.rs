//! Google Cloud's organization restrictions: `X-Goog-Allowed-Resources` is an allow-list for the APIs.
//!
//! Web-safe base64 of `{"resources":["organizations/ID",…],"options":"strict"}`, or `cloudStorageReadAllowed`, which leaves
//! reading from Cloud Storage open. 403 `ORG_RESTRICTION_VIOLATION`, 400 `ORG_RESTRICTION_HEADER_INVALID`. Source:
//! docs.cloud.google.com, organization-restrictions. The bearer token `ya29.organizations-ID` names the organization.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::json;

use crate::endpoint::unreadable;
use crate::request::Request;
use crate::response::Response;

/// What the header holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    resources: Vec<String>,
    #[serde(default)]
    options: Options,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum Options {
    CloudStorageReadAllowed,
    #[default]
    Strict,
}

pub(crate) fn answer(request: &Request) -> Response {
    let allowed = match unreadable(request, HEADER).and_then(|value| value.map(Allowed::read).transpose()) {
        Ok(allowed) => allowed,
        Err(what) => {
            let message = format!("The organization restriction header is invalid: {what}.");
            return error(400, "INVALID_ARGUMENT", "ORG_RESTRICTION_HEADER_INVALID", &message);
        }
    };
    let Some(organization) = request.bearer().and_then(|token| token.strip_prefix("ya29.organizations-")) else {
        return error(401, "UNAUTHENTICATED", "CREDENTIALS_MISSING", "Request is missing a credential.");
    };
    if allowed.is_some_and(|allowed| !allowed.admits(request, organization)) {
        let message = "Access denied by organization restriction. Please contact your administrator for additional \
                       information.";
        return error(403, "PERMISSION_DENIED", "ORG_RESTRICTION_VIOLATION", message);
    }
    Response::json(200, &json!({ "organization": format!("organizations/{organization}"), "path": request.path() }))
}

impl Allowed {
    fn read(value: &str) -> Result<Self, &'static str> {
        let json = URL_SAFE_NO_PAD.decode(value.trim_end_matches('=')).map_err(|_| "it is not web-safe base64")?;
        let allowed: Self = serde_json::from_slice(&json).map_err(|_| "it is not the JSON object that is asked for")?;
        let is_resource = |name: &String| {
            name.strip_prefix("organizations/")
                .is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let sound = !allowed.resources.is_empty() && allowed.resources.iter().all(is_resource);
        if sound { Ok(allowed) } else { Err("a resource is not organizations/NUMBER") }
    }

    fn admits(&self, request: &Request, organization: &str) -> bool {
        let reads = request.host == "storage.googleapis.com" && request.method() == "GET";
        self.options == Options::CloudStorageReadAllowed && reads
            || self.resources.iter().any(|name| name.strip_prefix("organizations/") == Some(organization))
    }
}

fn error(status: u16, word: &str, reason: &str, message: &str) -> Response {
    let detail =
        json!({ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com" });
    let error = json!({ "code": status, "message": message, "status": word, "details": [detail] });
    Response::json(status, &json!({ "error": error }))
}

const HEADER: &str = "X-Goog-Allowed-Resources";

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> String {
        format!("X-Goog-Allowed-Resources: {}", URL_SAFE_NO_PAD.encode(json))
    }

    fn get(host: &str, organization: &str, headers: &[&str]) -> Response {
        let token = format!("Authorization: Bearer ya29.organizations-{organization}");
        let mut lines = vec!["GET /b/bucket/o/object HTTP/1.1", &token];
        lines.extend(headers);
        answer(&Request::example(host, &lines, ""))
    }

    fn reason(response: &Response) -> String {
        response.body_json()["error"]["details"][0]["reason"].as_str().unwrap().to_owned()
    }

    #[test]
    fn the_organization_decides() {
        let own = header(r#"{"resources":["organizations/123"],"options":"strict"}"#);
        assert_eq!(get("compute.googleapis.com", "999", &[]).status, 200);
        assert_eq!(get("compute.googleapis.com", "123", &[&own]).status, 200);
        let refused = get("compute.googleapis.com", "999", &[&own]);
        assert_eq!((refused.status, reason(&refused).as_str()), (403, "ORG_RESTRICTION_VIOLATION"));
    }

    #[test]
    fn reading_from_storage_may_stay_open() {
        let own = header(r#"{"resources":["organizations/123"],"options":"cloudStorageReadAllowed"}"#);
        assert_eq!(get("storage.googleapis.com", "999", &[&own]).status, 200);
        assert_eq!(get("compute.googleapis.com", "999", &[&own]).status, 403);
    }

    #[test]
    fn what_cannot_be_read_is_a_400() {
        let own = header(r#"{"resources":["organizations/123"]}"#);
        assert_eq!(get("compute.googleapis.com", "123", &[&own]).status, 200);
        assert_eq!(get("compute.googleapis.com", "123", &[&own, &own]).status, 400);
        for json in
            [r#"{"resources":[]}"#, r#"{"resources":["projects/1"]}"#, r#"{"resources":["organizations/x"]}"#, "[]"]
        {
            let refused = get("compute.googleapis.com", "123", &[&header(json)]);
            assert_eq!((refused.status, reason(&refused).as_str()), (400, "ORG_RESTRICTION_HEADER_INVALID"), "{json}");
        }
        assert_eq!(get("compute.googleapis.com", "123", &["X-Goog-Allowed-Resources: not base64"]).status, 400);
    }
}
