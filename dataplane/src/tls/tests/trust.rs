//! Upstream roots that change on disk while the data plane runs.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::bed::{HOST, RUSTLS, Shard, upstream};
use super::origin::{ClientAuth, TestCa, server_config};
use crate::tls::{RootsWatch, TlsShared};

/// As a package manager does it: written beside, then renamed.
fn replace(file: &Path, text: &str) {
    let fresh = file.with_extension("new");
    fs::write(&fresh, text).expect("file");
    fs::rename(&fresh, file).expect("rename");
}

/// A root that is added is believed by the next handshake, one that is removed is not, a session under it included; no
/// restart, and the same shard.
#[test]
fn h106_roots_that_change_on_disk_are_used_by_the_next_handshake() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("roots.pem");
    let (one, other) = (TestCa::new("one"), TestCa::new("other"));
    fs::write(&file, &one.pem).expect("file");
    let (roots, mut watch) = RootsWatch::load(false, std::slice::from_ref(&file)).expect("roots");
    let shared = Arc::new(TlsShared::new(roots).expect("shared"));
    let shard = Shard::new(&shared, RUSTLS);
    let origins =
        [&one, &other].map(|ca| server_config(&ca.server(&[HOST], |_| {}), rustls::ALL_VERSIONS, ClientAuth::None));
    let believed = || {
        origins.each_ref().map(|origin| {
            let mut pair = upstream(&shard, HOST, origin, usize::MAX);
            pair.exchange(b"request", b"answer").is_ok() && pair.ours.verified().is_some()
        })
    };
    let before = upstream_proof(&shard, &origins[0]);
    assert_eq!(believed(), [true, false]);
    replace(&file, &format!("{}{}", one.pem, other.pem));
    assert_eq!(believed(), [true, false], "not looked yet");
    watch.refresh(shared.roots());
    assert_eq!(believed(), [true, true]);
    // Proofs, and with them leaves, of other roots are none.
    assert_ne!(upstream_proof(&shard, &origins[0]), before);

    // The session with the first is in the cache; its root goes all the same.
    assert!(resumes(&shard, &origins[0]));
    replace(&file, &other.pem);
    watch.refresh(shared.roots());
    assert_eq!(believed(), [false, true]);

    // What cannot be used changes nothing: damage, emptiness, no file.
    for text in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        replace(&file, text);
        watch.refresh(shared.roots());
        assert_eq!(believed(), [false, true]);
    }
    fs::remove_file(&file).expect("remove");
    watch.refresh(shared.roots());
    assert_eq!(believed(), [false, true]);
    // Written in place, with the length that it had before.
    fs::write(&file, &one.pem).expect("file");
    watch.refresh(shared.roots());
    assert_eq!(believed(), [true, false]);
}

fn upstream_proof(shard: &Shard, origin: &Arc<rustls::ServerConfig>) -> crate::tls::VerifiedUpstream {
    let mut pair = upstream(shard, HOST, origin, usize::MAX);
    assert_eq!(pair.exchange(b"request", b"answer"), Ok(()));
    pair.ours.verified().expect("verified")
}

fn resumes(shard: &Shard, origin: &Arc<rustls::ServerConfig>) -> bool {
    let mut pair = upstream(shard, HOST, origin, usize::MAX);
    pair.exchange(b"request", b"answer").is_ok() && pair.ours.is_resumed()
}
