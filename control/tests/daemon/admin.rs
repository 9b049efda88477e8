//! The form of the admin API: who is let in, what errors look like, what is bounded.

use serde_json::{Value, json};

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
    for query in
        ["since=yesterday", "status=denyed", "order=up", "format=xml", "unheard=of", "cursor=x", "node=a&node=b"]
    {
        control.get(&format!("/events?{query}")).problem(400);
    }
}

#[test]
fn the_description_tells_what_is_served() {
    let control = Control::start();
    let described = control.get("/openapi.json").json();
    let mut open = Vec::new();
    for (path, operations) in described["paths"].as_object().unwrap() {
        let place = path.replace("{id}", "unheard-of");
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let operation = &operations[method.to_lowercase()];
            let reply = control.api(method, &place, &[], "");
            if operation.is_null() {
                reply.problem(405);
                assert!(!reply.header("allow").contains(method), "{method} {path}: {:?}", reply.headers);
                continue;
            }
            let status = reply.status.to_string();
            assert!(operation["responses"][&status].is_object(), "{method} {path} answers {status}");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
            if control.send(method, &format!("/api/v1{place}"), &[], "").status != 401 {
                assert_eq!(operation["security"], json!([]), "{method} {path} needs nobody");
                open.push(operation["operationId"].clone());
            }
        }
    }
    assert_eq!(open, ["signIn"]);
    let roles = |path: &str, method: &str| described["paths"][path][method]["description"].as_str().unwrap().to_owned();
    assert_eq!(roles("/policy", "put"), "Roles: admin, operator.");
    assert!(roles("/tokens", "post").ends_with("Roles: admin."));
}

#[test]
fn every_part_of_the_description_is_there() {
    let control = Control::start();
    let described = control.get("/openapi.json").json();
    let text = described.to_string();
    let mut references: Vec<&str> =
        text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    references.sort_unstable();
    references.dedup();
    assert!(references.len() > 40, "{references:?}");
    for reference in references {
        assert!(described.pointer(reference).is_some_and(Value::is_object), "{reference} leads nowhere");
    }
    // Every column of the audit event is described under its name.
    let heading = control.get("/events?format=csv").body;
    let event = &described["components"]["schemas"]["Event"]["properties"];
    for column in heading.trim().split(',') {
        assert!(event[column].is_object(), "{column}: {event}");
    }
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
    assert_eq!(control.get("/ca").json()["issuer"], Value::Null);
    control.put_policy(&policy("contoso.com"));
    let authority = control.get("/ca").json();
    assert!(authority["issuer"]["hosts"].to_string().contains("login.microsoftonline.com"), "{authority}");
    assert_eq!(authority["root"]["sha256"].as_str().unwrap().len(), 64);
}
