//! etcd: what every store of policies must do; changes that are heard of; and the ways to lose the server.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use penstock_tests::certificate::TestAuthority;
use penstock_tests::etcd::Etcd;
use tempfile::TempDir;
use tokio::sync::watch;

use super::super::etcd::EtcdStore;
use super::super::{PolicyStore as _, PresenceRecord, PresenceStore, StoreError};
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

fn presence(server: &Etcd, name: &str) -> impl PresenceStore + use<> {
    let settings = EtcdSettings { name: name.to_owned(), ..settings(server) };
    EtcdStore::open(&settings).unwrap().presence(&settings)
}

fn nodes<const COUNT: usize>(nodes: [(&str, &str); COUNT]) -> BTreeMap<String, String> {
    nodes.map(|(node, said)| (node.to_owned(), said.to_owned())).into()
}

async fn present(store: &impl PresenceStore) -> Vec<(String, String, String)> {
    let records = store.present().await.unwrap().into_iter();
    let mut records: Vec<_> = records.map(|PresenceRecord { control, node, said }| (control, node, said)).collect();
    records.sort();
    records
}

fn record(control: &str, node: &str, said: &str) -> (String, String, String) {
    (control.to_owned(), node.to_owned(), said.to_owned())
}

/// Waits for what is present, while another daemon says again what it says.
async fn becomes_present(store: &impl PresenceStore, expected: &[(String, String, String)]) {
    for _ in 0..600 {
        if present(store).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?} is present", present(store).await);
}

/// Each says what it holds, all hear it; what one no longer says is gone, and with a daemon that is gone all that it said.
#[tokio::test]
async fn daemons_know_what_the_others_hold() {
    let Some(server) = Etcd::start() else { return };
    let (one, other) = (presence(&server, "a/1%"), presence(&server, "b"));
    assert_eq!(present(&one).await, []);
    one.announce(nodes([("edge-1", "x"), ("edge/2", "y"), ("ü%2F", "z")])).await.unwrap();
    other.announce(nodes([("edge-1", "w")])).await.unwrap();
    let of_one = [record("a/1%", "edge-1", "x"), record("a/1%", "edge/2", "y"), record("a/1%", "ü%2F", "z")];
    let of_other = record("b", "edge-1", "w");
    assert_eq!(present(&other).await, [&of_one[..], std::slice::from_ref(&of_other)].concat());
    one.announce(nodes([("edge/2", "v")])).await.unwrap();
    assert_eq!(present(&one).await, [record("a/1%", "edge/2", "v"), of_other.clone()]);
    // More than etcd takes in one transaction.
    let many: BTreeMap<String, String> = (0..350).map(|node| (format!("n{node:03}"), "x".to_owned())).collect();
    one.announce(many).await.unwrap();
    assert_eq!(present(&other).await.len(), 351);
    // A daemon of the same name that starts again takes nothing over from its earlier life.
    drop(one);
    let one = presence(&server, "a/1%");
    one.announce(nodes([("edge-3", "x")])).await.unwrap();
    assert_eq!(present(&other).await, [record("a/1%", "edge-3", "x"), of_other.clone()]);
    one.withdraw().await.unwrap();
    assert_eq!(present(&other).await, std::slice::from_ref(&of_other));
    // One that is killed says nothing any more: the other goes on to.
    one.announce(nodes([("edge-4", "x")])).await.unwrap();
    assert_eq!(present(&other).await.len(), 2);
    drop(one);
    let speaking = async {
        loop {
            other.announce(nodes([("edge-1", "w")])).await.unwrap();
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    };
    let alone = [of_other];
    tokio::select! { () = speaking => {}, () = becomes_present(&other, &alone) => {} }
}

/// A lease that ended, and a server that was away, cost nothing but time.
#[tokio::test]
async fn what_is_held_is_said_again_when_it_was_lost() {
    let Some(mut server) = Etcd::start() else { return };
    let one = presence(&server, "one");
    let held = || nodes([("edge-1", "x"), ("edge-2", "y")]);
    one.announce(held()).await.unwrap();
    let before = present(&one).await;
    let leases = String::from_utf8(server.control(&["lease", "list"]).stdout).unwrap();
    let lease = leases.lines().last().unwrap().to_owned();
    assert!(server.control(&["lease", "revoke", &lease]).status.success(), "{leases}");
    assert_eq!(present(&one).await, []);
    one.announce(held()).await.unwrap();
    assert_eq!(present(&one).await, before);
    server.kill();
    assert!(matches!(one.announce(held()).await, Err(StoreError::Away(_))));
    assert!(matches!(one.present().await, Err(StoreError::Away(_))));
    server.revive();
    one.announce(held()).await.unwrap();
    assert_eq!(present(&one).await, before);
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
