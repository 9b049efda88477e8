//! Entra's token endpoint: client credentials, device code, authorization code and refresh, as `msal` uses them.
//!
//! Tokens are JSON Web Tokens with an empty signature: their claims are read by clients, their signature by nobody here.
//! Owns the device codes that wait for their user, who needs one poll to sign in.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::endpoint::{denied_json, failure, unknown_tenant};
use super::restriction::Restriction;
use super::tenant::{Named, Tenant};
use crate::clock;
use crate::request::Request;
use crate::response::Response;

/// Device codes that have been handed out, oldest first.
#[derive(Default)]
pub(crate) struct DeviceCodes {
    waiting: Mutex<VecDeque<(String, bool)>>,
}

/// How far a device code has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    Pending,
    Ready,
    Unknown,
}

impl DeviceCodes {
    fn issue(&self) -> String {
        let code = clock::uuid();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= DEVICE_CODES_MAX {
            waiting.pop_front();
        }
        waiting.push_back((code.clone(), false));
        code
    }

    /// The first poll finds the user still at it, the second is served and ends the code.
    fn poll(&self, code: &str) -> Poll {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = waiting.iter().position(|(known, _)| known == code) else { return Poll::Unknown };
        match waiting.get_mut(index) {
            Some((_, polled)) if !*polled => {
                *polled = true;
                Poll::Pending
            }
            _ => {
                waiting.remove(index);
                Poll::Ready
            }
        }
    }
}

pub(crate) fn device_code(
    request: &Request,
    name: &str,
    restriction: Restriction<'_>,
    codes: &DeviceCodes,
) -> Response {
    let tenant = match tenant_of(request, name) {
        Ok(tenant) => tenant,
        Err(refused) => return refused,
    };
    if let Err(denied) = restriction.check(tenant) {
        return denied_json(request, tenant, denied);
    }
    let user_code = clock::uuid().to_ascii_uppercase().split('-').next().unwrap_or_default().to_owned();
    let message = format!(
        "To sign in, use a web browser to open the page https://microsoft.com/devicelogin and enter the code {user_code} \
         to authenticate."
    );
    Response::json(
        200,
        &json!({
            "user_code": user_code,
            "device_code": codes.issue(),
            "verification_uri": "https://microsoft.com/devicelogin",
            "expires_in": 900,
            "interval": 1,
            "message": message,
        }),
    )
}

pub(crate) fn grant(request: &Request, name: &str, restriction: Restriction<'_>, codes: &DeviceCodes) -> Response {
    let tenant = match tenant_of(request, name) {
        Ok(tenant) => tenant,
        Err(refused) => return refused,
    };
    if let Err(denied) = restriction.check(tenant) {
        return denied_json(request, tenant, denied);
    }
    let Some(client) = request.form("client_id").filter(|client| !client.is_empty()) else {
        return failure(request, 900_144, "invalid_request", "The request body must contain 'client_id'.");
    };
    let grant_type = request.form("grant_type").unwrap_or_default();
    match grant_type.as_str() {
        "client_credentials" if credential(request).is_none() => {
            let message = "The request body must contain 'client_assertion' or 'client_secret'.";
            failure(request, 7_000_216, "invalid_client", message)
        }
        "client_credentials" => Response::json(200, &application_token(tenant, &client)),
        "authorization_code" | "refresh_token" | "password" => Response::json(200, &user_token(tenant, &client)),
        "device_code" | "urn:ietf:params:oauth:grant-type:device_code" => {
            match codes.poll(&request.form("device_code").unwrap_or_default()) {
                Poll::Pending => failure(request, 70_016, "authorization_pending", "The user has not signed in yet."),
                Poll::Ready => Response::json(200, &user_token(tenant, &client)),
                Poll::Unknown => failure(request, 70_019, "bad_verification_code", "The device code is not known."),
            }
        }
        other => {
            failure(request, 70_003, "unsupported_grant_type", &format!("The grant type '{other}' is not supported."))
        }
    }
}

/// An authorization code; it says whose it is, for whoever reads a trace.
pub(crate) fn code_for(tenant: &Tenant) -> String {
    format!("0.{}.{}", tenant.id, clock::uuid())
}

/// The tenant that the path names, or the user when the path says `common`.
fn tenant_of(request: &Request, name: &str) -> Result<&'static Tenant, Response> {
    let named = match Named::of(name) {
        Named::Any => request.form("username").map_or(Named::Any, |user| Named::of_user(&user)),
        named => named,
    };
    match named {
        Named::One(tenant) => Ok(tenant),
        // Nobody signs in on a page here, so that a device code under `common` belongs to the first tenant.
        Named::Any => super::tenant::TENANTS.first().ok_or_else(|| unknown_tenant(request, name)),
        Named::Unknown => Err(unknown_tenant(request, name)),
    }
}

fn credential(request: &Request) -> Option<String> {
    request.form("client_secret").or_else(|| request.form("client_assertion")).filter(|text| !text.is_empty())
}

fn application_token(tenant: &Tenant, client: &str) -> Value {
    let claims = claims(tenant, "https://graph.microsoft.com", json!({ "appid": client, "idtyp": "app" }));
    json!({ "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token(&claims) })
}

fn user_token(tenant: &Tenant, client: &str) -> Value {
    let user = format!("user@{}", tenant.title());
    let object = "00000000-0000-0000-66f3-3332eca7ea81";
    let about = json!({ "preferred_username": user, "name": "A User", "oid": object, "sub": object });
    let identity = token(&claims(tenant, client, about.clone()));
    let access = token(&claims(tenant, "https://graph.microsoft.com", about));
    let information = json!({ "uid": object, "utid": tenant.id }).to_string();
    json!({
        "token_type": "Bearer", "scope": "openid profile offline_access User.Read", "expires_in": 3599,
        "ext_expires_in": 3599, "access_token": access, "refresh_token": code_for(tenant), "id_token": identity,
        "client_info": URL_SAFE_NO_PAD.encode(information),
    })
}

fn claims(tenant: &Tenant, audience: &str, about: Value) -> Value {
    let now = clock::unix_seconds();
    let mut claims = json!({
        "aud": audience, "iss": format!("https://login.microsoftonline.com/{}/v2.0", tenant.id), "iat": now,
        "nbf": now, "exp": now + 3_600, "tid": tenant.id, "ver": "2.0",
    });
    if let (Some(claims), Value::Object(about)) = (claims.as_object_mut(), about) {
        claims.extend(about);
    }
    claims
}

fn token(claims: &Value) -> String {
    let head = json!({ "typ": "JWT", "alg": "RS256", "kid": "simulated" });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&head), part(claims))
}

const DEVICE_CODES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::super::endpoint::answer;
    use super::*;

    const RESTRICTED: [&str; 2] =
        ["Restrict-Access-To-Tenants: contoso.com", "Restrict-Access-Context: bbbbcccc-1111-dddd-2222-eeee3333ffff"];

    fn post(codes: &DeviceCodes, target: &str, headers: &[&str], body: &str) -> Response {
        let line = format!("POST {target} HTTP/1.1");
        let mut lines = vec![line.as_str()];
        lines.extend(headers);
        answer(&Request::example("login.microsoftonline.com", &lines, body), codes)
    }

    #[test]
    fn client_credentials_are_served_for_permitted_tenants_alone() {
        let codes = DeviceCodes::default();
        let body = "grant_type=client_credentials&client_id=app&client_secret=s&scope=x";
        let good = post(&codes, "/contoso.com/oauth2/v2.0/token", &RESTRICTED, body);
        assert_eq!((good.status, &good.body_json()["token_type"]), (200, &json!("Bearer")));
        let denied = post(&codes, "/evil.example/oauth2/v2.0/token", &RESTRICTED, body);
        assert_eq!((denied.status, &denied.body_json()["error_codes"]), (400, &json!([500_021])));
        assert_eq!(post(&codes, "/evil.example/oauth2/v2.0/token", &[], body).status, 200);
        let without =
            post(&codes, "/contoso.com/oauth2/v2.0/token", &[], "grant_type=client_credentials&client_id=app");
        assert_eq!(without.body_json()["error"], "invalid_client");
    }

    #[test]
    fn a_device_code_waits_one_poll_for_its_user_and_serves_once() {
        let codes = DeviceCodes::default();
        let flow = post(&codes, "/contoso.com/oauth2/v2.0/devicecode", &[], "client_id=app&scope=x").body_json();
        let body =
            format!("grant_type=device_code&client_id=app&device_code={}", flow["device_code"].as_str().unwrap());
        let poll = || post(&codes, "/contoso.com/oauth2/v2.0/token", &[], &body).body_json();
        assert_eq!(poll()["error"], "authorization_pending");
        let token = poll();
        let payload = token["id_token"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        assert_eq!((&claims["aud"], &claims["preferred_username"]), (&json!("app"), &json!("user@contoso.com")));
        assert_eq!(poll()["error"], "bad_verification_code");
        let denied = post(&codes, "/evil.example/oauth2/v2.0/devicecode", &RESTRICTED, "client_id=app");
        assert_eq!(denied.body_json()["error_codes"], json!([500_021]));
    }

    #[test]
    fn what_is_missing_is_named() {
        let codes = DeviceCodes::default();
        let target = "/contoso.com/oauth2/v2.0/token";
        assert_eq!(post(&codes, target, &[], "grant_type=x").body_json()["error_codes"], json!([900_144]));
        let other = post(&codes, target, &[], "grant_type=magic&client_id=app").body_json();
        assert_eq!(other["error"], "unsupported_grant_type");
        assert_eq!(post(&codes, "/nowhere.example/oauth2/v2.0/token", &[], "").body_json()["error"], "invalid_tenant");
    }
}
