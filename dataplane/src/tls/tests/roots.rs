//! Where upstream roots come from, and the messages when they do not.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::CustomExtension;
use rustls_pki_types::UnixTime;

use super::bed::{EACH, HOST, Shard, now, upstream};
use super::origin::{ClientAuth, TestCa, expired, server_config};
use crate::tls::TlsShared;
use crate::tls::chain::Voucher;
use crate::tls::roots::UpstreamRoots;

/// Loads one file alone.
fn load(directory: &Path, name: &str, text: &str) -> Result<usize, String> {
    let file = directory.join(name);
    fs::write(&file, text).expect("file");
    let roots = UpstreamRoots::load(false, std::slice::from_ref(&file)).map_err(|error| error.to_string());
    let named = |error: &String| assert!(error.contains(&file.display().to_string()), "{error}");
    roots.map(|roots| roots.count()).inspect_err(named)
}

#[test]
fn files_are_read_whole_or_named_in_a_refusal() {
    let directory = tempfile::tempdir().expect("directory");
    let directory = directory.path();
    let (one, other) = (TestCa::new("one"), TestCa::new("other"));
    let unknown = TestCa::new_with("unknown", |params| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions.push(extension);
    });
    assert_eq!(load(directory, "one.pem", &one.pem), Ok(1));
    assert_eq!(load(directory, "both.pem", &format!("a comment\n{}{}", one.pem, other.pem)), Ok(2));
    let broken = one.pem.replacen("MII", "!!!", 1);
    for (name, text, says) in [
        ("empty.pem", "", "must be PEM"),
        ("text.pem", "hello", "must be PEM"),
        ("broken.pem", broken.as_str(), "cannot be read"),
        ("der.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate number 1"),
        ("second.pem", &format!("{}{}", one.pem, unknown.pem), "certificate number 2"),
    ] {
        let refusal = load(directory, name, text).expect_err("a refusal");
        assert!(refusal.contains(says), "{refusal}");
    }
    let missing = directory.join("missing.pem");
    let refusal = UpstreamRoots::load(false, std::slice::from_ref(&missing)).expect_err("a refusal").to_string();
    assert!(refusal.contains(&missing.display().to_string()), "{refusal}");
    let refusal = UpstreamRoots::load(false, &[]).expect_err("a refusal").to_string();
    assert!(refusal.contains("ca-certificates") && refusal.contains("upstream.ca_files"), "{refusal}");
}

/// Public roots in use are none that we refuse: the system's store, where there is one, is taken nearly whole.
#[test]
fn the_systems_store_is_usable() {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        eprintln!("left out: this system has no root store");
        return;
    }
    let roots = UpstreamRoots::load(true, &Vec::<PathBuf>::new()).expect("roots");
    eprintln!("{} of {} roots of the system are used", roots.count(), found.len());
    assert!(roots.count() * 20 >= found.len() * 19, "{} of {}", roots.count(), found.len());
}

/// A root that has expired leads nowhere, although webpki would take it; nor does one that is not valid yet.
#[test]
fn an_expired_root_leads_nowhere() {
    let ca = TestCa::new_with("expired", expired);
    let origin = server_config(&ca.server(&[HOST], |_| {}), rustls::ALL_VERSIONS, ClientAuth::None);
    let shared = Arc::new(TlsShared::new(ca.roots(Voucher::Operator)).expect("shared"));
    for engines in EACH {
        let fault = upstream(&Shard::new(&shared, engines), HOST, &origin, usize::MAX).run().expect_err("a refusal");
        assert_eq!(fault, penstock_core::flow::FaultKind::CertificateTime);
    }

    let good = TestCa::new("good").roots(Voucher::System);
    let facts = good.facts_of(&good.anchors()[0]).expect("facts");
    let at = |seconds: i64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds.unsigned_abs()));
    assert!(facts.is_valid_at(at(now())));
    assert!(!facts.is_valid_at(at(100)));
}
