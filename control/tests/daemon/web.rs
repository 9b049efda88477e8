//! The web UI as HTTP: nothing without signing in, nothing that runs or loads from elsewhere, forms only from its own pages.

use crate::control::{Control, Reply, policy};

const HTML: (&str, &str) = ("Accept", "text/html,application/xhtml+xml");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// Every route of the pages that need somebody signed in, a parameter filled in.
fn routes() -> Vec<String> {
    let source = include_str!("../../src/web/routes.rs");
    let routes = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
    let guarded = routes.filter(|route| !matches!(*route, "/sign-in" | "/sign-in/oidc" | "/assets/{name}"));
    guarded.map(|route| route.replace("{id}", "1")).collect()
}

fn sign_in(control: &Control) -> String {
    let credentials = format!("user=admin&password={}&to=%2Freport", control.first_password());
    let reply = control.send("POST", "/sign-in", &[FORM], &credentials);
    assert_eq!((reply.status, reply.header("location")), (303, "/report"), "{}", reply.body);
    reply.header("set-cookie").split(';').next().unwrap().to_owned()
}

/// The session's word, as a page has it.
fn csrf(page: &Reply) -> &str {
    page.body.split_once("name=\"csrf\" value=\"").unwrap().1.split('"').next().unwrap()
}

#[test]
fn every_page_asks_who_it_is_and_is_listed_with_what_it_needs() {
    let control = Control::start();
    assert!(routes().len() > 20, "{:?}", routes());
    for route in routes() {
        for method in ["GET", "POST"] {
            let reply = control.send(method, &route, &[HTML], "");
            assert_eq!(reply.status, 303, "{method} {route}: {}", reply.body);
            assert!(reply.header("location").starts_with("/sign-in"), "{route}: {}", reply.header("location"));
        }
        // The token file's holder may everything that is listed.
        let bearer = format!("Bearer {}", control.token());
        if route != "/live/stream" {
            let reply = control.send("GET", &route, &[("Authorization", &bearer)], "");
            assert_ne!(reply.status, 403, "{route}: {}", reply.body);
        }
    }
}

#[test]
fn pages_run_and_load_nothing_from_elsewhere() {
    let control = Control::start();
    let cookie = sign_in(&control);
    for page in ["/", "/policy", "/report", "/people", "/authority"] {
        let reply = control.send("GET", page, &[("Cookie", &cookie)], "");
        assert_eq!(reply.status, 200, "{page}: {}", reply.body);
        let rules = reply.header("content-security-policy");
        assert!(rules.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{rules}");
        assert!(!rules.contains("unsafe") && rules.contains("frame-ancestors 'none'"), "{rules}");
        assert_eq!((reply.header("cache-control"), reply.header("x-frame-options")), ("no-store", "DENY"));
        for (attribute, value) in reply.body.split(['<', ' ']).filter_map(|part| part.split_once('=')) {
            assert!(!attribute.starts_with("on") && attribute != "style", "{page}: {attribute}");
            let is_ours = value.starts_with("\"/") && !value.starts_with("\"//");
            assert!(!matches!(attribute, "src" | "action") || is_ours, "{page}: {attribute}={value}");
        }
        assert!(!reply.body.contains("<style") && !reply.body.contains("<script>"), "{page}");
    }
    let asset = control.send("GET", "/assets/console.js", &[], "");
    assert_eq!((asset.status, asset.header("content-type")), (200, "text/javascript; charset=utf-8"));
}

#[test]
fn a_form_counts_only_with_the_sessions_word() {
    let control = Control::start();
    let cookie = sign_in(&control);
    let page = control.send("GET", "/people", &[("Cookie", &cookie)], "");
    let user = "name=viola&role=viewer&password=long-enough-1";
    for word in ["", "&csrf=", "&csrf=0000"] {
        let reply = control.send("POST", "/people/users", &[("Cookie", &cookie), FORM, HTML], &format!("{user}{word}"));
        assert_eq!(reply.status, 403, "{word}: {}", reply.body);
    }
    let good = format!("{user}&csrf={}", csrf(&page));
    let cross = [("Cookie", cookie.as_str()), FORM, HTML, ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(control.send("POST", "/people/users", &cross, &good).status, 403);
    assert_eq!(control.send("POST", "/people/users", &[("Cookie", &cookie), FORM], &good).status, 200);
    assert!(control.get("/users").body.contains("viola"));
}

#[test]
fn what_came_from_outside_is_text_on_a_page() {
    let control = Control::start();
    let cookie = sign_in(&control);
    let hostile = "<script>alert(1)</script>";
    let text = format!("# {hostile}\n{}", policy("contoso.com"));
    let put = control.api("PUT", "/policy?comment=%3Cimg%20src%3Dx%3E", &[("Content-Type", "text/toml")], &text);
    assert_eq!(put.status, 200, "{}", put.body);
    for page in
        ["/policy", "/policy/history", "/policy/history/1", "/report?client=%22%3E%3Cscript%3Ealert(1)%3C/script%3E"]
    {
        let reply = control.send("GET", page, &[("Cookie", &cookie)], "");
        assert_eq!(reply.status, 200, "{page}");
        assert!(!reply.body.contains(hostile) && !reply.body.contains("<img src=x"), "{page}: {}", reply.body);
    }
    let nowhere = control.send("GET", "/sign-in?to=%22%3E%3Cscript%3E", &[], "");
    assert!(!nowhere.body.contains("<script>"), "{}", nowhere.body);
}
