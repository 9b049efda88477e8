//! Section B of the hostile cases, through the wire: which host is it?

use std::io::Write as _;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client::{self, Client};
use penstock_tests::place;
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::{Then, Upstream, no_expectations};
use penstock_tests::wait;

const ENTRA: &str = "login.microsoftonline.com";
const PASSED: &str = "www.example.org";

/// A handshake for `sni` in a tunnel to `authority`.
fn cross(appliance: &Appliance, upstream: &Upstream, authority: &str, sni: &str) -> std::io::Result<Client> {
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    let head = format!("CONNECT {authority}:443 HTTP/1.1\r\nHost: {authority}:443\r\n\r\n");
    let answer = tunnel::ask(&mut stream, head.as_bytes());
    if answer.status != 200 {
        return Err(std::io::Error::other(format!("{}", answer.status)));
    }
    Client::connect(stream, sni, client::config(&[&appliance.root(), &upstream.ca()]))
}

/// A status to a request line and a Host line, or `None` when the connection closed without one.
fn status(appliance: &Appliance, head: &str) -> Option<u16> {
    let mut client = appliance.client(ENTRA);
    client.send(head);
    client.next_answer(false).map(|answer| answer.status)
}

#[test]
fn h028_authority_and_server_name_must_agree_where_either_is_inspected() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    for (authority, sni) in [
        (ENTRA, PASSED),
        (PASSED, ENTRA),
        (ENTRA, "login.live.com"),
        ("onedrive.live.com", PASSED),
        (PASSED, "onedrive.live.com"),
    ] {
        assert!(cross(&appliance, &upstream, authority, sni).is_err(), "CONNECT {authority}, SNI {sni}");
    }
    assert!(upstream.seen().is_empty(), "a mismatch reached the origin");
    let events = appliance.admin().await_events("status=denied", 3);
    assert!(events.iter().any(|event| event["code"] == "name_mismatch"), "{events:?}");
    // Neither is inspected: nothing of ours.
    assert!(cross(&appliance, &upstream, PASSED, "other.example").is_ok());
}

#[test]
fn h029_an_attackers_address_behind_a_sign_in_name_gets_no_leaf() {
    let stranger = Upstream::plan().start();
    let other = Upstream::plan().start();
    // The authority that the appliance trusts is another one than the one that signs there.
    let appliance = Setup::default().host("*", stranger.address()).authority(other.ca()).start();
    assert!(appliance.try_client(ENTRA).is_err());
    let metrics = appliance.admin().metrics();
    assert_eq!(metrics.sum("penstock_leaf_minted_total", &[]), 0.0);
    let admin = appliance.admin();
    wait::until("the fault to be counted", || {
        (admin.metrics().sum("penstock_faults_total", &["leg=\"upstream\"", "kind=\"certificate"]) >= 1.0).then_some(())
    });
    let events = admin.await_events("status=fault", 1);
    assert!(events[0]["fault"].as_str().is_some_and(|fault| fault.starts_with("upstream/")), "{events:?}");
}

#[test]
fn h031_another_host_inside_an_inspected_connection_is_misdirected() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    for host in ["claude.ai", "login.live.com", "evil.example", "login.microsoftonline.com.evil.example"] {
        assert_eq!(status(&appliance, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), Some(421), "{host}");
    }
    assert!(upstream.requests().is_empty());
    let events = appliance.admin().await_events("", 4);
    assert!(events.iter().all(|event| event["status"] != "allowed"), "{events:?}");
}

#[test]
fn h033_no_second_name_can_ride_on_an_inspected_connection() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let chain = appliance.client("accounts.google.com").chain();
    let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).unwrap();
    assert_eq!(leaf.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 1);
    let mut client = appliance.client("accounts.google.com");
    assert_eq!(client.get("mail.google.com", "/").status, 421);
}

#[test]
fn h035_target_host_and_server_name_must_be_one() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    for (line, host) in [
        ("GET https://evil.example/ HTTP/1.1".to_owned(), ENTRA),
        (format!("GET https://{ENTRA}/ HTTP/1.1"), "evil.example"),
        (format!("GET http://{ENTRA}@evil.example/ HTTP/1.1"), ENTRA),
    ] {
        let found = status(&appliance, &format!("{line}\r\nHost: {host}\r\n\r\n"));
        assert!(matches!(found, Some(400 | 421)), "{line} with Host {host}: {found:?}");
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn h036_forms_of_the_host_field() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    for refused in [
        format!("Host: {ENTRA}:80\r\n"),
        format!("Host: {ENTRA}:0443\r\n"),
        format!("Host: user@{ENTRA}\r\n"),
        format!("Host: {ENTRA}/x\r\n"),
        format!("Host: {ENTRA}#x\r\n"),
        "Host:\r\n".to_owned(),
        format!("Host: {ENTRA}\r\nHost: {ENTRA}\r\n"),
        format!("Host: {ENTRA}\r\nHost: evil.example\r\n"),
        format!("Host: {ENTRA}, evil.example\r\n"),
        format!("Host: {ENTRA} evil.example\r\n"),
        String::new(),
    ] {
        let found = status(&appliance, &format!("GET / HTTP/1.1\r\n{refused}\r\n"));
        assert!(matches!(found, Some(400 | 421)), "{refused:?}: {found:?}");
    }
    assert!(upstream.requests().is_empty());
    for accepted in [ENTRA.to_uppercase(), format!("{ENTRA}:443"), format!("{ENTRA}.")] {
        let found = status(&appliance, &format!("GET / HTTP/1.1\r\nHost: {accepted}\r\n\r\n"));
        assert!(matches!(found, Some(200 | 400 | 421)), "{accepted}: {found:?}");
    }
}

#[test]
fn h037_an_origin_cannot_lure_clients_away() {
    let answer = b"HTTP/1.1 200 OK\r\nAlt-Svc: h3=\":443\"; ma=86400\r\nContent-Length: 2\r\nX-Kept: 1\r\n\r\nok";
    let upstream = Upstream::plan().bytes(answer, Then::Keep).start();
    let appliance = Appliance::before(&upstream);
    let answer = appliance.client(ENTRA).get(ENTRA, "/");
    assert_eq!(answer.header("alt-svc"), None, "{answer:?}");
    assert_eq!(answer.header("x-kept"), Some("1"));
    assert_eq!(answer.text(), "ok");
}

#[test]
fn h038_an_upgrade_to_h2c_is_not_offered_to_the_origin() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut client = appliance.client(ENTRA);
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: {ENTRA}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
    ));
    let status = client.answer().status;
    assert!(matches!(status, 200 | 400), "{status}");
    for request in upstream.requests() {
        assert_eq!(request.values("upgrade").count() + request.values("http2-settings").count(), 0, "{request:?}");
    }
}

#[test]
fn h039_no_tunnel_inside_an_inspected_connection() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    for target in [format!("{ENTRA}:443"), "evil.example:443".to_owned()] {
        let found = status(&appliance, &format!("CONNECT {target} HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n"));
        assert!(matches!(found, Some(400 | 405 | 421)), "{target}: {found:?}");
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn h040_nothing_passes_before_the_101() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut client = appliance.client("claude.ai");
    // The origin answers 200: what was sent behind is a request of its own and gets the headers too.
    client.send("GET /ws HTTP/1.1\r\nHost: claude.ai\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: claude.ai\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    let second = client.next_answer(false).map(|answer| answer.status);
    assert!(matches!(second, None | Some(200)), "{second:?}");
    upstream.verify();
}

#[test]
fn h041_the_preface_of_http_2_is_no_request() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let found = status(&appliance, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(matches!(found, None | Some(400 | 505)), "{found:?}");
    assert!(upstream.requests().is_empty());
}

#[test]
fn h042_a_tunnel_to_port_80_of_an_inspected_host_is_refused() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    let answer =
        tunnel::ask(&mut stream, format!("CONNECT {ENTRA}:80 HTTP/1.1\r\nHost: {ENTRA}:80\r\n\r\n").as_bytes());
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(upstream.seen().is_empty());
}

#[test]
fn h043_an_upstream_connection_serves_one_client() {
    let upstream = Upstream::plan().start();
    let appliance = Setup::default().upstream(&upstream).shards(1).start();
    for index in 0..5 {
        let mut client = appliance.client(ENTRA);
        assert_eq!(client.get(ENTRA, &format!("/{index}")).status, 200);
        client.finish();
    }
    let seen = upstream.seen();
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().all(|connection| connection.requests.len() == 1));
}

#[test]
fn h044_an_origin_that_asks_for_a_client_certificate_is_a_fault_that_is_told() {
    let upstream = Upstream::plan().asking_client_certificate().start();
    let appliance = Appliance::before(&upstream);
    let refused = match appliance.try_client(ENTRA) {
        Err(_) => true,
        Ok(mut client) => {
            let _ = client.try_send(format!("GET / HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n"));
            client.next_answer(false).is_none_or(|answer| answer.status == 502)
        }
    };
    assert!(refused);
    let events = appliance.admin().await_events("status=fault", 1);
    assert!(events[0]["fault"].as_str().is_some_and(|fault| fault.starts_with("upstream/")), "{events:?}");
}

#[test]
fn a_flow_without_profile_passes_even_to_a_sign_in_host() {
    let upstream = Upstream::plan().expecting(no_expectations).start();
    let policy =
        place::read(place::example_policy()).replace("\"127.0.0.0/8\", ", "").replace("\"127.0.0.2/32\", ", "");
    let appliance = Setup::default().policy(&policy).upstream(&upstream).start();
    let mut client = appliance.passed_client(ENTRA, &upstream.ca());
    client.send(b"raw".as_slice());
    client.finish();
    client.socket().write_all(b"").unwrap();
}
