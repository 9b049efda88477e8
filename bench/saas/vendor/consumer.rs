//! Microsoft's consumer sign-in (login.live.com): `sec-Restrict-Tenant-Access-Policy: restrict-msa` refuses it.
//!
//! A deny signal, not an allow-list. A value of the second version, `<tenant id>:<policy id>`, is decided by the cloud
//! policy, which here refuses consumer accounts too. Source: MicrosoftDocs/entra-docs, tenant-restrictions.md. The
//! documents give no error code for the page.

use serde_json::json;

use crate::clock;
use crate::endpoint::unreadable;
use crate::request::Request;
use crate::response::Response;

pub(crate) fn answer(request: &Request) -> Response {
    let response = match unreadable(request, POLICY_HEADER) {
        Err(what) => bad_header(what),
        Ok(None) => sign_in(request),
        Ok(Some(value)) if value.eq_ignore_ascii_case("restrict-msa") || is_cloud_policy(value) => refused(),
        Ok(Some(_)) => bad_header("its value is not known"),
    };
    response.with("x-ms-request-id", clock::uuid())
}

fn sign_in(request: &Request) -> Response {
    match request.segments().as_slice() {
        [] | ["login.srf" | "oauth20_authorize.srf" | "ppsecure", ..] => {
            Response::page(200, "Sign in to your Microsoft account", "<p>You are signed in as a consumer.</p>")
        }
        ["oauth20_token.srf"] => {
            let token = json!({ "token_type": "bearer", "expires_in": 3600, "access_token": clock::uuid() });
            Response::json(200, &token)
        }
        _ => Response::unknown(&request.host, request.path()),
    }
}

fn refused() -> Response {
    let body = "<p>You can't sign in with a personal account here. Your organization's policy does not permit personal \
                Microsoft accounts on this network.</p>";
    Response::page(200, "Your network administrator has blocked access", body)
}

fn bad_header(what: &str) -> Response {
    let message = format!("{POLICY_HEADER}: {what}.");
    Response::json(400, &json!({ "error": "invalid_request", "error_description": message }))
}

fn is_cloud_policy(value: &str) -> bool {
    value.split_once(':').is_some_and(|(own, policy)| clock::is_uuid(own) && clock::is_uuid(policy))
}

const POLICY_HEADER: &str = "sec-Restrict-Tenant-Access-Policy";

#[cfg(test)]
mod tests {
    use super::*;

    fn get(headers: &[&str]) -> Response {
        let mut lines = vec!["GET /login.srf HTTP/1.1"];
        lines.extend(headers);
        answer(&Request::example("login.live.com", &lines, ""))
    }

    #[test]
    fn consumers_sign_in_unless_told_otherwise() {
        assert!(get(&[]).body_text().contains("signed in as a consumer"));
        let refused = get(&["sec-Restrict-Tenant-Access-Policy: restrict-msa"]).body_text();
        assert!(refused.contains("has blocked access") && !refused.contains("signed in"), "{refused}");
    }

    #[test]
    fn the_second_version_refuses_them_too() {
        let own = "bbbbcccc-1111-dddd-2222-eeee3333ffff";
        let header = format!("sec-Restrict-Tenant-Access-Policy: {own}:{own}");
        assert!(get(&[&header]).body_text().contains("has blocked access"));
    }

    #[test]
    fn other_values_and_copies_are_a_400() {
        let header = "sec-Restrict-Tenant-Access-Policy: restrict-msa";
        assert_eq!(get(&[header, header]).status, 400);
        assert_eq!(get(&["sec-Restrict-Tenant-Access-Policy: off"]).status, 400);
        assert_eq!(get(&["sec-Restrict-Tenant-Access-Policy:"]).status, 400);
    }
}
