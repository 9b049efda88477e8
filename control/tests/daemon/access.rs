//! Who is let in and what each may do: passwords, sessions, API tokens, roles, the bound on guesses, the trail.

use std::fs;

use penstock_core::audit::{Event, timestamp};
use serde_json::{Value, json};

use crate::control::{Control, Reply, policy};
use crate::node::Node;

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A browser that signed in.
struct Browser {
    cookie: String,
    csrf: String,
}

fn sign_in(control: &Control, user: &str, password: &str) -> Reply {
    let credentials = json!({ "user": user, "password": password }).to_string();
    control.send("POST", "/api/v1/session", &[JSON], &credentials)
}

impl Browser {
    fn open(control: &Control, user: &str, password: &str) -> Self {
        let reply = sign_in(control, user, password);
        assert_eq!(reply.status, 200, "{}", reply.body);
        let cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
        Self { cookie, csrf: reply.json()["csrf"].as_str().unwrap().to_owned() }
    }

    /// As a page of the appliance's own would ask.
    fn send(&self, control: &Control, method: &str, path: &str, body: &str) -> Reply {
        let headers = [("Cookie", self.cookie.as_str()), ("Penstock-Csrf", &self.csrf), JSON];
        control.send(method, &format!("/api/v1{path}"), &headers, body)
    }
}

fn add_user(control: &Control, name: &str, role: &str) {
    let user = json!({ "name": name, "role": role, "password": format!("password of {name}") }).to_string();
    let added = control.api("POST", "/users", &[JSON], &user);
    assert_eq!(added.status, 201, "{}", added.body);
}

fn make_token(control: &Control, role: &str) -> Value {
    let made = control.api("POST", "/tokens", &[JSON], &json!({ "role": role, "days": 1 }).to_string());
    assert_eq!(made.status, 201, "{}", made.body);
    made.json()
}

fn with_token(control: &Control, token: &Value, method: &str, path: &str, body: &str) -> Reply {
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    control.send(method, &format!("/api/v1{path}"), &[("Authorization", &bearer), JSON], body)
}

/// Everything that the state directory holds, as one.
fn state_bytes(control: &Control) -> Vec<u8> {
    let files = fs::read_dir(control.state()).unwrap().filter_map(|entry| fs::read(entry.unwrap().path()).ok());
    files.flatten().collect()
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

#[test]
fn the_first_password_is_told_once_and_kept_as_a_hash() {
    let control = Control::start();
    let password = control.first_password();
    let browser = Browser::open(&control, "admin", &password);
    let me = browser.send(&control, "GET", "/session", "").json();
    assert_eq!((me["name"].as_str(), me["role"].as_str()), (Some("admin"), Some("admin")), "{me}");
    let state = state_bytes(&control);
    assert!(holds(&state, "$argon2id$") && !holds(&state, &password));
    assert!(!holds(&state, browser.cookie.split_once('=').unwrap().1), "the cookie is in the store");
    let control = Control::start_in(control.kill(), "");
    Browser::open(&control, "admin", &password);
    assert!(!control.log().contains("password"), "{}", control.log());
}

#[test]
fn a_session_ends_with_signing_out_and_with_a_new_password() {
    let control = Control::start();
    let password = control.first_password();
    let cookie = sign_in(&control, "admin", &password).header("set-cookie").to_owned();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    let (one, other) = (Browser::open(&control, "admin", &password), Browser::open(&control, "admin", &password));
    assert_eq!(one.send(&control, "DELETE", "/session", "").status, 204);
    one.send(&control, "GET", "/session", "").problem(401);
    let change = |old: &str| json!({ "old": old, "new": "a new long password" }).to_string();
    other.send(&control, "PUT", "/session/password", &change("not the old one")).problem(401);
    assert_eq!(other.send(&control, "PUT", "/session/password", &change(&password)).status, 204);
    other.send(&control, "GET", "/session", "").problem(401);
    sign_in(&control, "admin", &password).problem(401);
    Browser::open(&control, "admin", "a new long password");
}

#[test]
fn a_page_of_another_site_changes_nothing_with_the_users_cookie() {
    let control = Control::start();
    let browser = Browser::open(&control, "admin", &control.first_password());
    let (cookie, csrf) = (("Cookie", browser.cookie.as_str()), ("Penstock-Csrf", browser.csrf.as_str()));
    let user = json!({ "name": "mallory", "role": "admin", "password": "long enough" }).to_string();
    let other = Browser::open(&control, "admin", &control.first_password());
    for headers in [
        vec![cookie, JSON],
        vec![cookie, JSON, ("Penstock-Csrf", "")],
        vec![cookie, JSON, ("Penstock-Csrf", other.csrf.as_str())],
        vec![cookie, JSON, csrf, ("Sec-Fetch-Site", "cross-site")],
        vec![cookie, JSON, csrf, ("Origin", "http://evil.example")],
    ] {
        control.send("POST", "/api/v1/users", &headers, &user).problem(403);
    }
    let form = [cookie, ("Content-Type", "application/x-www-form-urlencoded")];
    control.send("POST", "/api/v1/users", &form, "name=mallory").problem(403);
    let cross = [JSON, ("Sec-Fetch-Site", "cross-site")];
    let credentials = json!({ "user": "admin", "password": control.first_password() }).to_string();
    control.send("POST", "/api/v1/session", &cross, &credentials).problem(403);
    assert_eq!(control.get("/users").json()["users"].as_array().unwrap().len(), 1);
}

#[test]
fn each_role_may_what_the_table_says_and_no_more() {
    let control = Control::start();
    control.put_policy(&policy("contoso.com"));
    // What is asked for is malformed on purpose where it would change something: 400, 415 and 422 mean "let in".
    let asked: [(&str, &str, &[&str]); 9] = [
        ("GET", "/policy", &["admin", "operator", "auditor", "viewer"]),
        ("GET", "/events", &["admin", "operator", "auditor", "viewer"]),
        ("GET", "/events?unmask=true", &["admin", "auditor"]),
        ("GET", "/events?user=alice", &["admin", "auditor"]),
        ("PUT", "/policy", &["admin", "operator"]),
        ("POST", "/policy/rollback", &["admin", "operator"]),
        ("GET", "/trail", &["admin", "auditor"]),
        ("POST", "/users", &["admin"]),
        ("POST", "/ca/rotate", &["admin"]),
    ];
    for role in ["admin", "operator", "auditor", "viewer"] {
        let token = make_token(&control, role);
        add_user(&control, role.to_uppercase().as_str(), role);
        let browser = Browser::open(&control, &role.to_uppercase(), &format!("password of {}", role.to_uppercase()));
        for (method, path, allowed) in asked {
            let by_token = with_token(&control, &token, method, path, "{").status;
            let by_cookie = browser.send(&control, method, path, "{").status;
            assert_eq!(by_token, by_cookie, "{role}: {method} {path}");
            assert_eq!(by_token == 403, !allowed.contains(&role), "{role}: {method} {path}: {by_token}");
            assert!([200, 400, 403, 415, 422].contains(&by_token), "{role}: {method} {path}: {by_token}");
        }
    }
}

#[test]
fn a_token_is_shown_once_and_dies_when_it_is_revoked_or_its_owner_goes() {
    let control = Control::start();
    let token = make_token(&control, "viewer");
    assert_eq!(with_token(&control, &token, "GET", "/nodes", "").status, 200);
    let secret = token["token"].as_str().unwrap();
    assert!(!holds(&state_bytes(&control), secret) && !control.get("/tokens").body.contains(secret));
    assert_eq!(control.api("DELETE", &format!("/tokens/{}", token["id"].as_str().unwrap()), &[], "").status, 204);
    with_token(&control, &token, "GET", "/nodes", "").problem(401);
    add_user(&control, "second", "admin");
    let browser = Browser::open(&control, "second", "password of second");
    let made = browser.send(&control, "POST", "/tokens", r#"{"role":"operator","days":1}"#).json();
    assert_eq!(made["owner"], "second");
    assert_eq!(with_token(&control, &made, "GET", "/nodes", "").status, 200);
    assert_eq!(control.api("DELETE", "/users/second", &[], "").status, 204);
    with_token(&control, &made, "GET", "/nodes", "").problem(401);
    browser.send(&control, "GET", "/session", "").problem(401);
    control.api("POST", "/tokens", &[JSON], r#"{"role":"viewer","days":0}"#).problem(422);
    control.api("POST", "/tokens", &[JSON], r#"{"role":"root","days":1}"#).problem(422);
}

#[test]
fn somebody_can_always_manage_users() {
    let control = Control::start();
    control.api("DELETE", "/users/admin", &[], "").problem(409);
    control.api("PATCH", "/users/admin", &[JSON], r#"{"role":"viewer"}"#).problem(409);
    add_user(&control, "second", "admin");
    assert_eq!(control.api("DELETE", "/users/admin", &[], "").status, 204);
    control.api("DELETE", "/users/second", &[], "").problem(409);
    control.api("DELETE", "/users/nobody", &[], "").problem(404);
    let second = json!({ "name": "second", "role": "viewer", "password": "long enough" }).to_string();
    control.api("POST", "/users", &[JSON], &second).problem(409);
    for name in ["", "a b", "token:file", "../x", "<script>"] {
        let user = json!({ "name": name, "role": "viewer", "password": "long enough" }).to_string();
        control.api("POST", "/users", &[JSON], &user).problem(422);
    }
}

#[test]
fn passwords_cannot_be_guessed_at_speed() {
    let control = Control::start();
    add_user(&control, "alice", "viewer");
    for attempt in 0..5 {
        sign_in(&control, "alice", &format!("guess {attempt}")).problem(401);
    }
    let refused = sign_in(&control, "alice", "password of alice");
    refused.problem(429);
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1), "{:?}", refused.headers);
    // Another name is not held up by it.
    Browser::open(&control, "admin", &control.first_password());
    let told: Vec<u16> = (0..40).map(|name| sign_in(&control, &format!("name{name}"), "guess").status).collect();
    assert!(told.contains(&401) && told.ends_with(&[429; 10]), "{told:?}");
}

#[test]
fn the_trail_tells_who_did_what_from_where_and_what_came_of_it() {
    let control = Control::start();
    add_user(&control, "olivia", "operator");
    let browser = Browser::open(&control, "olivia", "password of olivia");
    sign_in(&control, "olivia", "wrong password").problem(401);
    let toml = [("Cookie", browser.cookie.as_str()), ("Penstock-Csrf", &browser.csrf), ("Content-Type", "text/toml")];
    let put = control.send("PUT", "/api/v1/policy?author=someone-else", &toml, &policy("contoso.com"));
    assert_eq!(put.status, 200, "{}", put.body);
    browser.send(&control, "POST", "/users", "{}").problem(403);
    browser.send(&control, "GET", "/nodes", "");
    let trail = control.get("/trail").json();
    let told: Vec<[&str; 4]> = trail["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| ["who", "act", "subject", "outcome"].map(|field| entry[field].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ["olivia", "manage_access", "POST /users", "refused"],
            ["olivia", "change_policy", "epoch 1 published", "done"],
            ["olivia", "sign_in", "", "refused"],
            ["olivia", "sign_in", "", "done"],
            ["token:file", "manage_access", "user olivia added as operator", "done"],
        ]
    );
    assert!(trail["entries"].as_array().unwrap().iter().all(|entry| entry["address"] == "127.0.0.1"), "{trail}");
    // The history names who was signed in, whatever the request claims.
    assert_eq!(control.get("/policy/history").json()["revisions"][0]["author"], "olivia");
    let page = control.get("/trail?limit=2&who=olivia").json();
    let next = page["next"].as_u64().unwrap();
    let rest = control.get(&format!("/trail?who=olivia&before={next}")).json();
    assert_eq!((page["entries"].as_array().unwrap().len(), rest["entries"].as_array().unwrap().len()), (2, 2));
}

#[test]
fn names_of_people_are_shown_only_to_who_may_and_asks_and_that_is_told() {
    let control = Control::start();
    let mut node = Node::attach(&control, "alpha");
    let event = Event {
        time: timestamp(1_795_000_000_000),
        flow: "1-1-0".to_owned(),
        source: "10.0.0.7".to_owned(),
        status: "denied".to_owned(),
        user: Some("alice".to_owned()),
        username: Some("alice@contoso.com".to_owned()),
        ..Event::default()
    };
    node.record("alpha", "boot-1", &[(1, serde_json::to_string(&event).unwrap())]).unwrap();
    let auditor = make_token(&control, "auditor");
    for path in ["/events", "/events?format=csv", "/events?unmask=false"] {
        let masked = with_token(&control, &auditor, "GET", path, "");
        assert!(masked.status == 200 && !masked.body.contains("alice"), "{}", masked.body);
        assert!(masked.body.contains("a***@contoso.com"), "{}", masked.body);
    }
    for path in ["/events?unmask=true", "/events?unmask=true&format=csv", "/events?user=alice"] {
        assert!(with_token(&control, &auditor, "GET", path, "").body.contains("alice@contoso.com"), "{path}");
    }
    assert!(control.get("/events").body.contains("alice@contoso.com"));
    let viewer = make_token(&control, "viewer");
    with_token(&control, &viewer, "GET", "/events?unmask=true", "").problem(403);
    let trail = control.get("/trail?act=unmask").json();
    let told: Vec<String> = trail["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| format!("{} {}", entry["subject"].as_str().unwrap(), entry["outcome"].as_str().unwrap()))
        .collect();
    let all = "events of everyone done".to_owned();
    let refused = "events of everyone refused".to_owned();
    assert_eq!(told, [refused, all.clone(), "events of alice done".to_owned(), all.clone(), all]);
}
