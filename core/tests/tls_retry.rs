//! The watch over HelloRetryRequests on passed flows, cut at every byte.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use penstock_core::sni::Sni;
use penstock_core::tls::retry::{Allowed, NameChanged, RetryWatch, Wait};
use penstock_core::tls::server_hello::RETRY_RANDOM;

#[path = "hello/builder.rs"]
mod builder;

use builder::Hello;

const NAME: &str = "www.example.org";

fn sni() -> Option<Sni> {
    Some(Sni::parse(NAME.as_bytes()).unwrap())
}

fn record(content_type: u8, payload: &[u8]) -> Vec<u8> {
    [&[content_type, 3, 3], &u16::try_from(payload.len()).unwrap().to_be_bytes()[..], payload].concat()
}

fn server_hello(random: [u8; 32]) -> Vec<u8> {
    record(22, &[&[2, 0, 0, 44, 3, 3][..], &random, &[0, 0x13, 0x01, 0, 0, 4, 0, 43, 0, 2]].concat())
}

/// What a client sends behind its first hello: early data, ChangeCipherSpec, the second hello, and what follows.
fn second_flight(name: &str) -> (Vec<u8>, usize) {
    let mut bytes = record(23, &[7; 50]);
    bytes.extend(record(20, &[1]));
    let hello_at = bytes.len();
    bytes.extend(Hello::default().with_name(name.as_bytes()).wire());
    bytes.extend(record(23, &[9; 20]));
    (bytes, hello_at)
}

/// Presents `bytes` in two pieces; how many went on, or that the flow ends.
fn in_two(watch: &mut RetryWatch, bytes: &[u8], at: usize) -> Result<usize, NameChanged> {
    let first = watch.handle_egress(&bytes[..at])?.bytes;
    Ok(first + watch.handle_egress(&bytes[first..])?.bytes)
}

#[test]
fn h018_a_second_hello_under_the_same_name_goes_on_however_it_is_cut() {
    let (bytes, _) = second_flight(NAME);
    for at in 0..=bytes.len() {
        let mut watch = RetryWatch::new(sni());
        assert!(watch.handle_ingress(&server_hello(RETRY_RANDOM)));
        assert_eq!(in_two(&mut watch, &bytes, at), Ok(bytes.len()), "{at}");
        assert!(watch.is_open());
    }
}

#[test]
fn h018_a_second_hello_under_another_name_ends_the_flow_however_it_is_cut() {
    for name in ["claude.ai", "www.example.org.evil.example", "ww.example.org"] {
        let (bytes, hello_at) = second_flight(name);
        for at in 0..=bytes.len() {
            let mut watch = RetryWatch::new(sni());
            watch.handle_ingress(&server_hello(RETRY_RANDOM));
            assert_eq!(in_two(&mut watch, &bytes, at), Err(NameChanged), "{name} {at}");
        }
        let mut watch = RetryWatch::new(sni());
        watch.handle_ingress(&server_hello(RETRY_RANDOM));
        let before = watch.handle_egress(&bytes[..hello_at + 20]).unwrap();
        assert_eq!(before, Allowed { bytes: hello_at, wait: Some(Wait::Client) });
    }
}

#[test]
fn h018_a_second_hello_that_comes_ahead_waits_for_the_server() {
    let (bytes, hello_at) = second_flight("claude.ai");
    let held = Allowed { bytes: hello_at, wait: Some(Wait::Server) };
    let mut watch = RetryWatch::new(sni());
    assert_eq!(watch.handle_egress(&bytes), Ok(held));
    let hello = server_hello(RETRY_RANDOM);
    assert!(!watch.handle_ingress(&hello[..40]));
    assert!(watch.handle_ingress(&hello[40..]));
    assert_eq!(watch.handle_egress(&bytes[hello_at..]), Err(NameChanged));
    // Without a retry the origin has no use for it: what it does with a stray hello is its own affair.
    let mut watch = RetryWatch::new(sni());
    assert_eq!(watch.handle_egress(&bytes), Ok(held));
    assert!(watch.handle_ingress(&server_hello([5; 32])));
    assert_eq!(watch.handle_egress(&bytes[hello_at..]).unwrap().bytes, bytes.len() - hello_at);
}

#[test]
fn an_ordinary_flow_is_looked_at_once() {
    let mut watch = RetryWatch::new(sni());
    assert!(watch.handle_ingress(&server_hello([5; 32])));
    assert!(watch.is_open());
    assert!(!watch.handle_ingress(b"anything"));
    assert_eq!(watch.handle_egress(b"anything"), Ok(Allowed { bytes: 8, wait: None }));
}

#[test]
fn what_is_no_tls_goes_on_at_once() {
    let mut watch = RetryWatch::new(sni());
    assert_eq!(watch.handle_egress(b"\x00\x01\x02"), Ok(Allowed { bytes: 3, wait: None }));
    let mut watch = RetryWatch::new(None);
    watch.handle_ingress_end();
    assert_eq!(watch.handle_egress(&record(22, &[1])), Ok(Allowed { bytes: 6, wait: None }));
}
