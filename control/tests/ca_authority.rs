//! The authority on disk: made once, closed to others, refused with a mend when something is wrong.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use penstock_control::ca::{Authority, CaError, IssuerBundle};
use penstock_core::mint::{CertificateFacts, PermittedNames, Validity};
use x509_parser::prelude::{FromDer as _, X509Certificate};

const DAY: i64 = 86_400;
const NOW: i64 = 1_795_305_600;
const HOSTS: &[&str] = &["login.microsoftonline.com", "*.google.com"];

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("metadata").permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
}

fn refusal(state: &Path, now: i64) -> String {
    Authority::open_or_create(state, now).expect_err("a refusal").to_string()
}

fn issue(authority: &Authority, hosts: &[&str], now: i64) -> IssuerBundle {
    authority.issue(hosts.iter().copied(), now).expect("issuer")
}

#[test]
fn the_root_is_made_once_and_found_again() {
    let state = tempfile::tempdir().expect("directory");
    let first = Authority::open_or_create(state.path(), NOW).expect("made");
    let ca = state.path().join("ca");
    assert_eq!(mode(&ca), 0o700);
    assert_eq!(mode(&ca.join("root.key")), 0o600);
    assert_eq!(fs::read_to_string(ca.join("root.pem")).expect("root"), first.root_pem());
    let left: Vec<_> =
        fs::read_dir(state.path()).expect("directory").map(|entry| entry.expect("entry").path()).collect();
    assert_eq!(left, [ca], "nothing half-made stays behind");

    let again = Authority::open_or_create(state.path(), NOW + 400 * DAY).expect("found");
    assert_eq!(again.root(), first.root());
    assert_eq!(first.root_fingerprint().len(), 64);
    assert_eq!(first.root().not_before, NOW - DAY);
    assert_eq!(first.root_not_after(), NOW + 3650 * DAY);
    let (_, pem) = x509_parser::pem::parse_x509_pem(first.root_pem().as_bytes()).expect("PEM");
    let root = pem.parse_x509().expect("DER");
    assert_eq!(root.subject().to_string(), format!("O=Penstock, CN={}", first.root().common_name));

    let other = tempfile::tempdir().expect("directory");
    let other = Authority::open_or_create(other.path(), NOW).expect("made");
    assert_ne!(other.root().common_name, first.root().common_name);
}

#[test]
fn an_issuer_is_for_the_hosts_and_signed_by_the_root() {
    let state = tempfile::tempdir().expect("directory");
    let authority = Authority::open_or_create(state.path(), NOW).expect("made");
    let bundle = issue(&authority, HOSTS, NOW);
    assert_eq!(bundle.chain.len(), 2);
    let (issuer, root) = (CertificateFacts::parse(&bundle.chain[0]), CertificateFacts::parse(&bundle.chain[1]));
    let (issuer, root) = (issuer.expect("issuer"), root.expect("root"));
    assert!(issuer.is_issued_by(&root) && issuer.is_authority());
    assert_eq!(issuer.permitted(), PermittedNames::from_patterns(HOSTS.iter().copied()).ok().as_ref());
    assert_eq!(issuer.validity(), Validity { not_before: NOW - DAY, not_after: NOW + 30 * DAY });
    assert_eq!((bundle.not_before, bundle.not_after), (NOW - DAY, NOW + 30 * DAY));
    assert_eq!(bundle.renew_at(), NOW + 15 * DAY);
    let (_, parsed) = X509Certificate::from_der(&bundle.chain[0]).expect("issuer");
    assert_eq!(bundle.serial, parsed.raw_serial_as_string().replace(':', ""));
    assert!(!format!("{bundle:?}{authority:?}").contains(&format!("{:?}", &bundle.key[40..44])));
}

/// A restart of control changes nothing for data planes; another policy, half of its life or a broken file does.
#[test]
fn an_issuer_is_kept_while_it_fits() {
    let state = tempfile::tempdir().expect("directory");
    let authority = Authority::open_or_create(state.path(), NOW).expect("made");
    let first = issue(&authority, HOSTS, NOW);
    assert_eq!(mode(&state.path().join("ca/issuer.pem")), 0o600);
    drop(authority);
    let authority = Authority::open_or_create(state.path(), NOW + DAY).expect("found");
    let reversed = ["*.google.com", "google.com", "login.microsoftonline.com"];
    let kept = issue(&authority, &reversed, NOW + 14 * DAY);
    assert_eq!((kept.serial, &kept.key, kept.chain), (first.serial.clone(), &first.key, first.chain.clone()));

    let renewed = issue(&authority, HOSTS, NOW + 15 * DAY);
    assert_ne!(renewed.serial, first.serial);
    let others = issue(&authority, &["claude.ai"], NOW + 15 * DAY);
    assert_ne!(others.serial, renewed.serial);
    assert_ne!(others.key, renewed.key);
    fs::write(state.path().join("ca/issuer.pem"), "cut short").expect("write");
    assert_ne!(issue(&authority, &["claude.ai"], NOW + 15 * DAY).serial, others.serial);
    let files = fs::read_dir(state.path().join("ca")).expect("directory").count();
    assert_eq!(files, 3, "root.pem, root.key, issuer.pem");
}

#[test]
fn an_issuer_never_outlives_the_root() {
    let state = tempfile::tempdir().expect("directory");
    let authority = Authority::open_or_create(state.path(), NOW).expect("made");
    let late = authority.root_not_after() - DAY;
    assert_eq!(issue(&authority, HOSTS, late).not_after, authority.root_not_after());
    assert!(matches!(authority.issue(HOSTS.iter().copied(), late + 2 * DAY), Err(CaError::Expired { .. })));
    assert!(matches!(authority.issue(["*.*.com"].into_iter(), NOW), Err(CaError::Mint(_))));
}

/// Refuse to start: key or directory open to others, wrong key, root out of its time, a file missing or broken. Each
/// message names the file and the mend.
#[test]
fn h103_an_authority_that_must_not_be_used_is_refused() {
    let state = tempfile::tempdir().expect("directory");
    let ca = state.path().join("ca");
    let (key, certificate) = (ca.join("root.key"), ca.join("root.pem"));
    drop(Authority::open_or_create(state.path(), NOW).expect("made"));
    let named = |message: &str, path: &Path, mend: &str| {
        assert!(message.contains(&path.display().to_string()) && message.contains(mend), "{message}");
    };

    for loose in [0o644, 0o640, 0o604, 0o660] {
        set_mode(&key, loose);
        named(&refusal(state.path(), NOW), &key, "chmod 0600");
    }
    set_mode(&key, 0o400);
    drop(Authority::open_or_create(state.path(), NOW).expect("a key that is read-only is closed enough"));
    set_mode(&key, 0o600);
    set_mode(&ca, 0o755);
    named(&refusal(state.path(), NOW), &ca, "chmod 0700");
    set_mode(&ca, 0o700);

    named(&refusal(state.path(), NOW + 3651 * DAY), &certificate, "start again");
    named(&refusal(state.path(), NOW - 2 * DAY), &certificate, "correct the clock");

    let other = tempfile::tempdir().expect("directory");
    drop(Authority::open_or_create(other.path(), NOW).expect("made"));
    let own = fs::read(&key).expect("key");
    fs::copy(other.path().join("ca/root.key"), &key).expect("copy");
    named(&refusal(state.path(), NOW), &key, "not the key of the certificate");
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").expect("write");
    named(&refusal(state.path(), NOW), &key, "restore it");
    fs::remove_file(&key).expect("remove");
    named(&refusal(state.path(), NOW), &key, "missing");
    fs::write(&key, own).expect("write");
    set_mode(&key, 0o600);
    fs::remove_file(&certificate).expect("remove");
    named(&refusal(state.path(), NOW), &certificate, "missing");
    fs::write(&certificate, "nothing").expect("write");
    named(&refusal(state.path(), NOW), &certificate, "restore it");
}

/// Whoever comes second finds the first one's root; nobody sees a root without its key.
#[test]
fn two_starts_at_once_agree_on_one_root() {
    let state = tempfile::tempdir().expect("directory");
    let open = || Authority::open_or_create(state.path(), NOW).map(|authority| authority.root());
    let roots: Vec<_> = std::thread::scope(|scope| {
        #[expect(clippy::needless_collect, reason = "all must run before the first is joined")]
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic").expect("a root")).collect()
    });
    assert!(roots.iter().all(|root| root == &roots[0]));
    assert_eq!(fs::read_dir(state.path()).expect("directory").count(), 1);
}
