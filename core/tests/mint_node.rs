//! The certificates of the link as other people's software sees them: x509-parser reads them and the request for one, webpki
//! takes a node for a client and a control for a server, and neither for the other.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

#[path = "mint/key.rs"]
mod key;

use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use penstock_core::mint::{
    AuthorityRequest, CertificateFacts, MintError, NodeRequest, Validity, encode_control, encode_node,
    encode_node_request, encode_root, is_node_name,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::*;

use self::key::Key;

const NOW: i64 = 1_795_305_600;
const NAME: &str = "control.example";

fn of<'a>(common_name: &'a str, public_key: &'a [u8]) -> AuthorityRequest<'a> {
    AuthorityRequest { common_name, public_key, serial: [7; 16], validity: Validity::from_now(NOW, 86_400) }
}

fn authority(key: &Key) -> Vec<u8> {
    let validity = Validity { not_before: NOW - 90_000, not_after: NOW + 86_400 };
    encode_root(&AuthorityRequest { validity, ..of("Penstock Link", &key.public()) }, key).expect("authority")
}

#[test]
fn a_node_is_a_client_and_a_control_a_server_and_neither_the_other() {
    let (key, other) = (Key::new(), Key::new());
    let authority = authority(&key);
    let facts = CertificateFacts::parse(&authority).expect("facts");
    let node = encode_node(&of("edge-1", &other.public()), &facts, &key).expect("node");
    let control = encode_control(&of("control", &other.public()), NAME, &facts, &key).expect("control");
    assert_eq!(CertificateFacts::parse(&node).expect("facts").common_name(), Some("edge-1"));
    assert!(!CertificateFacts::parse(&node).expect("facts").is_authority());

    let root = CertificateDer::from(authority);
    let anchors = [anchor_from_trusted_cert(&root).expect("anchor")];
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(NOW).expect("after 1970")));
    let good_for = |der: &[u8], usage| {
        let der = CertificateDer::from(der.to_vec());
        let certificate = EndEntityCert::try_from(&der).expect("a certificate");
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        certificate.verify_for_usage(algorithms, &anchors, &[], now, usage, None, None).is_ok()
    };
    assert!(good_for(&node, KeyUsage::client_auth()) && !good_for(&node, KeyUsage::server_auth()));
    assert!(good_for(&control, KeyUsage::server_auth()) && !good_for(&control, KeyUsage::client_auth()));
    let control = CertificateDer::from(control);
    let control = EndEntityCert::try_from(&control).expect("a certificate");
    let named =
        |name: &'static str| control.verify_is_valid_for_subject_name(&ServerName::try_from(name).expect("name"));
    assert!(named(NAME).is_ok() && named("edge-1").is_err());

    let below = CertificateFacts::parse(&node).expect("facts");
    assert_eq!(encode_node(&of("edge-2", &other.public()), &below, &other), Err(MintError::Issuer));
    for name in ["", "a b", "a/b", "edge\n", &"n".repeat(65)] {
        assert!(!is_node_name(name), "{name:?}");
        assert_eq!(encode_node(&of(name, &other.public()), &facts, &key), Err(MintError::Name));
    }
}

#[test]
fn a_request_reads_back_and_damage_is_noticed() {
    let key = Key::new();
    let der = encode_node_request(&key.public(), &key).expect("request");
    let (rest, theirs) = X509CertificationRequest::from_der(&der).expect("PKCS #10");
    assert!(rest.is_empty());
    assert_eq!(theirs.certification_request_info.subject_pki.raw, key.public());
    let is_signed = |der: &[u8]| {
        NodeRequest::parse(der).is_some_and(|request| {
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, request.point);
            key.verify(request.signed, request.signature).is_ok()
        })
    };
    assert!(is_signed(&der));
    assert_eq!(NodeRequest::parse(&der).expect("request").public_key, key.public());
    for index in 0..der.len() {
        let mut damaged = der.clone();
        damaged[index] ^= 1;
        assert!(!is_signed(&damaged), "byte {index}");
        assert!(NodeRequest::parse(&der[..index]).is_none(), "cut at {index}");
    }
    assert!(NodeRequest::parse(&[&der[..], &[0]].concat()).is_none());
}

/// What `openssl req -new` writes is taken too, with a subject or with attributes.
#[test]
fn a_request_of_openssl_is_read() {
    for der in [
        &include_bytes!("../fuzz/seeds/mint_node_request/openssl")[..],
        include_bytes!("../fuzz/seeds/mint_node_request/with-attributes"),
    ] {
        let request = NodeRequest::parse(der).expect("a request");
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, request.point);
        key.verify(request.signed, request.signature).expect("its signature");
        for end in 0..der.len() {
            assert_eq!(NodeRequest::parse(&der[..end]), None, "cut at {end}");
        }
    }
}
