//! The explicit listener: what it grants, what it refuses, and how.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::{self, Upstream};
use penstock_tests::wait;

fn status(appliance: &Appliance, head: &str) -> u16 {
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    tunnel::ask(&mut stream, head.as_bytes()).status
}

#[test]
fn other_requests_get_a_status_that_fits() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    for (head, expected) in [
        ("GET ftp://plain.example/ HTTP/1.1\r\nHost: plain.example\r\n\r\n", &[501, 405, 403][..]),
        ("GET / HTTP/1.1\r\nHost: proxy\r\n\r\n", &[400, 404, 405]),
        ("BREW /pot HTTP/1.1\r\nHost: proxy\r\n\r\n", &[400, 405, 501]),
        ("CONNECT HTTP/1.1\r\n\r\n", &[400]),
        ("CONNECT no-port.example HTTP/1.1\r\nHost: no-port.example\r\n\r\n", &[400]),
        ("CONNECT a.example:0 HTTP/1.1\r\nHost: a.example:0\r\n\r\n", &[400, 403]),
        ("CONNECT a.example:65536 HTTP/1.1\r\nHost: a.example:65536\r\n\r\n", &[400]),
        ("CONNECT a.example:443 HTTP/2.0\r\nHost: a.example:443\r\n\r\n", &[400, 505]),
        ("CONNECT  a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", &[400]),
        ("CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n", &[403]),
    ] {
        let found = status(&appliance, head);
        assert!(expected.contains(&found), "{found} to {head:?}");
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_listener_that_is_spoken_to_in_tls_survives() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    stream.write_all(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
    assert_eq!(appliance.client("claude.ai").get("claude.ai", "/").status, 200);
}

#[test]
fn an_upstream_that_refuses_is_a_502() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let appliance = Setup::default().host("*", nobody).start();
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    // The dial may come before the 200 or, because the ClientHello is awaited first, after it.
    let answer = tunnel::ask(&mut stream, b"CONNECT passed.example:443 HTTP/1.1\r\nHost: passed.example:443\r\n\r\n");
    assert!(matches!(answer.status, 200 | 502), "{answer:?}");
    if answer.status == 200 {
        stream.write_all(b"SSH-2.0-nobody\r\n").unwrap();
        let (bytes, ended) = tunnel::drain(&mut stream);
        assert!(bytes.is_empty() && ended);
    }
    let admin = appliance.admin();
    wait::until("the fault to be counted", || {
        (admin.metrics().sum("penstock_faults_total", &["leg=\"upstream\"", "kind=\"connection_refused\""]) >= 1.0)
            .then_some(())
    });
}

#[test]
fn a_port_that_the_host_table_names_is_open() {
    let address = upstream::listen(|mut stream| {
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    });
    let appliance = Setup::default().host("passed.example", address).start();
    let authority = format!("passed.example:{}", address.port());
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    let answer =
        tunnel::ask(&mut stream, format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes());
    assert_eq!(answer.status, 200, "any port that --host names is a port for tests: {answer:?}");
    stream.write_all(b"hello").unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"hello");
}

#[test]
fn a_connection_that_says_nothing_is_closed_in_the_end() {
    if penstock_tests::place::quick() {
        return;
    }
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&rest));
}
