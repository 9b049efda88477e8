//! Root, issuer and leaf as other people's software sees them: x509-parser reads them, and webpki, OpenSSL and GnuTLS
//! verify chains of them. The OpenSSL and GnuTLS halves say so when the tool is not installed; with `CI` set its absence
//! fails.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

#[path = "mint/key.rs"]
mod key;

use std::path::Path;
use std::process::{Command, Output};

use penstock_core::mint::{
    AuthorityRequest, CertificateFacts, LeafTemplate, MintError, PermittedNames, Validity, encode_cross, encode_issuer,
    encode_root,
};
use penstock_core::sni::Sni;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::*;

use self::key::Key;

const DAY: i64 = 86_400;
const NOW: i64 = 1_795_305_600;

struct Pki {
    root: Vec<u8>,
    issuer: Vec<u8>,
    issuer_key: Key,
    template: LeafTemplate,
}

fn pki(now: i64, patterns: &[&str]) -> Pki {
    let (root_key, issuer_key) = (Key::new(), Key::new());
    let request = AuthorityRequest {
        common_name: "Penstock Root test",
        public_key: &root_key.public(),
        serial: [0xff; 16],
        validity: Validity { not_before: now - 2 * DAY, not_after: now + 3650 * DAY },
    };
    let root = encode_root(&request, &root_key).expect("root");
    let issuer = issuer_with(&root, &root_key, &issuer_key, now, patterns);
    let facts = CertificateFacts::parse(&issuer).expect("facts");
    let template = LeafTemplate::new(&facts, &Key::new().public()).expect("template");
    Pki { root, issuer, issuer_key, template }
}

fn issuer_with(root: &[u8], root_key: &Key, key: &Key, now: i64, patterns: &[&str]) -> Vec<u8> {
    let request = AuthorityRequest {
        common_name: "Penstock Issuer test",
        public_key: &key.public(),
        serial: [0; 16],
        validity: Validity { not_before: now - DAY, not_after: now + 30 * DAY },
    };
    let root = CertificateFacts::parse(root).expect("root facts");
    let permitted = PermittedNames::from_patterns(patterns.iter().copied()).expect("patterns");
    encode_issuer(&request, &root, &permitted, root_key).expect("issuer")
}

fn sni(name: &str) -> Sni {
    Sni::parse(name.as_bytes()).expect("host name")
}

impl Pki {
    fn leaf(&self, name: &str, now: i64) -> Result<Vec<u8>, MintError> {
        let issuer = CertificateFacts::parse(&self.issuer).expect("facts");
        self.template.encode(&sni(name), [7; 16], Validity::for_leaf(now, issuer.validity()), &self.issuer_key)
    }

    fn webpki_accepts(&self, leaf: &[u8], name: &str, now: i64) -> Result<(), webpki::Error> {
        let (root, leaf) = (CertificateDer::from(self.root.clone()), CertificateDer::from(leaf.to_vec()));
        let anchor = webpki::anchor_from_trusted_cert(&root)?;
        let certificate = webpki::EndEntityCert::try_from(&leaf)?;
        certificate.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &[anchor],
            &[CertificateDer::from(self.issuer.clone())],
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.unsigned_abs())),
            webpki::KeyUsage::server_auth(),
            None,
            None,
        )?;
        certificate.verify_is_valid_for_subject_name(&ServerName::try_from(name).expect("server name"))
    }

    fn write(&self, directory: &Path, leaf: &[u8]) {
        for (file, der) in [("root.pem", &self.root[..]), ("issuer.pem", &self.issuer), ("leaf.pem", leaf)] {
            std::fs::write(directory.join(file), pem(der)).expect("file");
        }
        let chain = [leaf, &self.issuer, &self.root].map(pem).concat();
        std::fs::write(directory.join("chain.pem"), chain).expect("file");
        let key = self.issuer_key.0.to_pkcs8v1().expect("pkcs8");
        std::fs::write(directory.join("issuer.der"), key.as_ref()).expect("file");
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: String = text.as_bytes().chunks(64).map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

/// Runs a tool; `None`, said aloud, when it is not installed.
fn run(directory: &Path, tool: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(tool).args(arguments).current_dir(directory).output() {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{tool} is needed: {error}");
            eprintln!("left out: {tool} is not installed");
            None
        }
    }
}

fn openssl_verify(directory: &Path, name: &str, now: i64) -> Option<bool> {
    let time = now.to_string();
    let arguments = [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-attime",
        &time,
        "-verify_hostname",
        name,
        "-CAfile",
        "root.pem",
        "-untrusted",
        "issuer.pem",
        "leaf.pem",
    ];
    run(directory, "openssl", &arguments).map(|output| {
        eprintln!("{name}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        output.status.success()
    })
}

fn gnutls_verify(directory: &Path, name: &str) -> Option<bool> {
    let host = format!("--verify-hostname={name}");
    let arguments = ["--verify", "--load-ca-certificate", "root.pem", "--infile", "chain.pem", &host];
    run(directory, "certtool", &arguments).map(|output| {
        eprintln!("{name}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        output.status.success()
    })
}

fn wall_clock() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("clock");
    i64::try_from(now.as_secs()).expect("seconds")
}

const HOSTS: &[&str] = &["login.microsoftonline.com", "*.google.com", "claude.ai"];

#[test]
fn root_and_issuer_have_their_profiles() {
    let pki = pki(NOW, HOSTS);
    let (rest, root) = X509Certificate::from_der(&pki.root).expect("root");
    assert!(rest.is_empty());
    assert_eq!(root.version(), X509Version::V3);
    assert_eq!(root.subject(), root.issuer());
    let constraints = root.basic_constraints().expect("one").expect("basic constraints");
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(2));

    let (_, issuer) = X509Certificate::from_der(&pki.issuer).expect("issuer");
    assert_eq!(issuer.issuer(), root.subject());
    let constraints = issuer.basic_constraints().expect("one").expect("basic constraints");
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = issuer.key_usage().expect("one").expect("key usage");
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    assert!(!usage.value.digital_signature());
    let names = issuer.name_constraints().expect("one").expect("name constraints");
    assert!(names.critical);
    let permitted: Vec<&str> = names
        .value
        .permitted_subtrees
        .iter()
        .flatten()
        .map(|tree| match tree.base {
            GeneralName::DNSName(name) => name,
            _ => panic!("only names are permitted"),
        })
        .collect();
    assert_eq!(permitted, ["claude.ai", "google.com", "login.microsoftonline.com"]);
    let excluded: Vec<&[u8]> = names
        .value
        .excluded_subtrees
        .iter()
        .flatten()
        .map(|tree| match tree.base {
            GeneralName::IPAddress(range) => range,
            _ => panic!("only addresses are excluded"),
        })
        .collect();
    assert_eq!(excluded, [&[0; 8][..], &[0; 32]]);
}

/// A root's word for its successor: clients that have the old root alone believe leaves of the new one's issuers.
#[test]
fn a_cross_certificate_leads_from_the_old_root_to_the_new_ones_leaves() {
    let now = wall_clock();
    let (old_key, new_key, issuer_key) = (Key::new(), Key::new(), Key::new());
    let (old_public, new_public) = (old_key.public(), new_key.public());
    let validity = Validity { not_before: now - 2 * DAY, not_after: now + 3650 * DAY };
    let request =
        |common_name, public_key, serial| AuthorityRequest { common_name, public_key, serial: [serial; 16], validity };
    let old = encode_root(&request("old", &old_public, 1), &old_key).expect("old root");
    let new = encode_root(&request("new", &new_public, 2), &new_key).expect("new root");
    let (old_facts, new_facts) =
        (CertificateFacts::parse(&old).expect("old"), CertificateFacts::parse(&new).expect("new"));
    assert_eq!((old_facts.path_length(), new_facts.path_length()), (Some(2), Some(2)));
    let cross = encode_cross(&request("new", &new_public, 3), &old_facts, &old_key).expect("cross");
    let facts = CertificateFacts::parse(&cross).expect("cross");
    assert!(facts.is_issued_by(&old_facts) && facts.subject() == new_facts.subject() && facts.path_length() == Some(1));
    assert_eq!((facts.key_id(), facts.public_key()), (new_facts.key_id(), new_facts.public_key()));
    let issuer = issuer_with(&new, &new_key, &issuer_key, now, HOSTS);
    let template = LeafTemplate::new(&CertificateFacts::parse(&issuer).expect("issuer"), &Key::new().public());
    let name = Sni::parse(HOSTS[0].as_bytes()).expect("name");
    let leaf_validity = Validity { not_before: now - DAY, not_after: now + 7 * DAY };
    let leaf = template.expect("template").encode(&name, [7; 16], leaf_validity, &issuer_key).expect("leaf");

    let directory = tempfile::tempdir().expect("directory");
    let write = |file: &str, text: String| std::fs::write(directory.path().join(file), text).expect("file");
    write("root.pem", pem(&old));
    write("leaf.pem", pem(&leaf));
    write("chain.pem", [&leaf, &issuer, &cross].map(|der| pem(der)).concat());
    write("issuer.pem", pem(&issuer));
    assert_ne!(openssl_verify(directory.path(), HOSTS[0], now), Some(true), "without the word");
    write("issuer.pem", pem(&issuer) + &pem(&cross));
    assert_ne!(openssl_verify(directory.path(), HOSTS[0], now), Some(false));
    assert_ne!(gnutls_verify(directory.path(), HOSTS[0]), Some(false));
    // Below an issuer there is no room for another authority, and nobody vouches past his own end.
    let issuer_facts = CertificateFacts::parse(&issuer).expect("issuer");
    assert_eq!(encode_cross(&request("new", &new_public, 3), &issuer_facts, &issuer_key), Err(MintError::Issuer));
    let late = AuthorityRequest {
        validity: Validity { not_after: validity.not_after + 1, ..validity },
        ..request("new", &new_public, 3)
    };
    assert_eq!(encode_cross(&late, &old_facts, &old_key), Err(MintError::Validity));
}

/// The minted leaf: exact name as the only SAN, positive serial, serverAuth, AKI, back-dated, inside the issuer's time.
#[test]
fn h101_leaf_has_its_profile() {
    let pki = pki(NOW, HOSTS);
    let der = pki.leaf("login.microsoftonline.com", NOW).expect("leaf");
    let (rest, leaf) = X509Certificate::from_der(&der).expect("leaf");
    assert!(rest.is_empty());
    let (_, issuer) = X509Certificate::from_der(&pki.issuer).expect("issuer");
    assert_eq!(leaf.subject().to_string(), "CN=login.microsoftonline.com");
    let names = leaf.subject_alternative_name().expect("one").expect("names");
    assert!(!names.critical);
    assert_eq!(names.value.general_names, [GeneralName::DNSName("login.microsoftonline.com")]);
    assert!(!leaf.is_ca());
    let usage = leaf.key_usage().expect("one").expect("key usage");
    assert!(usage.critical && usage.value.digital_signature() && !usage.value.key_cert_sign());
    let purpose = leaf.extended_key_usage().expect("one").expect("purpose").value;
    assert!(purpose.server_auth && !purpose.any && !purpose.client_auth);
    assert_eq!(leaf.raw_serial().len(), 16);
    assert!((0x40..0x80).contains(&leaf.raw_serial()[0]), "positive, and never shorter");
    assert_eq!(leaf.validity().not_before.timestamp(), NOW - DAY);
    assert_eq!(leaf.validity().not_after.timestamp(), NOW + 7 * DAY);
    assert_eq!(key_ids(&leaf).1, key_ids(&issuer).0);

    let late = pki.leaf("claude.ai", NOW + 29 * DAY).expect("leaf");
    let (_, late) = X509Certificate::from_der(&late).expect("leaf");
    assert_eq!(late.validity().not_after, issuer.validity().not_after, "never past the issuer's end");
    assert_eq!(pki.leaf("claude.ai", NOW + 32 * DAY), Err(MintError::Validity));
    assert_eq!(pki.leaf("claude.com", NOW), Err(MintError::Name));
}

/// Subject and authority key identifiers.
fn key_ids<'a>(certificate: &X509Certificate<'a>) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
    let (mut subject, mut authority) = (None, None);
    for extension in certificate.extensions() {
        let content = extension.value;
        // Both are short: OCTET STRING {id}, and SEQUENCE { [0] id }.
        match extension.oid.to_id_string().as_str() {
            "2.5.29.14" => subject = Some(&content[2..]),
            "2.5.29.35" => authority = Some(&content[4..]),
            _ => {}
        }
    }
    (subject, authority)
}

/// Names of every length: over 64 bytes the subject is empty and the alternative name critical, and all verify.
#[test]
fn chains_verify_in_webpki_openssl_and_gnutls() {
    let now = wall_clock();
    let long = format!("{}.{}.{}.google.com", "a".repeat(63), "b".repeat(63), "c".repeat(63));
    let exactly_64 = format!("{}.google.com", "d".repeat(53));
    let pki = pki(now, HOSTS);
    for name in ["login.microsoftonline.com", "google.com", "a_b.accounts.google.com", &exactly_64, &long] {
        let leaf = pki.leaf(name, now).expect("leaf");
        assert_eq!(pki.webpki_accepts(&leaf, name, now), Ok(()), "{name}");
        let (_, parsed) = X509Certificate::from_der(&leaf).expect("leaf");
        let names = parsed.subject_alternative_name().expect("one").expect("names");
        assert_eq!(names.critical, name.len() > 64);
        assert_eq!(parsed.subject().iter().count(), usize::from(name.len() <= 64));
        let directory = tempfile::tempdir().expect("directory");
        pki.write(directory.path(), &leaf);
        assert_ne!(openssl_verify(directory.path(), name, now), Some(false), "{name}");
        assert_ne!(gnutls_verify(directory.path(), name), Some(false), "{name}");
    }
}

/// A stolen issuer key cannot speak for other hosts: leaves that OpenSSL signs with it for another name, or for an
/// address, are refused by OpenSSL, GnuTLS and webpki.
#[test]
fn h102_name_constraints_bind_a_stolen_issuer_key() {
    let now = wall_clock();
    let pki = pki(now, HOSTS);
    for (alternative, host, permitted) in [
        ("DNS:accounts.google.com", "accounts.google.com", true),
        ("DNS:www.bank.example", "www.bank.example", false),
        ("DNS:notgoogle.com", "notgoogle.com", false),
        ("DNS:*.com", "google.com", false),
        ("DNS:accounts.google.com,DNS:www.bank.example", "accounts.google.com", false),
        ("DNS:accounts.google.com,IP:192.0.2.1", "accounts.google.com", false),
        ("DNS:accounts.google.com,IP:2001:db8::1", "accounts.google.com", false),
    ] {
        let directory = tempfile::tempdir().expect("directory");
        let directory = directory.path();
        pki.write(directory, &[]);
        let Some(leaf) = leaf_signed_by_openssl(directory, alternative) else { return };
        pki.write(directory, &leaf);
        assert_eq!(pki.webpki_accepts(&leaf, host, now + 60).is_ok(), permitted, "webpki, {alternative}");
        assert_eq!(openssl_verify(directory, host, now + 60), Some(permitted), "OpenSSL, {alternative}");
        if let Some(accepted) = gnutls_verify(directory, host) {
            assert_eq!(accepted, permitted, "GnuTLS, {alternative}");
        }
    }
}

fn leaf_signed_by_openssl(directory: &Path, alternative: &str) -> Option<Vec<u8>> {
    let extensions = format!(
        "subjectAltName=critical,{alternative}\nextendedKeyUsage=serverAuth\nkeyUsage=critical,digitalSignature\n\
         authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
    );
    std::fs::write(directory.join("leaf.ext"), extensions).expect("file");
    for arguments in [
        "pkey -inform DER -in issuer.der -out issuer.key",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout leaf.key -subj / -out leaf.csr",
        "x509 -req -in leaf.csr -CA issuer.pem -CAkey issuer.key -days 5 -extfile leaf.ext -outform DER -out leaf.der",
    ] {
        let output = run(directory, "openssl", &arguments.split(' ').collect::<Vec<_>>())?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    Some(std::fs::read(directory.join("leaf.der")).expect("leaf"))
}

/// What is not an authority's certificate of ours is not read as one; nor is any prefix; and no changed byte panics.
#[test]
fn facts_are_read_or_refused() {
    let pki = pki(NOW, HOSTS);
    let facts = CertificateFacts::parse(&pki.issuer).expect("facts");
    assert!(facts.is_authority() && facts.is_issued_by(&CertificateFacts::parse(&pki.root).expect("facts")));
    assert_eq!(facts.validity(), Validity { not_before: NOW - DAY, not_after: NOW + 30 * DAY });
    assert_eq!(facts.permitted(), PermittedNames::from_patterns(HOSTS.iter().copied()).ok().as_ref());
    for end in 0..pki.issuer.len() {
        assert_eq!(CertificateFacts::parse(&pki.issuer[..end]), Err(MintError::Issuer));
    }
    for index in 0..pki.issuer.len() {
        for bit in 0..8 {
            let mut changed = pki.issuer.clone();
            changed[index] ^= 1 << bit;
            drop(CertificateFacts::parse(&changed));
        }
    }
    let leaf = pki.leaf("claude.ai", NOW).expect("leaf");
    let leaf = CertificateFacts::parse(&leaf).expect("a leaf can be read");
    assert_eq!(LeafTemplate::new(&leaf, &Key::new().public()).err(), Some(MintError::Issuer));
    assert_eq!(LeafTemplate::new(&facts, b"no key").err(), Some(MintError::PublicKey));
}
