//! PostgreSQL: what every store of events must do, over days and daemons; what is kept; and the ways to lose the server.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use penstock_tests::postgres::Postgres;
use tempfile::TempDir;

use super::super::postgres::PostgresStore;
use super::super::{AuditStore as _, Clock, ExportStore, Retention, StoreError};
use super::events::{HOUR, START, event, kept, record, send};
use crate::config::{ClientTls, PostgresSettings};

const ALL: Retention = Retention { events_max: 1_000_000, age_ms_max: None, bytes_max: None };
const DAY: u64 = 24 * HOUR;

fn open(server: &Postgres, retention: Retention, clock: Clock) -> PostgresStore {
    let config = server.url().parse().unwrap();
    PostgresStore::open(&PostgresSettings { config, password_file: None, tls: None }, retention, clock).unwrap()
}

/// Each look at the clock is eight hours after the last.
fn bed() -> Option<(Postgres, Arc<dyn ExportStore>)> {
    static NOW: AtomicU64 = AtomicU64::new(START);
    let server = Postgres::start()?;
    let store: Arc<dyn ExportStore> = Arc::new(open(&server, ALL, || NOW.fetch_add(8 * HOUR, Ordering::Relaxed)));
    Some((server, store))
}

super::events_suite!(bed);

/// What two daemons record at once comes once, and in one order for whoever follows.
#[tokio::test]
async fn daemons_share_a_database() {
    let Some(server) = Postgres::start() else { return };
    let stores: Vec<PostgresStore> = (0..3).map(|_| open(&server, ALL, || START)).collect();
    for round in 0..5_u64 {
        let numbers = round * 40..round * 40 + 50;
        let [a, b, c] = [0, 1, 2].map(|place: usize| send(&stores[place], "boot", numbers.clone()));
        let (a, b, c) = tokio::join!(a, b, c);
        assert_eq!(a.1 + b.1 + c.1, if round == 0 { 50 } else { 40 });
    }
    let first = kept(&stores[0]).await;
    assert_eq!(first.len(), 210);
    assert_eq!(first, kept(&stores[2]).await);
    assert_eq!(server.ask("SELECT recorded FROM audit_spool"), ["{[0,210)}"]);
    assert_eq!(server.ask("SELECT count(DISTINCT id), min(id), max(id) FROM audit_event"), ["210|1|210"]);
}

/// The server goes in the middle, and what could not be recorded comes again.
#[tokio::test]
async fn a_server_that_was_away_has_each_event_once() {
    let Some(mut server) = Postgres::start() else { return };
    let store = open(&server, ALL, || START);
    record(&store, 0..100).await;
    server.kill();
    let batch = || (100..110).map(|number| super::events::incoming(number, &event(number))).collect();
    let lost = store.record("node".to_owned(), "boot".to_owned(), batch()).await;
    assert!(matches!(lost, Err(StoreError::NotCommitted)));
    assert!(matches!(store.progress("siem".to_owned()).await, Err(StoreError::Away(_))));
    server.revive();
    let sign_ins = async |store: &PostgresStore| {
        let query = super::super::EventQuery { sign_ins: true, count_max: 1_000, ..Default::default() };
        store.events(query).await.unwrap().events
    };
    assert_eq!(send(&store, "boot", 90..110).await.1, 10);
    assert_eq!(kept(&store).await.len(), 110);
    // Sign-ins whose first attempt failed have their row all the same.
    let other = Postgres::start().unwrap();
    let fresh = open(&other, ALL, || START);
    record(&fresh, 0..110).await;
    assert_eq!(sign_ins(&store).await, sign_ins(&fresh).await);
}

#[tokio::test]
async fn days_go_as_a_whole_and_come_ahead() {
    static NOW: AtomicU64 = AtomicU64::new(START);
    let Some(server) = Postgres::start() else { return };
    let keep = Retention { age_ms_max: Some(2 * DAY), ..ALL };
    let store = open(&server, keep, || NOW.load(Ordering::Relaxed));
    // A minute apart: 1,440 are a day.
    for day in 0..5 {
        NOW.store(START + day * DAY, Ordering::Relaxed);
        record(&store, day * 1_440..(day + 1) * 1_440).await;
    }
    let partitions = || server.ask("SELECT relid FROM pg_partition_tree('audit_event') WHERE isleaf ORDER BY 1");
    let before = partitions();
    assert_eq!(before.len(), 5);
    let settled = async |what: &str, is_so: &dyn Fn(usize) -> bool| {
        for _ in 0..3_000 {
            if is_so(kept(&store).await.len()) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{what}: {} events are kept", kept(&store).await.len());
    };
    store.tend();
    settled("the first two days", &|count| count == 3 * 1_440).await;
    assert_eq!(kept(&store).await[0], event(5 * 1_440 - 1), "the newest stay");
    let after = partitions();
    assert_eq!((&after[..3], after.len()), (&before[2..], 5), "two went and two are to come: {after:?}");
    // What went is not taken for what came, and the last day stays whatever the bounds.
    let few = open(&server, Retention { events_max: 10, ..ALL }, || START + 5 * DAY);
    few.tend();
    settled("all but the last day", &|count| count == 1_440).await;
    assert_eq!(send(&few, "boot", 0..5 * 1_440).await.1, 0);
    assert_eq!(server.ask("SELECT count(*) FROM audit_block"), ["3"]);
}

/// By a password over TLS, to a server whose authority is known; and to no other.
#[tokio::test]
async fn a_server_is_known_by_its_certificate_and_a_daemon_by_its_password() {
    let folder = TempDir::new().unwrap();
    let authority = penstock_tests::certificate::TestAuthority::new("databases");
    let (chain, key) = authority.certify_rsa("127.0.0.1");
    let on = "ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'";
    let Some(server) = Postgres::start_with("scram-sha-256", &[("server.pem", &chain), ("server.key", &key)], on)
    else {
        return;
    };
    let file = |name: &str, text: &str| {
        let path: PathBuf = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let known = file("known.pem", authority.root_pem());
    let unknown = file("unknown.pem", penstock_tests::certificate::TestAuthority::new("others").root_pem());
    let (right, wrong) = (file("right", "secret\n"), file("wrong", "guess\n"));
    let attempt = async |ca_file: &PathBuf, password: &PathBuf| {
        let mut config: tokio_postgres::Config = server.url().parse().unwrap();
        config.ssl_mode(tokio_postgres::config::SslMode::Require);
        let tls = Some(ClientTls { ca_file: Some(ca_file.clone()), identity: None });
        let settings = PostgresSettings { config, password_file: Some(password.clone()), tls };
        PostgresStore::open(&settings, ALL, || START)?.progress("siem".to_owned()).await
    };
    attempt(&known, &right).await.unwrap();
    for (ca_file, password, told) in
        [(&unknown, &right, "UnknownIssuer"), (&known, &wrong, "password authentication failed")]
    {
        let refused = attempt(ca_file, password).await.unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
    }
    fs::set_permissions(&right, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(attempt(&known, &right).await.unwrap_err().to_string().contains("chmod 600"));
}

#[tokio::test]
async fn a_database_from_the_future_is_refused() {
    let Some(server) = Postgres::start() else { return };
    record(&open(&server, ALL, || START), 0..1).await;
    server.ask("UPDATE audit_version SET steps = 1000");
    let refused = open(&server, ALL, || START).progress("siem".to_owned()).await.unwrap_err();
    assert!(matches!(refused, StoreError::SchemaNewer { found: 1_000, .. }), "{refused}");
}
