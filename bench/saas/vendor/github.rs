//! GitHub: `sec-GitHub-allowed-enterprise` admits the users of the named enterprises.
//!
//! One to twenty ids with commas; 400 for copies and for an id that does not exist, 403 for the user of another
//! enterprise. Source: github/docs, "Restricting access to GitHub.com using a corporate proxy". The user is a token
//! `ghp_NAME` (Bearer, token or Basic) or the cookie `user_session=NAME`, NAME being an enterprise's slug below.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::clock;
use crate::endpoint::unreadable;
use crate::request::Request;
use crate::response::Response;

pub(crate) fn answer(request: &Request) -> Response {
    let response = match allowed(request) {
        Err(what) => Response::text(400, format!("Bad request: {HEADER}: {what}.\n")),
        Ok(allowed) => judge(request, allowed.as_deref()),
    };
    response.with("x-github-request-id", clock::uuid())
}

fn judge(request: &Request, allowed: Option<&[&Enterprise]>) -> Response {
    let user = user(request);
    match (user, allowed) {
        (None, _) => route(request, None),
        (Some(user), None) => route(request, Some(user)),
        (Some(user), Some(allowed)) if allowed.iter().any(|enterprise| enterprise.slug == user) => {
            route(request, Some(user))
        }
        (Some(_), Some(allowed)) => {
            let names: Vec<&str> = allowed.iter().map(|enterprise| enterprise.slug).collect();
            let names = names.join(", ");
            let message = format!(
                "Your network administrator has blocked access to GitHub except for the {names} Enterprise. Please \
                 sign in with your {names} account to access GitHub."
            );
            if request.host == "api.github.com" {
                return Response::json(403, &json!({ "message": message, "status": "403" }));
            }
            Response::text(403, message)
        }
    }
}

fn route(request: &Request, user: Option<&str>) -> Response {
    match (request.host.as_str(), request.segments().as_slice(), user) {
        ("api.github.com", ["user"], Some(user)) => Response::json(200, &json!({ "login": format!("someone_{user}") })),
        ("api.github.com", ["user"], None) => Response::json(401, &json!({ "message": "Requires authentication" })),
        (_, [] | ["login"], None) => Response::page(200, "GitHub", "<p>Sign in to GitHub.</p>"),
        (_, [], Some(user)) => Response::page(200, "GitHub", &format!("<p>You are signed in as someone_{user}.</p>")),
        (_, [_, _, "info", "refs"], Some(_)) => Response::text(200, "001e# service=git-upload-pack\n0000"),
        (_, [_, _, "info", "refs"], None) => {
            Response::text(401, "Authentication required.\n").with("WWW-Authenticate", "Basic realm=\"GitHub\"")
        }
        _ => Response::json(404, &json!({ "message": "Not Found" })),
    }
}

fn allowed(request: &Request) -> Result<Option<Vec<&'static Enterprise>>, &'static str> {
    let Some(list) = unreadable(request, HEADER)? else { return Ok(None) };
    let known = |entry: &str| ENTERPRISES.iter().find(|enterprise| enterprise.id == entry || enterprise.slug == entry);
    let ids: Option<Vec<_>> = list.split(',').map(str::trim).map(known).collect();
    let ids = ids.ok_or("an enterprise that does not exist")?;
    if ids.len() > IDS_MAX { Err("more than twenty enterprises") } else { Ok(Some(ids)) }
}

/// The slug of the enterprise that the user belongs to.
fn user(request: &Request) -> Option<&'static str> {
    let basic = || {
        let text = request.head.first("authorization")?.strip_prefix("Basic ")?;
        String::from_utf8(STANDARD.decode(text).ok()?).ok()
    };
    let token = request.bearer().or_else(|| request.head.first("authorization")?.strip_prefix("token "));
    let password = basic().and_then(|pair| pair.split_once(':').map(|(_, password)| password.to_owned()));
    let token = token.map(str::to_owned).or(password);
    let slug = token.and_then(|token| token.strip_prefix("ghp_").map(str::to_owned));
    let slug = slug.or_else(|| request.cookie("user_session").map(str::to_owned))?;
    ENTERPRISES.iter().map(|enterprise| enterprise.slug).find(|known| *known == slug)
}

struct Enterprise {
    id: &'static str,
    slug: &'static str,
}

const ENTERPRISES: [Enterprise; 3] = [
    Enterprise { id: "1234567", slug: "contoso" },
    Enterprise { id: "2345678", slug: "fabrikam" },
    Enterprise { id: "9999999", slug: "evil" },
];
const HEADER: &str = "sec-GitHub-allowed-enterprise";
const IDS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: &str = "sec-GitHub-allowed-enterprise: 1234567";

    fn get(host: &str, target: &str, headers: &[&str]) -> Response {
        let line = format!("GET {target} HTTP/1.1");
        let mut lines = vec![line.as_str()];
        lines.extend(headers);
        answer(&Request::example(host, &lines, ""))
    }

    #[test]
    fn the_enterprise_of_the_user_decides() {
        assert_eq!(get("api.github.com", "/user", &["Authorization: Bearer ghp_evil"]).status, 200);
        assert_eq!(get("api.github.com", "/user", &["Authorization: token ghp_contoso", ALLOWED]).status, 200);
        let refused = get("github.com", "/", &["Cookie: user_session=evil", ALLOWED]);
        assert_eq!(refused.status, 403);
        assert!(refused.body_text().contains("except for the contoso Enterprise"));
        assert_eq!(get("github.com", "/login", &[ALLOWED]).status, 200);
    }

    #[test]
    fn git_over_https_is_refused_by_its_password() {
        let basic = format!("Authorization: Basic {}", STANDARD.encode("someone:ghp_evil"));
        let target = "/someone/repository/info/refs?service=git-upload-pack";
        assert_eq!(get("github.com", target, &[&basic]).status, 200);
        assert_eq!(get("github.com", target, &[&basic, ALLOWED]).status, 403);
        assert_eq!(get("github.com", target, &[ALLOWED]).status, 401);
    }

    #[test]
    fn copies_and_unknown_enterprises_are_a_400() {
        assert_eq!(get("github.com", "/", &[ALLOWED, ALLOWED]).status, 400);
        for list in ["", "42", "1234567,", "contoso evil"] {
            assert_eq!(
                get("github.com", "/", &[&format!("sec-GitHub-allowed-enterprise: {list}")]).status,
                400,
                "{list}"
            );
        }
        let both = "sec-GitHub-allowed-enterprise: 1234567,fabrikam";
        assert_eq!(get("github.com", "/", &["Cookie: user_session=fabrikam", both]).status, 200);
    }
}
