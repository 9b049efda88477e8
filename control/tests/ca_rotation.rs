//! One root after another: what is served, who signs, and what a crash between any two writes leaves.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use penstock_control::ca::{Authority, AuthoritySettings, CaError, RotationFacts, RotationStep, trust_bundle};
use penstock_core::mint::CertificateFacts;

const DAY: i64 = 86_400;
const NOW: i64 = 1_795_305_600;
const HOST: &str = "login.microsoftonline.com";

fn open(state: &Path, now: i64) -> Authority {
    Authority::open_or_create(state, now).expect("an authority")
}

fn served(authority: &Authority) -> Vec<CertificateFacts> {
    let pem = authority.root_pem();
    let all = x509_parser::pem::Pem::iter_from_buffer(pem.as_bytes());
    all.map(|pem| CertificateFacts::parse(&pem.expect("PEM").contents).expect("facts")).collect()
}

/// What can be told apart of where a rotation stands.
fn standing(authority: &Authority) -> (String, Option<&'static str>, usize) {
    let phase = authority.rotation().map(|rotation| match rotation {
        RotationFacts::Announced { .. } => "announced",
        RotationFacts::Switched { .. } => "switched",
    });
    (authority.root().sha256, phase, served(authority).len())
}

fn files(state: &Path) -> Vec<(String, Vec<u8>)> {
    let read = fs::read_dir(state.join("ca")).expect("directory").map(|entry| {
        let path = entry.expect("entry").path();
        (path.file_name().expect("name").to_string_lossy().into_owned(), fs::read(&path).expect("file"))
    });
    let mut all: Vec<_> = read.collect();
    all.sort();
    all
}

fn put(state: &Path, files: &[(String, Vec<u8>)]) {
    let ca = state.join("ca");
    let _absent = fs::remove_dir_all(&ca);
    fs::create_dir_all(&ca).expect("directory");
    fs::set_permissions(&ca, fs::Permissions::from_mode(0o700)).expect("mode");
    for (name, content) in files {
        let file = ca.join(name);
        fs::write(&file, content).expect("file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("mode");
    }
}

#[test]
fn both_roots_are_served_from_the_announcement_to_the_end() {
    let state = tempfile::tempdir().expect("directory");
    let authority = open(state.path(), NOW);
    let old = authority.root();
    authority.rotate(RotationStep::Announce, NOW).expect("announced");
    assert_eq!(fs::read_to_string(state.path().join("ca/root.pem")).expect("root"), authority.root_pem());
    assert_eq!((authority.root(), served(&authority).len()), (old.clone(), 2));
    for (name, wanted) in [("root.key", 0o600), ("next.pem", 0o600), ("root.pem", 0o644)] {
        let mode = fs::metadata(state.path().join("ca").join(name)).expect("file").permissions().mode() & 0o777;
        assert_eq!(mode, wanted, "{name}");
    }
    let first = authority.issue([HOST].into_iter(), NOW).expect("issuer");
    // A restart forgets nothing, and neither brings the switch forward nor puts it off.
    let authority = open(state.path(), NOW + 13 * DAY);
    assert_eq!(standing(&authority), (old.sha256.clone(), Some("announced"), 2));
    assert!(authority.stands_behind(&first));
    let authority = open(state.path(), NOW + 14 * DAY);
    let (signing, phase, count) = standing(&authority);
    assert_eq!((phase, count), (Some("switched"), 2));
    assert!(signing != old.sha256 && !authority.stands_behind(&first));
    let second = authority.issue([HOST].into_iter(), NOW + 14 * DAY).expect("issuer");
    assert_ne!(second.serial, first.serial);
    assert!(!state.path().join("ca/next.pem").exists(), "the key is in one place");
    assert!(matches!(authority.rotate(RotationStep::Announce, NOW + 14 * DAY), Err(CaError::Rotation(_))));
    authority.rotate(RotationStep::Finish, NOW + 15 * DAY).expect("finished");
    assert_eq!(standing(&authority), (signing.clone(), None, 1));
    assert_eq!(standing(&open(state.path(), NOW + 16 * DAY)), (signing, None, 1));
}

#[test]
fn now_does_not_wait_and_an_old_root_goes_with_its_end() {
    let state = tempfile::tempdir().expect("directory");
    let authority = open(state.path(), NOW);
    let old = authority.root();
    authority.rotate(RotationStep::Switch, NOW).expect("switched");
    assert_eq!(standing(&authority).1, Some("switched"));
    // The new root is as long-lived as the old one was, so another decade shows the old one's end.
    authority.tend(old.not_after).expect("tended");
    assert_eq!(standing(&authority).1, Some("switched"));
    authority.tend(old.not_after + 1).expect("tended");
    assert_eq!(standing(&authority).1, None);

    // Near its end a root gives way before it, however long the overlap should be.
    let state = tempfile::tempdir().expect("directory");
    let authority = open(state.path(), NOW);
    let end = authority.root_not_after();
    authority.rotate(RotationStep::Announce, end - 5 * DAY).expect("announced");
    assert!(
        matches!(authority.rotation(), Some(RotationFacts::Announced { switches_at, .. }) if switches_at == end - DAY)
    );

    let settings = AuthoritySettings { overlap_seconds: DAY, operator: None };
    let state = tempfile::tempdir().expect("directory");
    let authority = Authority::open(state.path(), &settings, NOW).expect("opened");
    authority.rotate(RotationStep::Announce, NOW).expect("announced");
    assert!(
        matches!(authority.rotation(), Some(RotationFacts::Announced { switches_at, .. }) if switches_at == NOW + DAY)
    );
}

/// Each step is a row of single-file changes. Whatever subset a crash leaves in that order, the next start finds the step
/// done or not begun, both roots usable, and every key with its certificate.
#[test]
fn a_crash_between_any_two_writes_leaves_one_state_or_the_other() {
    let state = tempfile::tempdir().expect("directory");
    let authority = open(state.path(), NOW);
    let steps = [
        (RotationStep::Announce, &["cross.pem", "next.pem", "root.pem"][..]),
        (RotationStep::Switch, &["root.key", "root.pem", "next.pem"]),
        (RotationStep::Finish, &["root.pem", "cross.pem"]),
    ];
    for (step, order) in steps {
        let (before, was) = (files(state.path()), standing(&authority));
        authority.rotate(step, NOW).expect("a step");
        let (after, is) = (files(state.path()), standing(&authority));
        for done in 0..=order.len() {
            let written = |name: &String| order[..done].contains(&name.as_str());
            let mut mixed: Vec<_> = before.iter().filter(|(name, _)| !written(name)).cloned().collect();
            mixed.extend(after.iter().filter(|(name, _)| written(name)).cloned());
            // The file that was being written when it happened.
            mixed.push(("root.pem.new".to_owned(), b"-----BEGIN CERT".to_vec()));
            let crashed = tempfile::tempdir().expect("directory");
            put(crashed.path(), &mixed);
            let found = open(crashed.path(), NOW);
            let stands = standing(&found);
            assert!(stands == was || stands == is, "{step:?}, {done} written: {stands:?}");
            assert!(done > 0 || stands == was);
            assert!(done < order.len() || stands == is);
            found.issue([HOST].into_iter(), NOW).expect("it signs");
            assert_eq!(standing(&open(crashed.path(), NOW)), stands, "and settles");
        }
    }
}

#[test]
fn a_next_root_that_is_open_or_broken_is_refused() {
    let state = tempfile::tempdir().expect("directory");
    open(state.path(), NOW).rotate(RotationStep::Announce, NOW).expect("announced");
    let next = state.path().join("ca/next.pem");
    fs::set_permissions(&next, fs::Permissions::from_mode(0o640)).expect("mode");
    let refusal = Authority::open_or_create(state.path(), NOW).expect_err("open").to_string();
    assert!(refusal.contains("next.pem") && refusal.contains("chmod 0600"), "{refusal}");
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).expect("mode");
    fs::write(&next, "half").expect("write");
    let refusal = Authority::open_or_create(state.path(), NOW).expect_err("broken").to_string();
    assert!(refusal.contains("next.pem"), "{refusal}");
}

/// What OpenSSL and NSS say of the bundle: all certificates, no key, and the password is right.
#[test]
fn the_bundle_is_read_by_openssl_and_nss() {
    let state = tempfile::tempdir().expect("directory");
    let authority = open(state.path(), NOW);
    authority.rotate(RotationStep::Announce, NOW).expect("announced");
    let pem = authority.root_pem();
    let named: Vec<_> = x509_parser::pem::Pem::iter_from_buffer(pem.as_bytes())
        .enumerate()
        .map(|(index, pem)| (format!("Penstock root {}", index + 1), pem.expect("PEM").contents))
        .collect();
    assert_eq!(authority.root_der(), named[0].1);
    let file = state.path().join("bundle.p12");
    fs::write(&file, trust_bundle(&named, "penstock").expect("bundle")).expect("file");
    let run = |program: &str, arguments: &[&str]| match Command::new(program).args(arguments).output() {
        Ok(output) => {
            let said =
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            Some((output.status.success(), said))
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{program}: {error}");
            None
        }
    };
    let path = file.to_str().expect("path");
    if let Some((good, said)) = run("openssl", &["pkcs12", "-info", "-in", path, "-passin", "pass:penstock"]) {
        assert!(good && said.matches("BEGIN CERTIFICATE").count() == 2 && !said.contains("PRIVATE KEY"), "{said}");
        assert!(said.contains("sha256") && said.contains("friendlyName: Penstock root 2"), "{said}");
        let (good, said) = run("openssl", &["pkcs12", "-in", path, "-passin", "pass:wrong"]).expect("openssl");
        assert!(!good && said.contains("Mac verify error"), "{said}");
    }
    let database = format!("sql:{}", state.path().display());
    if run("certutil", &["-d", &database, "-N", "--empty-password"]).is_some() {
        let (good, said) =
            run("pk12util", &["-d", &database, "-i", path, "-W", "penstock", "-K", ""]).expect("pk12util");
        assert!(good, "{said}");
        let (_, listed) = run("certutil", &["-d", &database, "-L"]).expect("certutil");
        assert_eq!(listed.matches("Penstock").count(), 2, "{listed}");
    }
}
