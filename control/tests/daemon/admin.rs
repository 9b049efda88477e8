//! The form of the admin API: who is let in, what errors look like, what is bounded.

use crate::control::{Control, policy};

#[test]
fn nothing_of_the_api_opens_without_the_token() {
    let control = Control::start();
    let token = control.token();
    let wrong = format!("Bearer {}", "0".repeat(token.len()));
    let basic = format!("Basic {token}");
    for path in ["/policy", "/policy/history", "/nodes", "/catalogue", "/events", "/ca", "/unheard-of"] {
        for headers in [vec![], vec![("Authorization", wrong.as_str())], vec![("Authorization", basic.as_str())]] {
            let refused = control.send("GET", &format!("/api/v1{path}"), &headers, "");
            refused.problem(401);
            assert!(refused.header("www-authenticate").starts_with("Bearer"), "{path}");
        }
    }
    let put = control.send("PUT", "/api/v1/policy", &[("Content-Type", "application/toml")], &policy("contoso.com"));
    put.problem(401);
    control.get("/policy").problem(404);
    for path in ["/healthz", "/metrics", "/ca/root.pem"] {
        assert_eq!(control.send("GET", path, &[], "").status, 200, "{path}");
    }
    control.send("GET", "/readyz", &[], "").problem(503);
}

#[test]
fn every_error_is_a_problem() {
    let control = Control::start();
    control.send("GET", "/", &[], "").problem(401);
    control.send("GET", "/nothing", &[], "").problem(404);
    control.get("/unheard-of").problem(404);
    control.get("/catalogue/unheard-of").problem(404);
    let refused = control.api("DELETE", "/policy", &[], "");
    refused.problem(405);
    assert!(refused.header("allow").contains("PUT"), "{:?}", refused.headers);
    control.api("PUT", "/policy", &[("Content-Type", "image/png")], "x").problem(415);
    control.api("PUT", "/policy", &[], "x").problem(415);
    control.api("PUT", "/policy", &[("Content-Type", "application/json")], "{").problem(400);
    control.api("POST", "/policy/rollback", &[("Content-Type", "application/json")], "{\"epoch\":\"x\"}").problem(422);
    control.api("POST", "/policy/rollback", &[("Content-Type", "application/json")], &" ".repeat(100_000)).problem(413);
    for query in ["since=yesterday", "status=denyed", "order=up", "format=xml", "unheard=of", "cursor=x"] {
        control.get(&format!("/events?{query}")).problem(400);
    }
}

#[test]
fn the_description_names_every_route_and_no_other() {
    let control = Control::start();
    let described = control.get("/openapi.json").json();
    let router = include_str!("../../src/admin/router.rs");
    let paths = described["paths"].as_object().unwrap();
    let routes = router.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
    for route in
        routes.filter(|route| !["/metrics", "/healthz", "/readyz", "/ca/root.pem", "/ca/root.crt"].contains(route))
    {
        assert!(paths.contains_key(route), "{route} is not described");
    }
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{id}", "slack");
            let status = control.api(&method.to_uppercase(), &path, &[], "").status;
            let needs_policy = ["/policy", "/policy/forecast"].contains(&path.as_str());
            let is_named = needs_policy || path.starts_with("/users/") || path.starts_with("/tokens/");
            assert!(status != 405 && (status != 404 || is_named), "{method} {path}: {status}");
        }
    }
    // Every column of the audit event is described under its name.
    let event = described["components"]["schemas"]["Event"]["properties"].as_object().unwrap().len();
    let heading = control.get("/events?format=csv").body.split(',').count();
    assert_eq!(event, heading);
}

#[test]
fn the_catalogue_is_served_whole_and_one_by_one() {
    let control = Control::start();
    let all = control.get("/catalogue").json();
    let ids: Vec<&str> = all["connectors"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"microsoft-entra") && ids.contains(&"zoom") && ids.len() >= 21, "{ids:?}");
    assert_eq!(control.get("/catalogue/slack").json()["id"], "slack");
}

#[test]
fn the_root_is_the_one_on_disk() {
    let control = Control::start();
    let reply = control.send("GET", "/ca/root.pem", &[], "");
    assert_eq!(reply.body, std::fs::read_to_string(control.state().join("ca/root.pem")).unwrap());
    assert!(reply.body.starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(control.get("/ca").json()["issuer"], serde_json::Value::Null);
    control.put_policy(&policy("contoso.com"));
    let authority = control.get("/ca").json();
    assert!(authority["issuer"]["hosts"].to_string().contains("login.microsoftonline.com"), "{authority}");
    assert_eq!(authority["root"]["sha256"].as_str().unwrap().len(), 64);
}
