//! Properties of host names and hellos over generated input, and agreement with another parser on mutated real hellos.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "hello/builder.rs"]
mod builder;
#[path = "hello/cuts.rs"]
mod cuts;

use std::net::IpAddr;

use builder::{Hello, records};
use penstock_core::bytes::Parsed;
use penstock_core::sni::Sni;
use penstock_core::tls::HelloReject;
use proptest::prelude::*;
use tls_parser::{TlsExtension, TlsMessage, TlsMessageHandshake};

const SAMPLES: [&[u8]; 4] = [
    include_bytes!("../testdata/hello/chromium.bin"),
    include_bytes!("../testdata/hello/curl-http2.bin"),
    include_bytes!("../testdata/hello/openssl-resumed.bin"),
    include_bytes!("../testdata/hello/openssl-tls10.bin"),
];

/// A real hello with a few bytes changed.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    (prop::sample::select(&SAMPLES[..]), prop::collection::vec(change, 0..4)).prop_map(|(sample, changes)| {
        let mut bytes = sample.to_vec();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

/// Real hellos with extensions doubled, dropped and exchanged: what blind changes of bytes rarely reach.
fn rearranged() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop::sample::select(vec![0u16, 10, 13, 16, 21, 42, 43, 51, 0x0a0a, 0xfe0d, 0xffce, 0x4469]);
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        Just(b"\x00\x0e\x00\x00\x0bexample.com".to_vec()),
        Just(b"\x00\x03\x02h2".to_vec()),
        Just(b"\x04\x03\x04\x03\x03".to_vec()),
    ];
    prop::collection::vec((kinds, body), 0..8).prop_map(|extensions| Hello { extensions, ..Hello::default() }.wire())
}

/// Fields as the tls-parser crate reads them from one record; `None` when it refuses.
struct Other {
    version: u16,
    session_id: Vec<u8>,
    cipher_suites: Vec<u16>,
    extension_block: Vec<u8>,
}

fn other_reading(wire: &[u8]) -> Option<Other> {
    let (_, record) = tls_parser::parse_tls_plaintext(wire).ok()?;
    let [TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello))] = record.msg.as_slice() else {
        return None;
    };
    Some(Other {
        version: hello.version.0,
        session_id: hello.session_id.unwrap_or_default().to_vec(),
        cipher_suites: hello.ciphers.iter().map(|suite| suite.0).collect(),
        extension_block: hello.ext.unwrap_or_default().to_vec(),
    })
}

fn agree(wire: &[u8]) -> Result<(), TestCaseError> {
    match (cuts::read(wire), other_reading(wire)) {
        (Parsed::Complete { value, .. }, Some(other)) => {
            prop_assert_eq!(value.legacy_version, other.version);
            prop_assert_eq!(&value.session_id, &other.session_id);
            prop_assert_eq!(&value.cipher_suites, &other.cipher_suites);
            // It stops at the first body that it does not like; where it reads all, it must read what we read.
            let reading = tls_parser::parse_tls_client_hello_extensions(&other.extension_block);
            if let Ok(([], extensions)) = reading {
                agree_on_extensions(&value, &extensions)?;
            }
        }
        (Parsed::Complete { value, .. }, None) => {
            prop_assert!(false, "only we read it: {:?}", value);
        }
        // Where only the other reads it, we are stricter on purpose.
        (Parsed::Reject(reject), Some(_)) => prop_assert!(STRICTER.contains(&reject), "{}", reject),
        (Parsed::Incomplete { .. }, Some(_)) => prop_assert!(false, "only the other finds it whole"),
        (_, None) => {}
    }
    Ok(())
}

/// Refusals of hellos that tls-parser reads: it knows no duplicates, judges no names, leaves extension framing to a second call
/// and takes any record version.
const STRICTER: &[HelloReject] = &[
    HelloReject::DuplicateExtension,
    HelloReject::MalformedExtensions,
    HelloReject::MalformedHello,
    HelloReject::MalformedRecord,
    HelloReject::MalformedServerName,
    HelloReject::SniCharacter,
    HelloReject::SniEmpty,
    HelloReject::SniTooLong,
    HelloReject::TrailingBytes,
    HelloReject::TwoServerNames,
];

fn agree_on_extensions(ours: &cuts::Facts, extensions: &[TlsExtension<'_>]) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.extensions.len(), extensions.len());
    for extension in extensions {
        match extension {
            TlsExtension::SNI(names) if ours.sni.is_some() => {
                let [(kind, name)] = names.as_slice() else {
                    return Err(TestCaseError::fail("not one name"));
                };
                prop_assert_eq!(kind.0, 0);
                let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                prop_assert_eq!(ours.sni.as_deref(), name.strip_suffix('.').or(Some(&name)));
            }
            TlsExtension::ALPN(names) => prop_assert_eq!(&ours.alpn, names),
            // It also takes the form of a server's answer, one version without a length.
            TlsExtension::SupportedVersions(versions) if ours.version_max != 0 => {
                let highest = versions.iter().map(|version| version.0).filter(|version| *version <= 0x0304).max();
                prop_assert_eq!(ours.version_max, highest.unwrap_or(0));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Names from few characters, so that dots, digits and case meet often.
fn name_like() -> impl Strategy<Value = String> {
    "[a-cA-C0-9x.:_-]{0,24}"
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_have_one_answer_however_they_are_cut(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        cuts::check_segments(&bytes);
    }

    #[test]
    fn bytes_that_begin_like_a_record_have_one_answer(
        kind in 19u8..26,
        pieces in prop::collection::vec((20u8..24, prop::collection::vec(0u8..4, 0..6)), 0..12),
    ) {
        let records: Vec<u8> = pieces.iter().flat_map(|(kind, payload)| builder::record(*kind, payload)).collect();
        cuts::check_segments(&records);
        cuts::check_segments(&[&[kind, 3], &records[..]].concat());
    }

    #[test]
    fn changed_hellos_read_as_another_parser_reads_them(wire in mutated()) {
        agree(&wire)?;
    }

    #[test]
    fn rearranged_hellos_read_as_another_parser_reads_them(wire in rearranged()) {
        agree(&wire)?;
        cuts::check_segments(&wire);
    }

    #[test]
    fn records_of_any_length_change_nothing(sample in prop::sample::select(&SAMPLES[..]), bytes_max in 1usize..700) {
        let message = builder::payload(sample);
        prop_assert_eq!(cuts::facts(&records(&message, bytes_max)), cuts::facts(sample));
    }

    #[test]
    fn a_name_that_is_taken_is_taken_again_unchanged(text in name_like()) {
        if let Ok(name) = Sni::parse(text.as_bytes()) {
            prop_assert_eq!(Sni::parse(name.as_str().as_bytes()), Ok(name.clone()));
            prop_assert_eq!(Sni::parse(text.to_ascii_uppercase().as_bytes()), Ok(name.clone()));
            prop_assert_eq!(Sni::parse(format!("{name}.").as_bytes()), Ok(name.clone()));
            prop_assert!(name.as_str().parse::<IpAddr>().is_err());
            prop_assert!(text.to_ascii_lowercase().trim_end_matches('.') == name.as_str());
        }
    }

    #[test]
    fn no_address_is_a_name(address in any::<IpAddr>()) {
        prop_assert!(Sni::parse(address.to_string().as_bytes()).is_err());
        let in_brackets = format!("[{address}]");
        prop_assert!(Sni::parse(in_brackets.as_bytes()).is_err());
        if let IpAddr::V4(four) = address {
            let number = u32::from(four);
            for spelling in [format!("{number}"), format!("{number:#x}"), format!("0{number:o}"), format!("{}.{}", number >> 24, number & 0xff_ffff)] {
                prop_assert!(Sni::parse(spelling.as_bytes()).is_err(), "{}", spelling);
            }
        }
    }

    #[test]
    fn any_bytes_are_a_clean_name_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(name) = Sni::parse(&bytes) {
            let is_clean = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
            prop_assert!(name.as_str().bytes().all(is_clean));
        }
    }
}
