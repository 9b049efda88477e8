//! The paths of Entra's sign-in hosts: discovery, authorize, and the way to the token endpoints.
//!
//! A refused authorize is a page with status 200, as Entra shows its errors to people; a refused token is 400 with a
//! JSON error. Discovery stays open, as with the vendor: restrictions bear on sign-in. Headers that cannot be read are
//! answered 400 on every path. Called by the table of endpoints; calls `restriction` and `token`.

use serde_json::{Value, json};

use super::restriction::{Denied, Restriction};
use super::tenant::{CONSUMER_TENANT_ID, Named, Tenant};
use super::token::{self, DeviceCodes};
use crate::clock;
use crate::request::Request;
use crate::response::{Response, escaped};

pub(crate) fn answer(request: &Request, codes: &DeviceCodes) -> Response {
    let response = match Restriction::of(request) {
        Ok(restriction) => route(request, restriction, codes),
        Err(what) => failure(request, 90_001, "invalid_request", &format!("The restriction cannot be read. {what}.")),
    };
    response.with("x-ms-request-id", clock::uuid()).with("Cache-Control", "no-store, no-cache")
}

fn route(request: &Request, restriction: Restriction<'_>, codes: &DeviceCodes) -> Response {
    let segments = request.segments();
    match (request.method(), segments.as_slice()) {
        ("GET" | "HEAD", []) => Response::page(200, "Sign in to your account", "<p>Choose an account.</p>"),
        ("GET", [_, "discovery", "instance"]) => instance_discovery(request),
        ("GET", [_, "discovery", "keys"] | [_, "discovery", "v2.0", "keys"]) => {
            Response::json(200, &json!({ "keys": [] }))
        }
        ("GET", [_, "userrealm", user]) => user_realm(user),
        (
            "GET",
            [name, "v2.0", ".well-known", "openid-configuration"] | [name, ".well-known", "openid-configuration"],
        ) => openid_configuration(request, name),
        ("GET", [name, "oauth2", "v2.0", "authorize"] | [name, "oauth2", "authorize"]) => {
            authorize(request, name, restriction)
        }
        ("POST", [name, "oauth2", "v2.0", "devicecode"]) => token::device_code(request, name, restriction, codes),
        ("POST", [name, "oauth2", "v2.0", "token"]) => token::grant(request, name, restriction, codes),
        _ => Response::unknown(&request.host, request.path()),
    }
}

fn openid_configuration(request: &Request, name: &str) -> Response {
    let place = match Named::of(name) {
        Named::Any => ("{tenantid}", name),
        Named::One(tenant) => (tenant.id, tenant.id),
        Named::Unknown => return unknown_tenant(request, name),
    };
    let (issuer, path) = place;
    let base = format!("https://{}/{path}", request.host);
    Response::json(
        200,
        &json!({
            "issuer": format!("https://login.microsoftonline.com/{issuer}/v2.0"),
            "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
            "token_endpoint": format!("{base}/oauth2/v2.0/token"),
            "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
            "end_session_endpoint": format!("{base}/oauth2/v2.0/logout"),
            "jwks_uri": format!("{base}/discovery/v2.0/keys"),
            "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "preferred_username", "name", "tid", "ver"],
            "tenant_region_scope": Value::Null,
            "cloud_instance_name": "microsoftonline.com",
            "cloud_graph_host_name": "graph.windows.net",
            "msgraph_host": "graph.microsoft.com",
        }),
    )
}

fn instance_discovery(request: &Request) -> Response {
    let endpoint = request.query("authorization_endpoint").unwrap_or_default();
    let rest = endpoint.strip_prefix("https://").unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if !HOSTS.contains(&host) {
        let description = "AADSTS50049: Unknown or invalid instance.";
        return Response::json(400, &json!({ "error": "invalid_instance", "error_description": description }));
    }
    let tenant = path.split('/').next().unwrap_or("common");
    Response::json(
        200,
        &json!({
            "tenant_discovery_endpoint": format!("https://{host}/{tenant}/v2.0/.well-known/openid-configuration"),
            "api-version": "1.1",
            "metadata": [{
                "preferred_network": "login.microsoftonline.com",
                "preferred_cache": "login.windows.net",
                "aliases": HOSTS,
            }],
        }),
    )
}

fn user_realm(user: &str) -> Response {
    let domain = user.rsplit('@').next().unwrap_or_default();
    Response::json(
        200,
        &json!({
            "ver": "1.0", "account_type": "Managed", "domain_name": domain,
            "cloud_instance_name": "microsoftonline.com", "cloud_audience_urn": "urn:federation:MicrosoftOnline",
        }),
    )
}

fn authorize(request: &Request, name: &str, restriction: Restriction<'_>) -> Response {
    let hint = request.query("login_hint").or_else(|| request.query("domain_hint"));
    let named = match (Named::of(name), hint) {
        (Named::Any, Some(user)) => Named::of_user(&user),
        (named, _) => named,
    };
    let tenant = match named {
        Named::Any => return Response::page(200, "Sign in to your account", "<p>Enter your e-mail address.</p>"),
        Named::One(tenant) => tenant,
        Named::Unknown => return unknown_tenant(request, name),
    };
    if let Err(denied) = restriction.check(tenant) {
        return refusal_page(request, tenant, denied);
    }
    let Some(target) = request.query("redirect_uri") else {
        let body = format!("<p>You are signed in to <b>{}</b>.</p>", tenant.title());
        return Response::page(200, "Signed in", &body);
    };
    let state = request.query("state").map_or_else(String::new, |state| format!("&state={state}"));
    let separator = if target.contains('?') { '&' } else { '?' };
    Response::redirect(&format!("{}{separator}code={}{state}", without_line_breaks(&target), token::code_for(tenant)))
}

/// What the user of a refused tenant sees.
fn refusal_page(request: &Request, tenant: &Tenant, denied: Denied) -> Response {
    let client = escaped(&request.query("client_id").unwrap_or_default());
    let title = tenant.title();
    let heading = if tenant.id == CONSUMER_TENANT_ID { "personal accounts" } else { title };
    let body = format!(
        "<p>Your organization's policy does not let you sign in to {heading} from this network. Contact your IT \
         department for access.</p>\n<p>AADSTS{}: Access to '{title}' tenant is denied.</p>\n\
         <p>Request Id: {} Correlation Id: {} Timestamp: {} App: {client}</p>",
        denied.code,
        clock::uuid(),
        clock::uuid(),
        clock::timestamp(),
    );
    Response::page(200, "Your network administrator has blocked access", &body)
}

/// A refusal in the shape that clients read.
pub(crate) fn denied_json(request: &Request, tenant: &Tenant, denied: Denied) -> Response {
    let message = format!("Access to '{}' tenant is denied.", tenant.title());
    failure(request, denied.code, "access_denied", &message)
}

pub(crate) fn unknown_tenant(request: &Request, name: &str) -> Response {
    let message = format!("Tenant '{name}' not found. Check to make sure you have the correct tenant ID.");
    failure(request, 90_002, "invalid_tenant", &message)
}

/// The vendor's JSON error, status 400.
pub(crate) fn failure(request: &Request, code: u32, error: &str, message: &str) -> Response {
    let (trace, correlation, timestamp) = (clock::uuid(), clock::uuid(), clock::timestamp());
    let description =
        format!("AADSTS{code}: {message} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}");
    Response::json(
        400,
        &json!({
            "error": error,
            "error_description": description,
            "error_codes": [code],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://{}/error?code={code}", request.host),
        }),
    )
}

fn without_line_breaks(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

const HOSTS: [&str; 4] = ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"];

#[cfg(test)]
mod tests {
    use super::*;

    const TENANTS: &str = "Restrict-Access-To-Tenants: contoso.com,fabrikam.onmicrosoft.com";
    const CONTEXT: &str = "Restrict-Access-Context: bbbbcccc-1111-dddd-2222-eeee3333ffff";

    fn get(target: &str, headers: &[&str]) -> Response {
        let line = format!("GET {target} HTTP/1.1");
        let mut lines = vec![line.as_str()];
        lines.extend(headers);
        answer(&Request::example("login.microsoftonline.com", &lines, ""), &DeviceCodes::default())
    }

    #[test]
    fn discovery_names_the_directory_and_stays_open_under_restriction() {
        let found = get("/contoso.com/v2.0/.well-known/openid-configuration", &[TENANTS, CONTEXT]);
        let issuer = "https://login.microsoftonline.com/bbbbcccc-1111-dddd-2222-eeee3333ffff/v2.0";
        assert_eq!(found.body_json()["issuer"], issuer);
        assert!(found.header("x-ms-request-id").is_some());
        assert_eq!(get("/evil.example/v2.0/.well-known/openid-configuration", &[TENANTS, CONTEXT]).status, 200);
        assert_eq!(get("/nowhere.example/v2.0/.well-known/openid-configuration", &[]).status, 400);
    }

    #[test]
    fn a_permitted_sign_in_goes_back_to_the_application() {
        let target =
            "/contoso.com/oauth2/v2.0/authorize?client_id=c&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&state=s";
        let answer = get(target, &[TENANTS, CONTEXT]);
        assert_eq!(answer.status, 302);
        let location = answer.header("location").unwrap();
        assert!(location.starts_with("https://app.example/cb?code=") && location.ends_with("&state=s"), "{location}");
    }

    #[test]
    fn a_foreign_tenant_gets_the_refusal_page() {
        for target in
            ["/evil.example/oauth2/v2.0/authorize", "/common/oauth2/v2.0/authorize?login_hint=m%40evil.example"]
        {
            assert!(get(target, &[]).body_text().contains("signed in to"), "{target}");
            let refused = get(target, &[TENANTS, CONTEXT]).body_text();
            assert!(refused.contains("AADSTS500021: Access to 'evil.example' tenant is denied"), "{refused}");
            assert!(refused.contains("Your network administrator has blocked access"), "{refused}");
        }
    }

    #[test]
    fn headers_that_cannot_be_read_are_a_400() {
        let refused = get("/contoso.com/oauth2/v2.0/authorize", &[TENANTS]);
        assert_eq!(refused.status, 400);
        assert_eq!(refused.body_json()["error_codes"], json!([90_001]));
        assert_eq!(get("/contoso.com/oauth2/v2.0/authorize", &[TENANTS, TENANTS, CONTEXT]).status, 400);
    }

    #[test]
    fn instance_discovery_knows_its_own_hosts() {
        let target = "/common/discovery/instance?api-version=1.1&authorization_endpoint=";
        let own = get(&format!("{target}https%3A%2F%2Flogin.windows.net%2Fcommon%2Foauth2%2Fauthorize"), &[]);
        assert_eq!(own.body_json()["metadata"][0]["preferred_network"], "login.microsoftonline.com");
        assert_eq!(get(&format!("{target}https%3A%2F%2Fevil.example%2F"), &[]).status, 400);
    }
}
