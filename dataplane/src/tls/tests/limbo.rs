//! x509-limbo (C2SP) against the whole check of an upstream's certificate: every chain that must be refused is refused,
//! or stands below with the reason why it is not.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use penstock_core::audit::civil_from_days;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde::Deserialize;

use super::corpus;
use crate::tls::chain::{self, Voucher};
use crate::tls::refusal::ChainRefusal;
use crate::tls::roots::{RootsInForce, UpstreamRoots};
use crate::tls::verify::Verifier;

/// Chains that limbo wants refused and we accept.
const ACCEPTED: &[(&str, &str)] = &[
    ("crl::revoked-certificate-with-crl", NO_REVOCATION),
    ("crl::crlnumber-missing", NO_REVOCATION),
    ("crl::crlnumber-critical", NO_REVOCATION),
    ("crl::issuer-missing-crlsign", NO_REVOCATION),
    ("pathlen::max-chain-depth-0-exhausted", OWN_DEPTH),
    ("pathlen::max-chain-depth-1-exhausted", OWN_DEPTH),
    ("rfc5280::aki::cross-signed-root-missing-aki", ANCHOR),
    ("rfc5280::ski::root-missing-ski", ANCHOR),
    ("rfc5280::root-non-critical-basic-constraints", ANCHOR),
    ("webpki::aki::root-with-aki-authoritycertissuer", ANCHOR),
    ("webpki::aki::root-with-aki-authoritycertserialnumber", ANCHOR),
    ("webpki::aki::root-with-aki-all-fields", ANCHOR),
    (
        "rfc5280::nc::permitted-dns-match-noncritical",
        "limbo itself wants the same chain accepted as webpki::nc::permitted-dns-match-noncritical; the constraint is \
         enforced either way",
    ),
    ("rfc5280::san::underscore-dns", "such hosts exist, browsers accept them, and the name must match byte for byte"),
    (
        "webpki::eku::ee-critical-eku",
        "RFC 5280 section 4.2.1.12 leaves it to the issuer; the purpose is enforced either way",
    ),
    (
        "webpki::san::san-critical-with-nonempty-subject",
        "RFC 5280 section 4.2.1.6 says SHOULD; the name is checked either way",
    ),
    (
        "webpki::san::public-suffix-private-namespace-wildcard-san",
        "*.s3.amazonaws.com is what its owner shows to browsers, which accept it; suffixes of registries are refused",
    ),
    ("webpki::cn::ipv4-hex-mismatch", COMMON_NAME),
    ("webpki::cn::ipv4-leading-zeros-mismatch", COMMON_NAME),
    ("webpki::cn::ipv6-uppercase-mismatch", COMMON_NAME),
    ("webpki::cn::ipv6-uncompressed-mismatch", COMMON_NAME),
    ("webpki::cn::ipv6-non-rfc5952-mismatch", COMMON_NAME),
    ("webpki::cn::punycode-not-in-san", COMMON_NAME),
    ("webpki::cn::utf8-vs-punycode-mismatch", COMMON_NAME),
    ("webpki::cn::not-in-san", COMMON_NAME),
    ("webpki::cn::case-mismatch", COMMON_NAME),
];
const NO_REVOCATION: &str = "revocation lists are not consulted";
const OWN_DEPTH: &str = "the case lets its caller choose a depth; ours is fixed at six authorities";
const ANCHOR: &str = "a trust anchor is a name and a key (RFC 5280 section 6.1.1 (d)); roots in use have this form \
                      (QuoVadis, Certigna, TWCA, Go Daddy Class 2)";
const COMMON_NAME: &str = "the alternative name is right and the common name is never read (RFC 9525 section 2); limbo \
                           wants webpki::san::leftmost-wildcard-san accepted, whose common name is no alternative name";

/// Chains that limbo wants accepted and we refuse.
const REFUSED: &[(&str, &str)] = &[
    ("pathlen::validation-ignores-pathlen-in-leaf", CA_AS_LEAF),
    ("rfc5280::ca-as-leaf", CA_AS_LEAF),
    ("pathlen::self-issued-certs-pathlen", "webpki counts self-issued authorities too; no public chain has one"),
    ("rfc5280::nc::permitted-self-issued", "webpki constrains self-issued authorities too; no public chain has one"),
];
const CA_AS_LEAF: &str =
    "an authority's certificate as a server's is refused, as limbo wants it for webpki::ca-as-leaf";

#[derive(Deserialize)]
struct Suite {
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    validation_kind: String,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    validation_time: Option<String>,
    expected_result: String,
    expected_peer_name: Option<PeerName>,
}

#[derive(Deserialize)]
struct PeerName {
    value: String,
}

impl Case {
    /// What the verifier of an upstream leg says, with roots from the system's store or from the operator's file.
    fn run(&self, voucher: Voucher) -> Result<(), ChainRefusal> {
        let mut roots = UpstreamRoots::default();
        for root in &self.trusted_certs {
            roots.add(&certificate(root), voucher);
        }
        let roots = Arc::new(RootsInForce::new(roots));
        let verifier = Verifier::new(roots, default_provider().signature_verification_algorithms);
        let chain: Vec<_> = self.untrusted_intermediates.iter().map(|pem| certificate(pem)).collect();
        let name = self.expected_peer_name.as_ref().ok_or(ChainRefusal::Name)?;
        let name = ServerName::try_from(name.value.as_str()).map_err(|_| ChainRefusal::Name)?;
        let now = self.validation_time.as_deref().map_or_else(UnixTime::now, moment);
        verifier.verify(&certificate(&self.peer_certificate), &chain, &name, now).map(|_| ())
    }
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// `2024-03-01T00:00:00+00:00`, perhaps with a fraction, which certificates do not know.
fn moment(text: &str) -> UnixTime {
    let number = |range: std::ops::Range<usize>| text[range].parse::<u64>().expect("digits");
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let day = (0..).find(|&days| civil_from_days(days) == (year, month, day)).expect("a day");
    let second = number(11..13) * 3600 + number(14..16) * 60 + number(17..19);
    assert!(text.ends_with("+00:00"));
    UnixTime::since_unix_epoch(Duration::from_secs(day * 86_400 + second))
}

fn suite() -> Option<Suite> {
    let file = File::open(corpus::file("x509-limbo/limbo.json.gz")?).expect("limbo");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    Some(serde_json::from_str(&text).expect("JSON"))
}

/// Chains that are refused under one kind of root: rules of public authorities are kept for the system's store, and
/// every other chain must be accepted at least under a root that the operator named.
#[test]
fn h098_limbo_chains_are_refused_or_reviewed() {
    let Some(suite) = suite() else { return };
    let (mut refused, mut accepted, mut unexpected) = (0, 0, Vec::new());
    let (mut wrongly_accepted, mut wrongly_refused) = (Vec::new(), Vec::new());
    for case in suite.testcases.iter().filter(|case| case.validation_kind == "SERVER") {
        let outcome = case.run(Voucher::System);
        match (case.expected_result.as_str(), outcome) {
            ("FAILURE", Err(_)) => refused += 1,
            ("FAILURE", Ok(())) => wrongly_accepted.push(case.id.as_str()),
            (_, Ok(())) => accepted += 1,
            (_, Err(_)) if case.expected_peer_name.is_none() => {}
            (_, Err(_)) if case.run(Voucher::Operator).is_ok() => accepted += 1,
            (_, Err(reason)) => {
                wrongly_refused.push(case.id.as_str());
                unexpected.push((case.id.as_str(), reason));
            }
        }
    }
    eprintln!(
        "limbo: {refused} refused and {accepted} accepted as they should; {} accepted and {} refused with a reason",
        wrongly_accepted.len(),
        wrongly_refused.len()
    );
    assert_eq!(sorted(&wrongly_accepted), sorted(&ids(ACCEPTED)), "accepted");
    assert_eq!(sorted(&wrongly_refused), sorted(&ids(REFUSED)), "refused: {unexpected:?}");
}

/// An operator's root frees from identifiers, which only help to find a path, and from the promises of public
/// authorities; never from time, names, constraints, strength or purpose.
#[test]
fn an_operators_root_frees_from_these_rules_only() {
    let Some(suite) = suite() else { return };
    let freed: Vec<&str> = suite
        .testcases
        .iter()
        .filter(|case| case.validation_kind == "SERVER" && case.expected_result == "FAILURE")
        .filter(|case| case.run(Voucher::System).is_err() && case.run(Voucher::Operator).is_ok())
        .map(|case| case.id.as_str())
        .collect();
    assert_eq!(
        sorted(&freed),
        [
            "rfc5280::aki::intermediate-missing-aki",
            "rfc5280::aki::leaf-missing-aki",
            "rfc5280::nc::invalid-dnsname-leading-period",
            "rfc5280::root-inconsistent-ca-extensions",
            "rfc5280::root-missing-basic-constraints",
            "rfc5280::ski::intermediate-missing-ski",
            "webpki::aki::root-with-aki-missing-keyidentifier",
            "webpki::aki::root-with-aki-ski-mismatch",
            "webpki::eku::ee-anyeku",
            "webpki::eku::ee-without-eku",
            "webpki::eku::root-has-eku",
        ]
    );
}

/// Certificates with bits flipped anywhere are read or refused, and never panic a shard.
#[test]
fn damaged_certificates_never_panic() {
    let Some(suite) = suite() else { return };
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for case in suite.testcases.iter().filter(|case| !case.id.starts_with("pathological")) {
        let shown = case.untrusted_intermediates.iter().chain(&case.trusted_certs).chain([&case.peer_certificate]);
        for pem in shown {
            let whole = certificate(pem);
            for round in 0..6_u32 {
                let mut damaged = whole.to_vec();
                for _ in 0..=round / 2 {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let bit = usize::try_from(seed >> 33).expect("31 bits") % (damaged.len() * 8);
                    damaged[bit / 8] ^= 1 << (bit % 8);
                }
                for voucher in [Voucher::System, Voucher::Operator] {
                    let _ = chain::check_leaf(&damaged, voucher);
                    let _ = chain::check_intermediate(&damaged, voucher);
                    let _ = chain::check_root(&damaged, voucher);
                }
                let name = ServerName::try_from("example.co.uk").expect("name");
                let _ = chain::check_wildcard(&damaged, &name);
                let _ = chain::check_leaf(
                    &damaged[..damaged.len() - usize::try_from(round).expect("small")],
                    Voucher::System,
                );
            }
        }
    }
}

fn ids(list: &[(&'static str, &str)]) -> Vec<&'static str> {
    list.iter().map(|(id, _)| *id).collect()
}

fn sorted<'a>(ids: &[&'a str]) -> Vec<&'a str> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids
}
