//! What a client of HTTP/1.1 owes of a request's body, as the exchange tells it to whoever has a clock.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "http1/drive.rs"]
mod drive;

use std::sync::Arc;

use drive::{Drive, HOST, OK, edit, get, post};
use penstock_core::http1::{Exchange, Gather};
use penstock_core::limits::REQUEST_BODY_BYTES_MIN;
use penstock_core::policy::{HeaderEdit, Mode};
use penstock_core::proxy::Authority;

const PORTION: usize = REQUEST_BODY_BYTES_MIN as usize;

fn due(drive: &Drive) -> Option<u64> {
    drive.exchange.body_due()
}

#[test]
fn h069_a_body_is_due_until_it_has_come() {
    for (fields, begun, end) in [
        ("Content-Length: 5\r\n", "four", "!"),
        ("Transfer-Encoding: chunked\r\n", "4\r\nfour", "\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "4\r\nfour\r\n0\r\nx: y\r\n", "\r\n"),
    ] {
        let mut drive = Drive::new();
        assert_eq!(due(&drive), None);
        drive.egress(post(fields, ""));
        assert_eq!(due(&drive), Some(0), "none of it has come");
        drive.egress(begun);
        assert_eq!(due(&drive), Some(0));
        drive.egress(end);
        assert_eq!(due(&drive), None, "the rest is the origin's to do");
        drive.ingress(OK).egress(get(""));
        assert_eq!((due(&drive), drive.fault), (None, None));
    }
}

#[test]
fn h069_only_content_moves_a_body_on() {
    let mut drive = Drive::new();
    drive.egress(post("Transfer-Encoding: chunked\r\n", ""));
    // Many bytes, nearly none of them content.
    for _ in 0..1_000 {
        drive.egress(format!("1;{}={}\r\nx\r\n", "name", "y".repeat(100)));
    }
    assert_eq!((due(&drive), drive.fault), (Some(0), None));
    drive.egress(format!("{PORTION:x}\r\n{}\r\n", "z".repeat(PORTION)));
    assert_eq!(due(&drive), Some(1));
}

/// Short bodies in a row, where the next one has begun whenever somebody looks.
#[test]
fn h069_a_body_that_ends_is_worth_a_portion() {
    let mut drive = Drive::new();
    drive.egress(post("Content-Length: 2\r\n", "a"));
    for number in 0..100 {
        assert_eq!(due(&drive), Some(number));
        drive.egress(format!("b{}", post("Content-Length: 2\r\n", "a")));
        drive.ingress(OK);
    }
    assert_eq!(drive.fault, None);
}

#[test]
fn h069_nothing_is_due_where_the_origin_has_the_word() {
    // It answers already: an early end, or a talk both ways.
    let mut drive = Drive::new();
    drive.egress(post("Content-Length: 9\r\n", "a")).ingress("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nb");
    assert_eq!(due(&drive), None);
    // An answer to an earlier request is none to this one.
    let mut drive = Drive::new();
    drive.egress(get("")).egress(post("Content-Length: 9\r\n", "a"));
    drive.ingress("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nb");
    assert_eq!(due(&drive), Some(0));
    // The client may await a word before its first byte, and not after.
    for moves in [["", "HTTP/1.1 100 Continue\r\n\r\n"], ["a", ""]] {
        let mut drive = Drive::new();
        drive.egress(post("Expect: 100-continue\r\nContent-Length: 9\r\n", ""));
        assert_eq!(due(&drive), None);
        drive.egress(moves[0]).ingress(moves[1]);
        assert_eq!(due(&drive), Some(0), "{moves:?}");
    }
}

#[test]
fn h069_a_tunnel_owes_nothing() {
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut drive = Drive::new();
    drive.egress(get(websocket));
    drive.ingress("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    drive.egress("\x01\x05mess");
    assert!(drive.exchange.is_upgraded());
    assert_eq!(due(&drive), None);
}

#[test]
fn h069_a_request_in_the_clear_owes_its_body_too() {
    let edit: Arc<HeaderEdit> = edit(Mode::Enforce);
    let mut exchange = Exchange::plain(edit, Authority::with_default_port(HOST.as_bytes(), 80).unwrap());
    let begun = format!("POST http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nfour");
    exchange.handle_egress(begun.as_bytes(), &mut Gather::new()).unwrap();
    assert_eq!(exchange.body_due(), Some(0));
}
