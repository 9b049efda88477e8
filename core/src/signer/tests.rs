//! Messages read back and nothing else is read; and whatever is asked, only a fit leaf is signed.

use alloc::vec;
use alloc::vec::Vec;

use super::{Answer, LeafMint, MintRequest, Minted, Moment, Refusal, Request};
use crate::limits::{CERTIFICATE_BACKDATE_SECONDS, LEAF_LIFE_SECONDS};
use crate::mint::{
    AuthorityRequest, CertificateFacts, MintError, PermittedNames, SignError, Signer, Validity, encode_issuer,
    encode_root,
};
use crate::sni::Sni;

const NOW: i64 = 1_795_305_600;
const DAY: i64 = 86_400;
/// id-ecPublicKey on P-256 with a point that stands for one.
const KEY_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3,
    0x42, 0, 4,
];

struct NoKey;

impl Signer for NoKey {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(vec![0x30; 71])
    }
}

fn public_key(byte: u8) -> Vec<u8> {
    [KEY_HEAD, &[byte; 64]].concat()
}

fn sni(name: &str) -> Sni {
    Sni::parse(name.as_bytes()).unwrap()
}

fn certificates() -> (Vec<u8>, CertificateFacts) {
    let (root_key, issuer_key) = (public_key(1), public_key(2));
    let request = |common_name, public_key, days| AuthorityRequest {
        common_name,
        public_key,
        serial: [7; 16],
        validity: Validity { not_before: NOW - DAY, not_after: NOW + days * DAY },
    };
    let root = encode_root(&request("root", &root_key, 3_650), &NoKey).unwrap();
    let facts = CertificateFacts::parse(&root).unwrap();
    let permitted = PermittedNames::from_patterns(["*.saas.example"]).unwrap();
    let issuer = encode_issuer(&request("issuer", &issuer_key, 30), &facts, &permitted, &NoKey).unwrap();
    let facts = CertificateFacts::parse(&issuer).unwrap();
    (issuer, facts)
}

fn wanted(name: &str) -> MintRequest {
    MintRequest { issuer: [9; 32], name: sni(name), public_key: public_key(3) }
}

fn mint(request: &MintRequest, issuer: &CertificateFacts, now: i64) -> Result<Minted, MintError> {
    LeafMint::new(issuer.clone()).mint(request, Moment { now, serial: [0; 16] }, &NoKey)
}

fn requests() -> [Request; 2] {
    [
        Request::Adopt { number: 1, certificate: certificates().0, sealed_key: vec![5; 186] },
        Request::Mint { number: u64::MAX, leaf: wanted("login.saas.example") },
    ]
}

#[test]
fn requests_read_back_and_no_prefix_of_one_is_a_request() {
    for request in requests() {
        let packet = request.encode();
        assert_eq!(Request::parse(&packet), Some(request));
        for length in 0..packet.len() {
            assert_eq!(Request::parse(&packet[..length]), None, "{length} bytes of {}", packet.len());
        }
        assert_eq!(Request::parse(&[&packet[..], &[0]].concat()), None, "something behind it");
    }
}

#[test]
fn answers_read_back_and_no_prefix_of_one_is_an_answer() {
    let validity = Validity { not_before: NOW, not_after: NOW + 1 };
    let mut answers = vec![
        Answer::Hello { sealing_key: vec![1; 32] },
        Answer::Adopted { number: 3 },
        Answer::Minted { number: 4, leaf: Minted { certificate: vec![2; 600], validity } },
    ];
    answers.extend(Refusal::ALL.iter().map(|&reason| Answer::Refused { number: 5, reason }));
    for answer in answers {
        let packet = answer.encode();
        assert_eq!(Answer::parse(&packet), Some(answer));
        for length in 0..packet.len() {
            assert_eq!(Answer::parse(&packet[..length]), None, "{length} bytes of {}", packet.len());
        }
        assert_eq!(Answer::parse(&[&packet[..], &[0]].concat()), None, "something behind it");
    }
}

/// What has no place in a request cannot be asked for: a name that is none, two names, another kind.
#[test]
fn what_is_no_host_is_no_request() {
    let packet = Request::Mint { number: 1, leaf: wanted("login.saas.example") }.encode();
    let named = |name: &[u8]| {
        let mut packet = packet[..packet.len() - "login.saas.example".len() - 1].to_vec();
        packet.push(u8::try_from(name.len()).unwrap());
        packet.extend_from_slice(name);
        Request::parse(&packet)
    };
    assert!(named(b"login.saas.example").is_some());
    for name in [
        &b""[..],
        b".",
        b"*.saas.example",
        b"login.saas.example.",
        b"LOGIN.saas.example",
        b"127.0.0.1",
        b"2130706433",
        b"login.saas.example\0.evil.example",
        b"login.saas.example,DNS:evil.example",
        b"login saas.example",
        &[b'a'; 64],
        &[0xff; 8],
    ] {
        assert_eq!(named(name), None, "{}", alloc::string::String::from_utf8_lossy(name));
    }
    let mut other = packet;
    for kind in (0..=u8::MAX).filter(|kind| *kind != 2) {
        other[0] = kind;
        assert_eq!(Request::parse(&other), None, "kind {kind}");
    }
}

#[test]
fn a_leaf_is_a_servers_for_one_name_for_days_from_now() {
    let (_, issuer) = certificates();
    let leaf = mint(&wanted("login.saas.example"), &issuer, NOW).unwrap();
    let facts = CertificateFacts::parse(&leaf.certificate).unwrap();
    assert!(!facts.is_authority() && facts.is_issued_by(&issuer) && facts.permitted().is_none());
    assert_eq!(facts.validity(), leaf.validity);
    let (start, end) = (NOW - CERTIFICATE_BACKDATE_SECONDS, NOW + LEAF_LIFE_SECONDS);
    assert_eq!((leaf.validity.not_before, leaf.validity.not_after), (start, end));
    let names = leaf.certificate.windows(18).filter(|window| window == b"login.saas.example").count();
    assert_eq!(names, 2, "common name and alternative name");
}

/// Time, names and keys that do not fit are refused, whoever asks.
#[test]
fn nothing_else_is_signed() {
    let (_, issuer) = certificates();
    let asked = |request: &MintRequest, issuer: &CertificateFacts, now| mint(request, issuer, now).map(|_| ());
    assert_eq!(asked(&wanted("login.saas.example"), &issuer, NOW), Ok(()));
    for name in ["saas.example.org", "notsaas.example", "example", "login.bank.example"] {
        assert_eq!(asked(&wanted(name), &issuer, NOW), Err(MintError::Name), "{name}");
    }
    for now in [NOW - 2 * DAY, NOW + 31 * DAY, i64::MAX / 2] {
        assert_eq!(asked(&wanted("login.saas.example"), &issuer, now), Err(MintError::Validity), "{now}");
    }
    let ends = mint(&wanted("a.saas.example"), &issuer, NOW + 29 * DAY);
    assert_eq!(ends.unwrap().validity.not_after, issuer.validity().not_after, "never past the issuer");
    for public_key in [vec![], vec![0x30, 0], public_key(3)[1..].to_vec(), [public_key(3), vec![0]].concat()] {
        let request = MintRequest { public_key, ..wanted("login.saas.example") };
        assert_eq!(asked(&request, &issuer, NOW), Err(MintError::PublicKey));
    }
    let leaf = mint(&wanted("login.saas.example"), &issuer, NOW).unwrap();
    let leaf = CertificateFacts::parse(&leaf.certificate).unwrap();
    assert_eq!(asked(&wanted("login.saas.example"), &leaf, NOW), Err(MintError::Issuer), "below a leaf");
}

/// What is kept for the next request with the same key is not used for another key.
#[test]
fn each_leaf_has_the_key_that_was_asked_for() {
    let mut press = LeafMint::new(certificates().1);
    let moment = Moment { now: NOW, serial: [0; 16] };
    for byte in [3, 4, 4, 3] {
        let request = MintRequest { public_key: public_key(byte), ..wanted("login.saas.example") };
        let leaf = press.mint(&request, moment, &NoKey).unwrap();
        assert_eq!(CertificateFacts::parse(&leaf.certificate).unwrap().public_key(), public_key(byte));
    }
}
