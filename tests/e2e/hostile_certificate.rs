//! Section F of the hostile cases, through the wire: whatever a bad upstream shows, no trusted leaf is minted and no
//! request leaves.

use penstock_tests::appliance::Setup;
use penstock_tests::certificate::Shown;
use penstock_tests::process::processor_seconds;
use penstock_tests::upstream::Upstream;
use penstock_tests::wait;

const ENTRA: &str = "login.microsoftonline.com";

/// The client sees a failure, nothing is minted or sent, and the fault is recorded on the upstream's side.
fn no_leaf_for(shown: Shown) {
    let upstream = Upstream::plan().showing(shown).start();
    let appliance = Setup::default().upstream(&upstream).shards(1).start();
    let outcome = appliance.try_client(ENTRA);
    assert!(outcome.is_err(), "{shown:?}: a trusted connection to an untrusted origin");
    assert!(upstream.requests().is_empty());
    let admin = appliance.admin();
    assert_eq!(admin.metrics().sum("penstock_leaf_minted_total", &[]), 0.0, "{shown:?}");
    wait::until("the fault to be counted", || {
        (admin.metrics().sum("penstock_faults_total", &["leg=\"upstream\"", "kind=\"certificate"]) == 1.0).then_some(())
    });
    let events = admin.await_events("status=fault", 1);
    assert_eq!(events[0]["sni"], ENTRA, "{events:?}");
    assert!(events[0]["code"].is_null() && events[0]["fault"].is_string(), "{events:?}");
}

#[test]
fn h096_expired() {
    no_leaf_for(Shown::Expired);
}

#[test]
fn h096_not_yet_valid() {
    no_leaf_for(Shown::NotYetValid);
}

#[test]
fn h096_wrong_name() {
    no_leaf_for(Shown::WrongName);
}

#[test]
fn h096_self_signed() {
    no_leaf_for(Shown::SelfSigned);
}

#[test]
fn h096_unknown_root() {
    no_leaf_for(Shown::UnknownRoot);
}

#[test]
fn h096_intermediate_missing() {
    no_leaf_for(Shown::IntermediateMissing);
}

#[test]
fn h097_common_name_only() {
    no_leaf_for(Shown::CommonNameOnly);
}

#[test]
fn h097_wildcard_above_a_public_suffix() {
    no_leaf_for(Shown::SuffixWildcard);
}

#[test]
fn h098_authority_as_leaf() {
    no_leaf_for(Shown::Authority);
}

#[test]
fn h098_not_for_servers() {
    no_leaf_for(Shown::NotForServers);
}

#[test]
fn h098_unknown_critical_extension() {
    no_leaf_for(Shown::UnknownCritical);
}

/// Chains whose only point is their cost: refused by their number of certificates, by their bytes, and by the number of
/// signatures and paths that are tried.
#[test]
fn h099_costly_chains_get_no_leaf_and_little_work() {
    for (shown, kind) in [
        (Shown::Hundred, "too_many"),
        (Shown::Mebibyte, "too_large"),
        (Shown::Cycle, "certificate_unknown"),
        (Shown::Maze, "too_many"),
    ] {
        let upstream = Upstream::plan().showing(shown).start();
        let appliance = Setup::default().upstream(&upstream).shards(1).start();
        let before = processor_seconds(appliance.pid("dataplane"));
        for _ in 0..TRIES {
            assert!(appliance.try_client(ENTRA).is_err(), "{shown:?}");
        }
        let each = (processor_seconds(appliance.pid("dataplane")) - before) / f64::from(TRIES);
        println!("{shown:?}: {each:.3} s of the processor for each, in a debug build");
        assert!(each < 1.0, "{shown:?}: {each} s");
        let admin = appliance.admin();
        let labels = ["leg=\"upstream\"", &format!("kind=\"{kind}\"")];
        wait::until(&format!("faults of {kind}"), || {
            (admin.metrics().sum("penstock_faults_total", &labels) == f64::from(TRIES)).then_some(())
        });
        assert_eq!(admin.metrics().sum("penstock_leaf_minted_total", &[]), 0.0, "{shown:?}");
        assert!(upstream.requests().is_empty());
    }
}

/// An upstream that is good once and bad afterwards: every handshake is checked, whatever the cache holds.
#[test]
fn h100_a_cached_leaf_is_no_excuse() {
    let good = Upstream::plan().start();
    let directory = std::sync::Arc::new(tempfile::TempDir::new().unwrap());
    let appliance = Setup::default().upstream(&good).shards(1).start_in(std::sync::Arc::clone(&directory));
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
    drop(appliance);
    let bad = Upstream::plan().showing(Shown::WrongName).start();
    let appliance = Setup::default().upstream(&bad).authority(good.ca()).shards(1).start_in(directory);
    assert!(appliance.try_client(ENTRA).is_err());
    assert!(bad.requests().is_empty());
}

#[test]
fn h101_leaves_are_short_lived_and_never_share_a_serial() {
    let upstream = Upstream::plan().start();
    let appliance = Setup::default().upstream(&upstream).start();
    let mut serials = std::collections::BTreeSet::new();
    for index in 0..30 {
        let name = format!("h{index}.google.com");
        let chain = appliance.client(&name).chain();
        let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).unwrap();
        let (_, issuer) = x509_parser::parse_x509_certificate(&chain[1]).unwrap();
        assert!(leaf.raw_serial().len() >= 8, "{:?}", leaf.raw_serial());
        assert!(serials.insert(leaf.raw_serial().to_vec()), "a serial came twice");
        assert!(leaf.validity().not_after.timestamp() <= issuer.validity().not_after.timestamp());
        assert!(leaf.validity().not_before.timestamp() >= issuer.validity().not_before.timestamp());
    }
}

/// Connections to each origin.
const TRIES: u32 = 5;
