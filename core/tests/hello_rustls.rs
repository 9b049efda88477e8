//! The ClientHello reader against the server that reads the same bytes on an inspected flow: wherever rustls finds a name, the
//! decision was taken on that name, or the flow was refused.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "hello/builder.rs"]
mod builder;
#[path = "hello/corpora.rs"]
mod corpora;
#[path = "hello/cuts.rs"]
mod cuts;

use builder::{Hello, records};
use penstock_core::bytes::Parsed;
use penstock_core::tls::HelloReject;
use proptest::prelude::*;
use rustls::server::Acceptor;

const SAMPLES: [&[u8]; 5] = [
    include_bytes!("../testdata/hello/chromium.bin"),
    include_bytes!("../testdata/hello/curl-http2.bin"),
    include_bytes!("../testdata/hello/openssl-fragmented.bin"),
    include_bytes!("../testdata/hello/openssl-resumed.bin"),
    include_bytes!("../testdata/hello/openssl-upper-case.bin"),
];

/// What rustls takes from a hello.
#[derive(Debug)]
struct Accepted {
    name: Option<String>,
    alpn: Option<Vec<Vec<u8>>>,
}

/// `None` when rustls wants more or refuses.
fn accepted(mut wire: &[u8]) -> Option<Accepted> {
    let mut acceptor = Acceptor::default();
    while !wire.is_empty() {
        acceptor.read_tls(&mut wire).ok()?;
        if let Some(accepted) = acceptor.accept().ok()? {
            let hello = accepted.client_hello();
            let alpn = hello.alpn().map(|names| names.map(<[u8]>::to_vec).collect());
            // It folds case but keeps a trailing dot.
            let name = hello.server_name().map(|name| name.strip_suffix('.').unwrap_or(name).to_owned());
            return Some(Accepted { name, alpn });
        }
    }
    None
}

/// Judges `wire`; gives whether rustls found a name in it.
fn agree(wire: &[u8]) -> Result<bool, TestCaseError> {
    let Some(theirs) = accepted(wire) else { return Ok(false) };
    match cuts::read(wire) {
        Parsed::Complete { value, .. } => {
            prop_assert_eq!(&value.sni, &theirs.name);
            prop_assert!(theirs.alpn.is_none_or(|names| names == value.alpn));
        }
        Parsed::Reject(reject) => prop_assert_ne!(reject, HelloReject::NotTls),
        Parsed::Incomplete { .. } => prop_assert!(false, "only rustls finds it whole: {:?}", theirs),
    }
    Ok(theirs.name.is_some())
}

#[test]
fn real_hellos_have_the_name_that_rustls_finds() {
    for sample in SAMPLES {
        assert!(agree(sample).unwrap());
    }
    for hello in corpora::json_lines("browser-hellos-curl-cffi/hellos.jsonl") {
        assert!(agree(&corpora::unhex(hello["hex"].as_str().unwrap())).unwrap(), "{}", hello["client"]);
    }
}

#[test]
fn captured_streams_have_the_name_that_rustls_finds() {
    let mut named = 0;
    for file in ["merc", "suri", "zeek"] {
        for stream in corpora::json_lines(&format!("clienthello-tcp/{file}.jsonl.gz")) {
            let segments = stream["segments"].as_array().unwrap();
            let wire: Vec<u8> = segments.iter().flat_map(|hex| corpora::unhex(hex.as_str().unwrap())).collect();
            named += usize::from(agree(&wire).unwrap());
        }
    }
    assert!(named > 150 || named == 0, "{named}");
}

#[test]
fn hellos_that_fuzzed_other_libraries_have_the_name_that_rustls_finds() {
    for path in ["openssl-fuzz-server/openssl-fuzz-server.tar.gz", "rustls-fuzz/rustls-fuzz.tar.gz"] {
        for (name, bytes) in corpora::archive(path) {
            agree(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_hellos_have_the_name_that_rustls_finds(
        sample in prop::sample::select(&SAMPLES[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        bytes_max in 1usize..600,
    ) {
        let mut wire = sample.to_vec();
        for (index, byte) in &changes {
            let at = index.index(wire.len());
            wire[at] = *byte;
        }
        agree(&wire)?;
        let mut message = builder::payload(sample);
        for (index, byte) in &changes {
            let at = index.index(message.len());
            message[at] = *byte;
        }
        agree(&records(&message, bytes_max))?;
    }

    #[test]
    fn names_are_those_that_rustls_finds(
        first in "[a-cA-C0-9._:-]{1,20}",
        second in prop::option::of("[a-c.]{1,8}"),
        padding in 0usize..40,
        strays in prop::collection::vec(prop::sample::select(vec![
            vec![22, 3, 3, 0, 0], vec![20, 3, 3, 0, 1, 1], vec![21, 3, 3, 0, 2, 1, 90],
        ]), 0..3),
    ) {
        let hello = Hello::default()
            .with(13, builder::vector(&[4, 3, 8, 4]))
            .with(10, builder::vector(&[0, 29]))
            .with(21, vec![0; padding])
            .with_name(first.as_bytes());
        let hello = match second {
            Some(name) => hello.with_name(name.as_bytes()),
            None => hello,
        };
        agree(&[strays.concat(), hello.wire()].concat())?;
    }
}
