//! etcd: what every store of policies must do; changes that are heard of; and the ways to lose the server.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use penstock_tests::certificate::TestAuthority;
use penstock_tests::etcd::Etcd;
use tempfile::TempDir;
use tokio::sync::watch;

use super::super::etcd::EtcdStore;
use super::super::{PolicyStore as _, StoreError};
use super::policy::append;
use crate::config::{ClientTls, EtcdSettings};

fn settings(server: &Etcd) -> EtcdSettings {
    let url = server.url();
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    EtcdSettings {
        endpoints: vec![("127.0.0.1".to_owned(), port)],
        prefix: "/penstock/".to_owned(),
        name: "one".to_owned(),
        user: None,
        tls: None,
    }
}

fn open(server: &Etcd) -> EtcdStore {
    EtcdStore::open(&settings(server)).unwrap()
}

fn bed() -> Option<(Etcd, Arc<EtcdStore>)> {
    let server = Etcd::start()?;
    let store = Arc::new(open(&server));
    Some((server, store))
}

super::policy_suite!(bed);

async fn newest(store: &EtcdStore) -> u64 {
    store.head().await.unwrap().newest.map_or(0, |revision| revision.epoch)
}

/// Waits until a change is heard of with which that epoch is the newest.
async fn hears_of(store: &EtcdStore, changes: &mut watch::Receiver<()>, epoch: u64) {
    let hearing = async {
        while newest(store).await != epoch {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), hearing)
        .await
        .unwrap_or_else(|_| panic!("epoch {epoch} is not heard of"));
}

/// Of what one daemon publishes the others hear; through a kill of the server, and through a compaction that they slept over.
#[tokio::test]
async fn daemons_hear_of_what_others_publish() {
    let Some(mut server) = Etcd::start() else { return };
    let (writer, reader) = (open(&server), open(&server));
    let mut changes = reader.changes();
    append(&writer, 0, 1).await.unwrap();
    hears_of(&reader, &mut changes, 1).await;
    append(&writer, 1, 2).await.unwrap();
    hears_of(&reader, &mut changes, 2).await;

    server.kill();
    assert!(matches!(append(&writer, 2, 3).await, Err(StoreError::Away(_))));
    server.revive();
    append(&writer, 2, 3).await.unwrap();
    hears_of(&reader, &mut changes, 3).await;
    assert!(matches!(append(&reader, 2, 4).await, Err(StoreError::EpochTaken { newest: 3, .. })));

    // What happened while nobody could listen is gone from the history.
    server.kill();
    server.revive();
    for epoch in 4..=9 {
        append(&writer, epoch - 1, epoch).await.unwrap();
        server.compact();
    }
    hears_of(&reader, &mut changes, 9).await;
    append(&writer, 9, 10).await.unwrap();
    hears_of(&reader, &mut changes, 10).await;
    let history = reader.history(None, 100).await.unwrap();
    assert_eq!(history.iter().map(|revision| revision.epoch).collect::<Vec<_>>(), (1..=10).rev().collect::<Vec<_>>());
}

/// A member that is away is left for the next.
#[tokio::test]
async fn another_member_is_asked() {
    let Some(server) = Etcd::start() else { return };
    let mut settings = settings(&server);
    settings.endpoints.insert(0, ("127.0.0.1".to_owned(), 1));
    let store = EtcdStore::open(&settings).unwrap();
    append(&store, 0, 1).await.unwrap();
    assert_eq!(newest(&store).await, 1);
}

/// By TLS to a server whose authority is known, and to no other; as a user whose password is right.
#[tokio::test]
async fn a_server_is_known_by_its_certificate_and_a_daemon_by_its_password() {
    let authority = TestAuthority::new("stores");
    let (chain, key) = authority.certify_rsa("127.0.0.1");
    let files = [("server.pem", chain.as_str()), ("server.key", key.as_str())];
    let arguments = ["--cert-file", "@server.pem", "--key-file", "@server.key"];
    let Some(server) = Etcd::start_with("https", &files, &arguments) else { return };
    for command in ["user add root:secret", "user grant-role root root", "auth enable"] {
        let words: Vec<&str> = command.split(' ').collect();
        let output = server.control(&words);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let known = file("known.pem", authority.root_pem());
    let unknown = file("unknown.pem", TestAuthority::new("others").root_pem());
    let (right, wrong) = (file("right", "secret\n"), file("wrong", "guess\n"));
    let attempt = async |ca_file: &std::path::PathBuf, password: Option<&std::path::PathBuf>| {
        let tls = Some(ClientTls { ca_file: Some(ca_file.clone()), identity: None });
        let user = password.map(|file| ("root".to_owned(), file.clone()));
        EtcdStore::open(&EtcdSettings { tls, user, ..settings(&server) })?.head().await
    };
    attempt(&known, Some(&right)).await.unwrap();
    for (ca_file, password) in [(&unknown, Some(&right)), (&known, Some(&wrong)), (&known, None)] {
        assert!(matches!(attempt(ca_file, password).await, Err(StoreError::Away(_))));
    }
    fs::set_permissions(&right, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(attempt(&known, Some(&right)).await.unwrap_err().to_string().contains("chmod 600"));
}
