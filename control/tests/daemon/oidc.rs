//! Signing in by an OpenID provider, with a provider that lies, browsers that are led astray, and one that is away. The way
//! by a real provider in a real browser is among the end-to-end tests.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use penstock_tests::certificate::TestAuthority;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::control::{Control, Reply, command, until};
use crate::provider::{CLIENT_SECRET, Key, Provider, challenge, now, sign_by_nothing, sign_by_secret};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// The configuration for a provider of that name, its secret in a file of the folder.
fn table(folder: &Path, issuer: &str, more: &str) -> String {
    let secret = folder.join("secret");
    fs::write(&secret, format!("{CLIENT_SECRET}\n")).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    format!(
        "[oidc]\nissuer = {issuer:?}\nclient_id = \"penstock\"\nclient_secret_file = {secret:?}\n{more}\n\
         [oidc.roles]\negress-operators = \"operator\"\negress-admins = \"admin\"\n"
    )
}

fn control(provider: &Provider, more: &str) -> Control {
    let folder = Arc::new(TempDir::new().unwrap());
    let table = table(folder.path(), &provider.issuer(), more);
    Control::start_in(folder, &table)
}

/// A browser that was sent to the provider.
struct Away {
    /// `name=value`.
    ticket: String,
    place: String,
}

impl Away {
    fn begin(control: &Control) -> Self {
        Self::begin_for(control, "")
    }

    fn begin_for(control: &Control, query: &str) -> Self {
        let reply = control.send("GET", &format!("/sign-in/oidc{query}"), &[], "");
        assert_eq!(reply.status, 303, "{}", reply.body);
        let cookie = reply.header("set-cookie");
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=600"), "{cookie}");
        Self { ticket: cookie.split(';').next().unwrap().to_owned(), place: reply.header("location").to_owned() }
    }

    /// A parameter of the request to the provider; none here needs unescaping.
    fn asked(&self, name: &str) -> &str {
        let query = self.place.split_once('?').unwrap().1;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
    }

    /// Comes back with a code and what more the provider says.
    fn back(&self, control: &Control, more: &str) -> Reply {
        come_back(control, &self.ticket, &format!("code=c&state={}{more}", self.asked("state")))
    }
}

fn come_back(control: &Control, cookie: &str, query: &str) -> Reply {
    control.send("GET", &format!("/sign-in/oidc/callback?{query}"), &[("Cookie", cookie)], "")
}

/// The session's cookie of an answer that gives one.
fn session(reply: &Reply) -> Option<String> {
    let cookies = reply.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    let given = cookies.map(|cookie| cookie.split(';').next().unwrap()).find(|cookie| cookie.starts_with("penstock="));
    given.filter(|cookie| *cookie != "penstock=").map(str::to_owned)
}

/// A whole sign-in with these claims in the place of those that are in order.
fn sign_in(control: &Control, provider: &Provider, other: Value) -> Reply {
    let away = Away::begin(control);
    let mut claims = provider.claims(away.asked("nonce"));
    claims.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    provider.give(&provider.key.sign(&claims));
    away.back(control, "")
}

fn who(control: &Control, cookie: &str) -> Value {
    control.send("GET", "/api/v1/session", &[("Cookie", cookie)], "").json()
}

fn trail(control: &Control) -> Vec<[String; 3]> {
    let trail = control.get("/trail?act=sign_in").json();
    let entries = trail["entries"].as_array().unwrap().iter();
    entries.map(|entry| ["who", "subject", "outcome"].map(|field| entry[field].as_str().unwrap().to_owned())).collect()
}

#[test]
fn a_code_is_exchanged_with_what_only_the_appliance_knows() {
    let provider = Provider::start();
    let control = control(&provider, "name = \"Contoso\"");
    let page = control.send("GET", "/sign-in?to=%2Freport", &[], "");
    assert!(
        page.body.contains("Sign in with Contoso") && page.body.contains("/sign-in/oidc?to=/report"),
        "{}",
        page.body
    );
    let away = Away::begin_for(&control, "?to=%2Freport");
    assert!(away.place.starts_with(&format!("{}/authorize?response_type=code&", provider.issuer())), "{}", away.place);
    assert_eq!((away.asked("code_challenge_method"), away.asked("scope")), ("S256", "openid+profile+email"));
    provider.give(&provider.key.sign(&provider.claims(away.asked("nonce"))));
    let back = away.back(&control, "");
    assert_eq!(back.status, 200, "{}", back.body);
    assert!(back.body.contains("content=\"0; url=/report\""), "{}", back.body);
    let me = who(&control, &session(&back).unwrap());
    assert_eq!((me["name"].as_str(), me["role"].as_str()), (Some("oidc:alice"), Some("operator")), "{me}");
    let (head, body) = provider.asked("/token").remove(0);
    let verifier = body.split('&').find_map(|pair| pair.strip_prefix("code_verifier=")).unwrap();
    assert_eq!(challenge(verifier), away.asked("code_challenge"));
    assert!(!away.place.contains(verifier) && body.contains("sign-in%2Foidc%2Fcallback"), "{body}");
    // Form-encoded first, RFC 6749 section 2.3.1.
    let basic = BASE64_STANDARD.encode("penstock:the+secret+of+the+client");
    assert!(head.contains(&format!("authorization: Basic {basic}\r\n")), "{head}");
    assert_eq!(trail(&control), [["oidc:alice", "by the OpenID provider", "done"]]);
}

#[test]
fn an_id_token_that_does_not_hold_signs_nobody_in() {
    let provider = Provider::start();
    let control = control(&provider, "");
    let stranger = Key::new("one");
    let signed = |other: Value| {
        let away = Away::begin(&control);
        let mut claims = provider.claims(away.asked("nonce"));
        claims.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        (away, claims)
    };
    for (other, told) in [
        (json!({ "iss": "https://evil.example" }), "issuer"),
        (json!({ "aud": "another" }), "audience"),
        (json!({ "aud": ["penstock", "another"] }), "audience"),
        (json!({ "azp": "another" }), "azp"),
        (json!({ "exp": now() - 120 }), "Expired"),
        (json!({ "iat": now() + 120 }), "future"),
        (json!({ "iat": now() - 3_600 }), "long ago"),
        (json!({ "nonce": "of another sign-in" }), "nonce"),
        (json!({ "nonce": null }), "nonce"),
        (json!({ "sub": "" }), "about nobody"),
    ] {
        let reply = sign_in(&control, &provider, other.clone());
        assert_eq!((reply.status, session(&reply)), (403, None), "{other}");
        assert!(reply.body.contains("cannot be trusted") && reply.body.contains(told), "{other}: {}", reply.body);
    }
    for sign in [sign_by_nothing, sign_by_secret, |claims: &Value| Key::new("one").sign(claims)] {
        let (away, claims) = signed(json!({}));
        provider.give(&sign(&claims));
        let reply = away.back(&control, "");
        assert_eq!((reply.status, session(&reply)), (403, None), "{}", reply.body);
    }
    let (away, claims) = signed(json!({ "groups": ["egress-admins"] }));
    let token = stranger.sign(&claims);
    let (forged, _) = token.rsplit_once('.').unwrap();
    let good = provider.key.sign(&provider.claims("other"));
    provider.give(&format!("{forged}.{}", good.rsplit_once('.').unwrap().1));
    assert_eq!(away.back(&control, "").status, 403);
    assert!(
        trail(&control).iter().all(|[who, _, outcome]| who == "oidc" && outcome == "refused"),
        "{:?}",
        trail(&control)
    );
    // Clocks that differ a little are no lie.
    assert_eq!(sign_in(&control, &provider, json!({ "exp": now() - 20, "iat": now() + 20 })).status, 200);
}

#[test]
fn an_answer_counts_once_and_in_the_browser_that_asked() {
    let provider = Provider::start();
    let control = control(&provider, "");
    let (mine, attackers) = (Away::begin(&control), Away::begin(&control));
    provider.give(&provider.key.sign(&provider.claims(attackers.asked("nonce"))));
    let query = format!("code=c&state={}", attackers.asked("state"));
    for cookie in ["", "penstock-ticket=", mine.ticket.as_str(), "penstock-ticket=0000./"] {
        let reply = come_back(&control, cookie, &query);
        assert_eq!((reply.status, session(&reply)), (403, None), "{cookie}");
        assert!(reply.body.contains("not begun in this browser"), "{}", reply.body);
    }
    // The attacker's code under the state of the one who is led astray: made for another nonce.
    let reply = mine.back(&control, "");
    assert!(reply.status == 403 && reply.body.contains("nonce"), "{}", reply.body);
    let reply = attackers.back(&control, "");
    assert_eq!(reply.status, 200, "{}", reply.body);
    let again = attackers.back(&control, "");
    assert_eq!((again.status, session(&again)), (403, None));
    assert!(again.body.contains("used before"), "{}", again.body);
    assert_eq!(provider.asked("/token").len(), 2, "no code of a stranger's reaches the provider");
}

#[test]
fn an_answer_of_another_provider_is_not_taken() {
    let provider = Provider::start();
    provider.said.lock().unwrap().names_itself = true;
    let control = control(&provider, "");
    for iss in ["", "&iss=https%3A%2F%2Fevil.example"] {
        let away = Away::begin(&control);
        let reply = away.back(&control, iss);
        assert_eq!((reply.status, session(&reply)), (403, None), "{iss}");
        assert!(reply.body.contains("not from the OpenID provider"), "{}", reply.body);
    }
    assert!(provider.asked("/token").is_empty());
    let away = Away::begin(&control);
    provider.give(&provider.key.sign(&provider.claims(away.asked("nonce"))));
    let iss = format!("&iss={}", provider.issuer());
    assert_eq!(away.back(&control, &iss).status, 200);
}

#[test]
fn nobody_is_led_to_another_site() {
    let provider = Provider::start();
    let control = control(&provider, "");
    for to in ["//evil.example", "https://evil.example", "/\\evil.example", "/%09/evil.example", "/;evil", "/\u{e4}"] {
        let away = Away::begin_for(&control, &format!("?to={to}"));
        assert!(away.ticket.ends_with("./"), "{to}: {}", away.ticket);
    }
    let mut away = Away::begin(&control);
    provider.give(&provider.key.sign(&provider.claims(away.asked("nonce"))));
    away.ticket.push_str("/evil.example");
    let reply = away.back(&control, "");
    assert_eq!(reply.status, 200);
    assert!(reply.body.contains("content=\"0; url=/\"") && !reply.body.contains("evil"), "{}", reply.body);
}

#[test]
fn roles_are_those_that_the_provider_gives_now() {
    let provider = Provider::start();
    let control = control(&provider, "");
    let first = session(&sign_in(&control, &provider, json!({}))).unwrap();
    assert_eq!(who(&control, &first)["role"], "operator");
    let risen = sign_in(&control, &provider, json!({ "groups": ["egress-admins", "egress-operators"] }));
    assert_eq!(who(&control, &session(&risen).unwrap())["role"], "admin");
    // Somebody else of that name is not her.
    let other = sign_in(&control, &provider, json!({ "sub": "subject-2", "groups": ["egress-admins"] }));
    assert!(other.status == 403 && other.body.contains("another person of this name"), "{}", other.body);
    let none = sign_in(&control, &provider, json!({ "groups": ["staff"] }));
    assert!(none.status == 403 && none.body.contains("gives you no role"), "{}", none.body);
    assert_eq!(who(&control, &first)["status"], 401, "sessions of the role of once are over");
    let nobody = sign_in(&control, &provider, json!({ "sub": "3", "preferred_username": "mallory", "groups": [] }));
    assert_eq!(nobody.status, 403);
    assert!(!control.get("/users").body.contains("mallory"));
    let told: Vec<String> = trail(&control).iter().map(|entry| entry.join(" ")).collect();
    assert!(told[0].starts_with("oidc:mallory the OpenID provider gives you no role") && told[0].ends_with("refused"));
    assert!(told[2].starts_with("oidc:alice another person") && told[4] == "oidc:alice by the OpenID provider done");
}

#[test]
fn who_the_provider_knows_has_no_password_and_passwords_can_be_turned_off() {
    let provider = Provider::start();
    let running = control(&provider, "");
    let cookie = session(&sign_in(&running, &provider, json!({}))).unwrap();
    let change = json!({ "password": "a long new password" }).to_string();
    running.api("PATCH", "/users/oidc:alice", &[JSON], &change).problem(409);
    for password in ["", "a long new password"] {
        let credentials = json!({ "user": "oidc:alice", "password": password }).to_string();
        running.send("POST", "/api/v1/session", &[JSON], &credentials).problem(401);
    }
    let page = running.send("GET", "/account", &[("Cookie", &cookie)], "");
    assert!(page.status == 200 && !page.body.contains("Change the password"), "{}", page.body);
    let password = running.first_password();
    let local = json!({ "user": "admin", "password": password }).to_string();
    let reply = running.send("POST", "/api/v1/session", &[JSON], &local);
    let local_cookie = session(&reply).unwrap();
    let folder = running.kill();
    let table = table(folder.path(), &provider.issuer(), "passwords = false");
    let closed = Control::start_in(folder, &table);
    closed.send("POST", "/api/v1/session", &[JSON], &local).problem(403);
    let form = closed.send("POST", "/sign-in", &[FORM], &format!("user=admin&password={password}"));
    assert!(
        form.status == 403 && session(&form).is_none() && !form.body.contains("type=\"password\""),
        "{}",
        form.body
    );
    assert_eq!(who(&closed, &local_cookie)["status"], 401, "sessions by password are over");
    assert_eq!(who(&closed, &cookie)["name"], "oidc:alice");
    assert_eq!(closed.get("/users").status, 200, "the token file still opens the API");
    // Without the provider's table nobody answers for her.
    let without = Control::start_in(closed.kill(), "");
    assert_eq!(who(&without, &cookie)["status"], 401);
    assert_eq!(without.send("GET", "/sign-in/oidc", &[], "").status, 404);
}

#[test]
fn keys_may_change_and_the_provider_may_be_away() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let port = listener.local_addr().unwrap();
    drop(listener);
    let folder = Arc::new(TempDir::new().unwrap());
    let table = table(folder.path(), &issuer, "");
    let control = Control::start_in(folder, &table);
    let refused = control.send("GET", "/sign-in/oidc", &[], "");
    assert!(refused.status == 503 && refused.body.contains("cannot be reached"), "{}", refused.body);
    assert!(control.send("GET", "/healthz", &[], "").status == 200);
    let mut provider = Provider::start_at(until("the port", || TcpListener::bind(port).ok()));
    assert_eq!(sign_in(&control, &provider, json!({})).status, 200);
    let asked = provider.asked("/keys").len();
    provider.key = Key::new("two");
    provider.said.lock().unwrap().keys = provider.key.published();
    assert_eq!(sign_in(&control, &provider, json!({})).status, 200);
    assert_eq!(sign_in(&control, &provider, json!({})).status, 200);
    assert_eq!(provider.asked("/keys").len(), asked + 1, "new keys are fetched once");
    provider.said.lock().unwrap().token =
        json!({ "error": "invalid_grant", "error_description": "code is <b>old</b>" });
    let reply = Away::begin(&control).back(&control, "");
    assert!(reply.status == 403 && reply.body.contains("code is &lt;b&gt;old"), "{}", reply.body);
    let away = Away::begin(&control);
    let denied = format!("error=access_denied&error_description=no%0aentry&state={}", away.asked("state"));
    let reply = come_back(&control, &away.ticket, &denied);
    assert!(reply.status == 403 && reply.body.contains("access_denied (noentry)"), "{}", reply.body);
}

#[test]
fn a_provider_is_known_by_its_certificate() {
    let authority = TestAuthority::new("of the provider");
    let provider = Provider::start_tls(&authority);
    let stranger = control(&provider, "");
    let refused = stranger.send("GET", "/sign-in/oidc", &[], "");
    assert!(refused.status == 503 && refused.body.contains("invalid peer certificate"), "{}", refused.body);
    assert!(provider.said.lock().unwrap().asked.is_empty());
    let folder = TempDir::new().unwrap();
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, authority.root_pem()).unwrap();
    let knowing = control(&provider, &format!("ca_file = {ca:?}"));
    assert_eq!(sign_in(&knowing, &provider, json!({})).status, 200);
}

#[test]
fn strangers_cannot_fill_the_trail() {
    let provider = Provider::start();
    let control = control(&provider, "");
    let told: Vec<u16> = (0..40).map(|_| come_back(&control, "", "code=a&state=b").status).collect();
    assert!(told.starts_with(&[403; 20]) && told.ends_with(&[429; 10]), "{told:?}");
    assert!(trail(&control).len() <= 25, "{}", trail(&control).len());
}

#[test]
fn mistakes_are_told_with_file_line_and_reason() {
    let folder = TempDir::new().unwrap();
    let mut good = table(folder.path(), "https://id.example", "");
    let said = |text: &str| {
        let output = command(folder.path(), text).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let told = said(&good.replace("https://id.example", "id.example"));
    assert!(told.contains("control.toml") && told.contains("line 4") && told.contains("no URL"), "{told}");
    let told = said(&good.replace("\"operator\"", "\"root\""));
    assert!(told.contains("control.toml") && told.contains("line 9") && told.contains("unknown variant"), "{told}");
    let secret = folder.path().join("secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).unwrap();
    let told = said(&good);
    assert!(told.contains("[oidc]") && told.contains(&format!("chmod 600 {}", secret.display())), "{told}");
    fs::remove_file(&secret).unwrap();
    assert!(said(&good).contains(secret.to_str().unwrap()));
    good.insert_str(0, "audit_days_max = 0\n");
    let told = said(&good);
    assert!(told.contains("control.toml: audit_days_max"), "{told}");
}
