//! What browsers need beside a password: the cookie, and proof that a change was asked for by a page of ours.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::body::{Body, to_bytes};
use axum::extract::{Form, FromRequest as _, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use penstock_core::limits::POLICY_DOCUMENT_BYTES_MAX;

use super::problem::Problem;
use crate::access::Identity;

/// The cookie's name. Over TLS a browser keeps it to this very host, and to paths of its own ("__Host-", RFC 6265bis).
pub(super) const fn cookie_name(is_secure: bool) -> &'static str {
    if is_secure { "__Host-penstock" } else { "penstock" }
}

/// The name of the cookie by which a browser comes back from the OpenID provider.
pub(super) const fn ticket_cookie_name(is_secure: bool) -> &'static str {
    if is_secure { "__Host-penstock-ticket" } else { "penstock-ticket" }
}

/// The session's cookie of a request.
pub(super) fn cookie(headers: &HeaderMap, is_secure: bool) -> Option<&str> {
    named_cookie(headers, cookie_name(is_secure))
}

/// A cookie of a request.
pub(super) fn named_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let is_ours = |text: &&str| text.trim().split_once('=').is_some_and(|(known, _)| known == name);
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';')).find(is_ours)?.trim().split_once('=').map(|(_, value)| value)
}

/// Gives the cookie, or takes it back when the value is empty.
pub(crate) fn set_cookie(value: &str, is_secure: bool) -> Result<HeaderValue, Problem> {
    let secure = if is_secure { "; Secure" } else { "" };
    let life = if value.is_empty() { "; Max-Age=0" } else { "" };
    let cookie = format!("{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{life}", cookie_name(is_secure));
    HeaderValue::from_str(&cookie).map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// Refuses a change that a page of another site asks for. A browser says where a request comes from; a program need not.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_ours = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && host == text("host")
        }
        (None, None) => true,
    };
    if is_ours { Ok(()) } else { Err(Problem::new(StatusCode::FORBIDDEN, "the request comes from another site")) }
}

/// Demands the session's word, from the header `Penstock-Csrf` or from the form's field `csrf`. Answers the request, whole.
pub(super) async fn check_form(identity: &Identity, request: Request) -> Result<Request, Problem> {
    check_origin(request.headers())?;
    let is_right = |word: &str| verify_slices_are_equal(word.as_bytes(), identity.csrf().as_bytes()).is_ok();
    let missing = || Problem::new(StatusCode::FORBIDDEN, "the form is not from this session; load the page again");
    if let Some(word) = request.headers().get(CSRF_HEADER) {
        return if word.to_str().is_ok_and(is_right) { Ok(request) } else { Err(missing()) };
    }
    let (parts, body) = request.into_parts();
    let too_large = |_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the form is too large");
    let body = to_bytes(body, FORM_BYTES_MAX).await.map_err(too_large)?;
    let copy = Request::from_parts(parts.clone(), Body::from(body.clone()));
    let Ok(Form(fields)) = Form::<Vec<(String, String)>>::from_request(copy, &()).await else { return Err(missing()) };
    match fields.iter().find(|(name, _)| name == "csrf") {
        Some((_, word)) if is_right(word) => Ok(Request::from_parts(parts, Body::from(body))),
        _ => Err(missing()),
    }
}

/// Longest form: a policy at its longest, each byte written as three.
pub(crate) const FORM_BYTES_MAX: usize = 3 * POLICY_DOCUMENT_BYTES_MAX + 64 * 1024;
/// Carries the session's word where no form does.
const CSRF_HEADER: &str = "penstock-csrf";

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_cookie_is_found_among_others_and_only_under_its_own_name() {
        let both = headers(&[("cookie", "a=b; penstock=one; __Host-penstock=two")]);
        assert_eq!(cookie(&both, false), Some("one"));
        assert_eq!(cookie(&both, true), Some("two"));
        assert_eq!(cookie(&headers(&[("cookie", "xpenstock=one")]), false), None);
        let given = set_cookie("abc", true).unwrap();
        assert_eq!(given, "__Host-penstock=abc; Path=/; HttpOnly; SameSite=Strict; Secure");
    }

    #[test]
    fn another_site_is_told_by_what_the_browser_says() {
        for (pairs, ours) in [
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")][..], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site"), ("origin", "http://a:1"), ("host", "a:1")], false),
            (&[("origin", "http://127.0.0.1:7080"), ("host", "127.0.0.1:7080")], true),
            (&[("origin", "http://127.0.0.1:7081"), ("host", "127.0.0.1:7080")], false),
            (&[("origin", "null"), ("host", "127.0.0.1:7080")], false),
            (&[], true),
        ] {
            assert_eq!(check_origin(&headers(pairs)).is_ok(), ours, "{pairs:?}");
        }
    }
}
