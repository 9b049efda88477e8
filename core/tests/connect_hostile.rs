//! Hostile cases of the explicit proxy's request head, one test each, by the case's number; and heads of real clients.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use penstock_core::bytes::Parsed;
use penstock_core::limits::CONNECT_HEAD_BYTES_MAX;
use penstock_core::proxy::{ConnectHead, ConnectReader, ConnectReject};

/// Captured on loopback (testdata/http1/capture.py).
const CAPTURED: &[(&[u8], &str, Option<&str>)] = &[
    (include_bytes!("../testdata/http1/chromium-connect.http"), "login.live.com:443", Some("Mozilla/5.0")),
    (include_bytes!("../testdata/http1/curl-connect.http"), "login.live.com:443", Some("curl/7.88.1")),
    (include_bytes!("../testdata/http1/curl-connect-ipv6.http"), "[2001:db8::1]:8443", Some("curl/7.88.1")),
    (include_bytes!("../testdata/http1/python-connect.http"), "login.live.com:443", None),
];

/// The reader's answer to `input`, which is the same byte by byte: every prefix asks for more until one byte decides, and so
/// do all longer ones.
fn read(input: &[u8]) -> Parsed<ConnectHead, ConnectReject> {
    let answer = ConnectReader::new().parse(input);
    let mut reader = ConnectReader::new();
    for end in 0..=input.len() {
        let step = reader.parse(&input[..end]);
        if end < 2048 {
            assert_eq!(step, ConnectReader::new().parse(&input[..end]), "{end}");
        }
        if !step.is_incomplete() {
            assert_eq!(step, answer, "{end}");
            break;
        }
    }
    answer
}

fn connect(authority: &str, fields: &str) -> String {
    format!("CONNECT {authority} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

fn reject(input: impl AsRef<[u8]>) -> ConnectReject {
    match read(input.as_ref()) {
        Parsed::Reject(reject) => reject,
        other => panic!("{other:?}"),
    }
}

#[test]
fn real_clients_are_understood() {
    for (head, authority, agent) in CAPTURED {
        let Parsed::Complete { value, consumed } = read(head) else { panic!("{authority}") };
        assert_eq!((&*value.authority.to_string(), value.agent.as_deref(), consumed), (*authority, *agent, head.len()));
        let with_hello = [head, &b"\x16\x03\x01\x02\0"[..]].concat();
        assert!(matches!(read(&with_hello), Parsed::Complete { consumed, .. } if consumed == head.len()));
    }
}

#[test]
fn h112_names_and_addresses_in_odd_spellings() {
    for (written, meant) in [
        ("LOGIN.Live.Com.:443", "login.live.com:443"),
        ("[::ffff:127.0.0.1]:443", "127.0.0.1:443"),
        ("[0:0:0:0:0:FFFF:7F00:0001]:443", "127.0.0.1:443"),
        ("127.0.0.1:443", "127.0.0.1:443"),
    ] {
        let head = read(connect(written, "").as_bytes()).complete().unwrap();
        assert_eq!(head.authority.to_string(), meant);
    }
    for host in [
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "127.0.0.1.",
        "[::1%lo]",
        "[::1%25lo]",
        "[::ffff:0177.0.0.1]",
        "[127.0.0.1]",
        "::1",
        "a..b",
        ".a",
        "a_b..",
        "localhost/",
        "a%2eb",
        "\u{661}27.0.0.1",
    ] {
        let reject = reject(connect(&format!("{host}:443"), ""));
        assert!([ConnectReject::Host, ConnectReject::RequestLine].contains(&reject), "{host}: {reject}");
        assert_eq!(reject.status(), 400);
    }
    let long = "a.".repeat(32 * 1024);
    assert_eq!(reject(connect(&format!("{long}:443"), "")), ConnectReject::HeadTooLong);
    assert_eq!(reject(connect(&format!("{}:443", "a.".repeat(200)), "")), ConnectReject::Host);
}

#[test]
fn h113_bodies_and_long_heads() {
    for fields in [
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding: identity\r\n",
        "Content-Length: 00\r\n",
        "Content-Length: \r\n",
    ] {
        assert_eq!(reject(connect("a.example:443", fields)), ConnectReject::Body, "{fields}");
    }
    let field = format!("A: {}\r\n", "b".repeat(1000));
    assert_eq!(reject(connect("a.example:443", &field.repeat(100))), ConnectReject::HeadTooLong);
    assert_eq!(reject(vec![b'A'; 100 * 1024]), ConnectReject::NotHttp);
    let most = connect("a.example:443", &field.repeat(CONNECT_HEAD_BYTES_MAX / field.len() - 1));
    assert!(read(most.as_bytes()).complete().is_some());
    assert_eq!(ConnectReject::HeadTooLong.status(), 431);
}

#[test]
fn h113_a_nested_connect_belongs_to_the_tunnel() {
    let outer = connect("a.example:443", "");
    let nested = outer.clone() + &connect("b.example:443", "");
    let Parsed::Complete { value, consumed } = read(nested.as_bytes()) else { panic!("not read") };
    assert_eq!((value.authority.to_string().as_str(), consumed), ("a.example:443", outer.len()));
}

#[test]
fn h114_credentials_leave_no_trace() {
    let head = read(connect("a.example:443", "Proxy-Authorization: Basic c2VjcmV0\r\n").as_bytes()).complete().unwrap();
    assert!(!format!("{head:?}").contains("c2VjcmV0"));
}

#[test]
fn lines_are_as_strict_as_on_inspected_flows() {
    for input in [
        "CONNECT a.example:443 HTTP/1.1\n",
        "CONNECT a.example:443 HTTP/1.1\r\nHost: x\n\n",
        "CONNECT a.example:443 HTTP/1.1\r\nHost : x\r\n\r\n",
        "CONNECT a.example:443 HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "CONNECT a.example:443 HTTP/1.1\r\nA: \0\r\n\r\n",
        "CONNECT a.example:443 HTTP/1.1\r\n: b\r\n\r\n",
        "CONNECT\ta.example:443 HTTP/1.1\r\n\r\n",
        "CONNECT a.example:443 HTTP/1.1 \r\n\r\n",
        "\r\nCONNECT a.example:443 HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(reject(input).status(), 400, "{input:?}");
    }
    assert_eq!(reject("GET http://a.example/ HTTP/1.1\r\n\r\n").status(), 405);
    assert_eq!(reject("GET http://a.example/ HTTP/1.1\r\n\r\n"), ConnectReject::Method);
    assert_eq!(reject("POST / HTTP/1.1\r\n\r\n").status(), 405);
    assert_eq!(reject("CONNECT a.example:443 HTTP/3.0\r\n\r\n").status(), 505);
}
