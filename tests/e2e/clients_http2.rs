//! Real clients over HTTP/2: curl, nghttp2's tools, Python's h2, browsers' handshakes, and a browser.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::forwarder;
use penstock_tests::place;
use penstock_tests::saas::Saas;
use penstock_tests::upstream::{Seen, Upstream};
use serde_json::{Value, json};

use crate::clients::{before_saas, curl, python, text};

const ENTRA: &str = "login.microsoftonline.com";
const PASSED: &str = "www.example.org";

/// Every connection agreed on HTTP/2.
fn assert_http2(seen: &[Seen]) {
    assert!(!seen.is_empty() && seen.iter().all(|seen| seen.alpn.as_deref() == Some("h2")), "{seen:?}");
}

#[test]
fn curl_signs_in_over_http_2() {
    let (_saas, appliance) = before_saas();
    let ask = |arguments: &[&str]| {
        let output = curl(&appliance, &[&["--http2", "-w", "\n%{http_version}"], arguments].concat());
        let said = text(&output);
        assert!(said.ends_with("\n2"), "{said}");
        said
    };
    let token = |tenant: &str| {
        let url = format!("https://{ENTRA}/{tenant}/oauth2/v2.0/token");
        let form = "grant_type=client_credentials&client_id=a&client_secret=b&scope=c";
        ask(&["-d", form, "-H", "Restrict-Access-To-Tenants: evil.example", &url])
    };
    assert!(token("contoso.com").contains("\"access_token\""), "{}", token("contoso.com"));
    assert!(token("evil.example").contains("AADSTS500021"), "{}", token("evil.example"));
    let consumer = ask(&["https://login.live.com/login.srf"]);
    assert!(consumer.contains("has blocked access") && !consumer.contains("signed in"), "{consumer}");
    let seen = ask(&[&format!("https://{ENTRA}/__seen")]);
    let seen: Value = serde_json::from_str(seen.strip_suffix("\n2").unwrap()).unwrap();
    let requests = seen["requests"].as_array().unwrap();
    assert!(requests.len() >= 3, "{seen}");
    for request in requests {
        assert!(request["request_line"].as_str().unwrap().ends_with(" HTTP/2"), "{request}");
        let lines = request["headers"].as_array().unwrap().iter().filter_map(Value::as_str);
        let own: Vec<&str> = lines.filter(|line| line.starts_with("restrict-access-to")).collect();
        assert_eq!(
            own,
            ["restrict-access-to-tenants: contoso.com,fabrikam.onmicrosoft.com,aaaabbbb-0000-cccc-1111-dddd2222eeee"]
        );
    }
    let events = appliance.admin().await_events("status=denied", 2);
    assert!(events.iter().all(|event| event["http"] == "2"), "{events:?}");
}

#[test]
fn curl_moves_bulk_over_http_2() {
    let upstream = Upstream::plan()
        .answering(|request, out| {
            let digest = request.body.len();
            out.write_all(
                format!("HTTP/1.1 200 OK\r\nX-Length: {digest}\r\nContent-Length: {digest}\r\n\r\n").as_bytes(),
            )
            .and_then(|()| out.write_all(&request.body))
            .map_or(penstock_tests::upstream::Then::Reset, |()| penstock_tests::upstream::Then::Keep)
        })
        .start();
    let appliance = Appliance::before(&upstream);
    let bytes = if place::quick() { 4_000_003 } else { 100_000_007_usize };
    let (sent, received) = (appliance.state().join("sent"), appliance.state().join("received"));
    let content: Vec<u8> = (0..bytes).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(&sent, &content).unwrap();
    let url = format!("https://{ENTRA}/echo");
    let (from, to) = (sent.to_str().unwrap(), received.to_str().unwrap());
    let output = curl(&appliance, &["--http2", "-T", from, "-o", to, "-w", "%{http_version} %{http_code}", &url]);
    assert_eq!(text(&output), "2 200", "{}", appliance.log());
    assert!(fs::read(&received).unwrap() == content);
    assert!(upstream.requests()[0].body == content);
    assert_http2(&upstream.seen());
}

fn assert_python_clients(said: &Value) {
    for client in ["httpx", "chrome", "firefox", "safari", "edge"] {
        assert_eq!(said[client], json!([[200, "HTTP/2"], [200, "HTTP/2"], [200, "HTTP/2"]]), "{client}: {said}");
    }
}

#[test]
fn python_and_browser_handshakes_over_http_2() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let url = format!("https://{ENTRA}/common");
    let Some(said) = python(&appliance, &appliance.root(), "http2.py", &[&url, "3"]) else { return };
    assert_python_clients(&said);
    assert_http2(&upstream.seen());
    let requests = upstream.requests();
    assert_eq!(requests.len(), 15);
    let numbers: Vec<&str> = requests.iter().flat_map(|request| request.values("x-number")).collect();
    assert_eq!(numbers, ["0", "1", "2"]);
    assert_eq!(requests.iter().flat_map(|request| request.values("x-between")).count(), 3);
}

#[test]
fn python_and_browser_handshakes_over_http_2_of_a_passed_host() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let url = format!("https://{PASSED}/");
    let Some(said) = python(&appliance, &upstream.ca(), "http2.py", &[&url, "3"]) else { return };
    assert_python_clients(&said);
    assert_http2(&upstream.seen());
}

/// A program without CONNECT, against a plain port that leads through the appliance.
fn direct(program: &str, arguments: &[&str]) -> Option<String> {
    let output: Output = Command::new(place::program(program)?).args(arguments).output().unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    Some(said)
}

#[test]
fn h2load_finds_nothing_missing() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let port = forwarder::forward(appliance.proxy(), &format!("{ENTRA}:443"));
    let requests = if place::quick() { "500" } else { "5000" };
    let (connect, url) = (format!("--connect-to={port}"), format!("https://{ENTRA}/load"));
    let own = "restrict-access-to-tenants: evil.example";
    let Some(said) = direct("h2load", &["-n", requests, "-c", "5", "-m", "40", "-H", own, &connect, &url]) else {
        return;
    };
    assert!(said.contains("Application protocol: h2"), "{said}");
    assert!(said.contains(&format!("{requests} succeeded, 0 failed, 0 errored")), "{said}");
    assert_eq!(upstream.requests().len().to_string(), requests);
    assert_http2(&upstream.seen());
}

#[test]
fn nghttp_pads_depends_and_sends_trailers() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let port = forwarder::forward(appliance.proxy(), &format!("{ENTRA}:443"));
    let file = appliance.state().join("body");
    fs::write(&file, vec![7; 300_000]).unwrap();
    let (authority, url) = (format!(":authority: {ENTRA}"), format!("https://{port}/upload"));
    let body = file.to_str().unwrap();
    let arguments = [
        "-v",
        "-y",
        "--padding=100",
        "--trailer=restrict-access-to-tenants: evil.example",
        "-H",
        &authority,
        "-d",
        body,
    ];
    let Some(said) = direct("nghttp", &[&arguments[..], &["-m", "5", &url]].concat()) else { return };
    assert!(said.contains("The negotiated protocol: h2"), "{said}");
    assert_eq!(said.matches(":status: 200").count(), 5, "{said}");
    let requests = upstream.requests();
    assert_eq!(requests.len(), 5);
    assert!(requests.iter().all(|request| request.body == vec![7; 300_000]));
}

/// A browser loads a page and its parts over one connection.
#[test]
fn chromium_signs_in_over_http_2() {
    let saas = Saas::start();
    let appliance = Setup::default().saas(&saas).start();
    let path = "/contoso.com/v2.0/.well-known/openid-configuration";
    let Some(page) = crate::ca::browse_trusting(&appliance, &format!("https://{ENTRA}{path}")) else { return };
    assert!(page.contains("jwks_uri"), "{page}\n{}", appliance.log());
    let events = appliance.admin().await_events("connector=microsoft-entra", 1);
    let page = events.iter().find(|event| event["path"] == path).unwrap_or_else(|| panic!("{events:?}"));
    assert_eq!((&page["http"], &page["status"]), (&json!("2"), &json!("allowed")));
}

/// What the user of a foreign tenant sees: the vendor's refusal, as a page and as a picture.
#[test]
fn chromium_shows_the_refusal_of_a_foreign_tenant() {
    let saas = Saas::start();
    let appliance = Setup::default().saas(&saas).start();
    let path = "/evil.example/oauth2/v2.0/authorize";
    let url = format!("https://{ENTRA}{path}?client_id=a&response_type=code");
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("refusal.png");
    let _ = fs::remove_file(&picture);
    let shoot = format!("--screenshot={}", picture.display());
    let Some(page) = crate::ca::browse_trusting(&appliance, &url) else { return };
    assert!(page.contains("Your network administrator has blocked access"), "{page}\n{}", appliance.log());
    assert!(page.contains("AADSTS500021"), "{page}");
    crate::ca::browse_trusting_with(&appliance, &url, &["--window-size=900,600", "--hide-scrollbars", &shoot]);
    let events = appliance.admin().await_events("status=denied&connector=microsoft-entra", 2);
    assert!(events.iter().all(|event| event["http"] == "2" && event["path"] == path), "{events:?}");
    let Some(seen) = python(&appliance, &appliance.root(), "picture.py", &[picture.to_str().unwrap()]) else { return };
    assert_eq!(seen["size"], json!([900, 600]), "{seen}");
    // Text on a plain ground: neither blank nor noise.
    let drawn = seen["drawn"].as_f64().unwrap();
    assert!(seen["colours"].as_u64() > Some(8) && (0.005..0.5).contains(&drawn), "{seen}");
}
