//! A connection of HTTP/1.1 that is to end: what the client is told, and what is still served.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "http1/drive.rs"]
mod drive;

use drive::{Drive, HOST};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

#[test]
fn an_idle_connection_is_over_at_once() {
    let mut drive = Drive::new();
    drive.egress(get("/")).ingress("HTTP/1.1 204 No Content\r\n\r\n");
    drive.exchange.handle_drain();
    assert!(drive.exchange.is_idle() && drive.exchange.must_close());
}

#[test]
fn a_connection_without_a_request_yet_is_good_for_one() {
    let mut drive = Drive::new();
    drive.exchange.handle_drain();
    assert!(!drive.exchange.must_close());
    drive.egress(get("/first")).egress(get("/late")).ingress("HTTP/1.1 204 No Content\r\n\r\n");
    let told = String::from_utf8(drive.downstream.clone()).unwrap();
    assert_eq!(told, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    assert!(drive.exchange.is_idle() && drive.exchange.must_close() && drive.requests.len() == 1);
}

#[test]
fn the_answer_that_is_due_says_that_it_is_the_last() {
    for (lines, kept) in [
        ("Server: a\r\nContent-Length: 2\r\n", "Server: a\r\nContent-Length: 2\r\n"),
        ("Connection: keep-alive\r\nContent-Length: 2\r\nKEEP-ALIVE: timeout=5\r\n", "Content-Length: 2\r\n"),
        (
            "Alt-Svc: h3\r\nconnection: a\r\nContent-Length: 2\r\nConnection: b\r\nX: y\r\n",
            "Content-Length: 2\r\nX: y\r\n",
        ),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}\r\nok");
        for cut in 0..answer.len() {
            let mut drive = Drive::new();
            drive.egress(get("/"));
            drive.exchange.handle_drain();
            assert!(!drive.exchange.is_idle());
            drive.ingress("HTTP/1.1 103 Early Hints\r\nConnection: keep-alive\r\n\r\n");
            drive.ingress(&answer[..cut]).ingress(&answer[cut..]);
            let told = String::from_utf8(drive.downstream.clone()).unwrap();
            let expected = format!(
                "HTTP/1.1 103 Early Hints\r\nConnection: keep-alive\r\n\r\nHTTP/1.1 200 OK\r\n{kept}Connection: close\r\n\r\nok"
            );
            assert_eq!((told, drive.fault), (expected, None));
            assert!(drive.exchange.is_idle() && drive.exchange.must_close());
        }
    }
}

#[test]
fn one_that_says_so_itself_and_one_whose_head_has_gone_stay_as_they_are() {
    let mut drive = Drive::new();
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    drive.egress(get("/"));
    drive.exchange.handle_drain();
    drive.ingress(answer);
    assert_eq!(drive.downstream, answer.as_bytes());
    let mut drive = Drive::new();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    drive.egress(get("/")).ingress(&answer[..answer.len() - 1]);
    drive.exchange.handle_drain();
    assert!(!drive.exchange.is_idle());
    drive.ingress(&answer[answer.len() - 1..]);
    assert_eq!(drive.downstream, answer.as_bytes());
    assert!(drive.exchange.is_idle() && drive.exchange.must_close());
}

#[test]
fn requests_that_went_upstream_and_one_that_has_begun_are_served() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let mut drive = Drive::new();
    drive.egress(get("/1")).egress(get("/2"));
    drive.exchange.handle_drain();
    drive.egress(get("/late"));
    drive.ingress(answer).ingress(answer);
    assert_eq!(String::from_utf8(drive.downstream.clone()).unwrap(), [answer, last].concat());
    assert!(drive.exchange.must_close() && drive.requests.len() == 2);
    let mut drive = Drive::new();
    let begun = get("/begun");
    drive.egress(&begun[..5]);
    drive.exchange.handle_drain();
    assert!(!drive.exchange.must_close());
    drive.egress(&begun[5..]).egress(get("/late")).ingress(answer);
    assert_eq!(String::from_utf8(drive.downstream.clone()).unwrap(), last);
    assert!(drive.exchange.is_idle() && drive.exchange.must_close() && drive.requests.len() == 1);
}
