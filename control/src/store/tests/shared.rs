//! Users, tokens, the trail and the fleet's members in PostgreSQL: what every store of them must do, several daemons over one
//! database, and the ways to lose it.

use std::sync::Arc;

use penstock_tests::postgres::Postgres;
use tempfile::TempDir;

use super::super::postgres::SharedStore;
use super::super::{
    AccessStore as _, CertificateRecord, JoinTokenRecord, NodeStore, Retention, SqliteStore, StoreError, UserOutcome,
};
use super::access::user;
use crate::config::PostgresSettings;

/// What a daemon has of its own.
fn own(folder: &TempDir) -> Arc<dyn NodeStore> {
    let retention = Retention { events_max: 1_000, age_ms_max: None, bytes_max: None };
    Arc::new(SqliteStore::open(&folder.path().join("control.db"), retention, || 0).unwrap())
}

fn open(server: &Postgres, before: Arc<dyn NodeStore>) -> SharedStore {
    let config = server.url().parse().unwrap();
    SharedStore::open(&PostgresSettings { config, password_file: None, tls: None }, before).unwrap()
}

fn bed() -> Option<((Postgres, TempDir), Arc<SharedStore>)> {
    let (server, folder) = (Postgres::start()?, TempDir::new().unwrap());
    let store = Arc::new(open(&server, own(&folder)));
    Some(((server, folder), store))
}

super::shared_suite!(bed);

/// Each with connections of its own, all at the moment at which not even the tables are there.
#[tokio::test]
async fn of_daemons_that_start_at_once_one_makes_the_first_user_and_one_takes_a_token() {
    let Some(server) = Postgres::start() else { return };
    let folder = TempDir::new().unwrap();
    let before = own(&folder);
    let stores: Vec<SharedStore> = (0..4).map(|_| open(&server, Arc::clone(&before))).collect();
    let [a, b, c, d] = [0, 1, 2, 3].map(|place: usize| stores[place].add_first_user(user("admin", "admin")));
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    let outcomes = [a.unwrap(), b.unwrap(), c.unwrap(), d.unwrap()];
    let made = outcomes.iter().filter(|outcome| **outcome == UserOutcome::Done).count();
    assert_eq!((made, stores[1].users().await.unwrap().len()), (1, 1), "{outcomes:?}");
    for round in 0..10 {
        let (hash, node) = (format!("secret {round}"), format!("edge-{round}"));
        let token = JoinTokenRecord { hash: hash.clone(), node: node.clone(), expires_ms: 9_000 };
        stores[0].add_join_token(token, 0).await.unwrap();
        let redeem = |place: usize| {
            let certificate = CertificateRecord { node: node.clone(), made: 1, ends: 2 };
            stores[place].redeem_join_token(hash.clone(), 1, certificate)
        };
        let (a, b, c, d) = tokio::join!(redeem(0), redeem(1), redeem(2), redeem(3));
        let joined = [a.unwrap(), b.unwrap(), c.unwrap(), d.unwrap()];
        assert_eq!(joined.iter().filter(|joined| **joined).count(), 1, "{joined:?}");
    }
    // Joins and revocations of one node at once wait for each other, and never for ever.
    for round in 0..10 {
        let hash = format!("last {round}");
        let token = JoinTokenRecord { hash: hash.clone(), node: "edge".to_owned(), expires_ms: 9_000 };
        stores[0].add_join_token(token, 0).await.unwrap();
        let certificate = CertificateRecord { node: "edge".to_owned(), made: 100 + round, ends: 1_000 };
        let (joined, revoked) = tokio::join!(
            stores[1].redeem_join_token(hash, 1, certificate),
            stores[2].revoke_member("edge".to_owned(), 1)
        );
        revoked.unwrap();
        let until = stores[3].member("edge".to_owned()).await.unwrap().unwrap().revoked_until.unwrap();
        assert!(!joined.unwrap() || until >= 100 + round, "it joined before it was revoked, and is good");
    }
}

/// A daemon that had a store of its own does not bring back whom it revoked, nor shut out who joined since.
#[tokio::test]
async fn who_was_revoked_at_a_daemon_stays_revoked() {
    let Some(server) = Postgres::start() else { return };
    let folder = TempDir::new().unwrap();
    let before = own(&folder);
    for (name, until) in [("edge-1", 100), ("edge-2", 100), ("edge-3", 100)] {
        before.revoke_member(name.to_owned(), until).await.unwrap();
    }
    let elsewhere = TempDir::new().unwrap();
    let other = open(&server, own(&elsewhere));
    other.revoke_member("edge-2".to_owned(), 200).await.unwrap();
    let token = JoinTokenRecord { hash: "secret".to_owned(), node: "edge-3".to_owned(), expires_ms: 9_000 };
    other.add_join_token(token.clone(), 0).await.unwrap();
    let certificate = CertificateRecord { node: "edge-3".to_owned(), made: 150, ends: 1_000 };
    assert!(other.redeem_join_token("secret".to_owned(), 1, certificate).await.unwrap());
    other.add_join_token(token.clone(), 0).await.unwrap();
    for _ in 0..2 {
        let mut revoked = open(&server, Arc::clone(&before)).revocations().await.unwrap();
        revoked.sort();
        let expected = [("edge-1", 100), ("edge-2", 200), ("edge-3", 100)];
        assert_eq!(revoked, expected.map(|(name, until)| (name.to_owned(), until)));
        assert_eq!(other.join_token("secret".to_owned()).await.unwrap(), Some(token.clone()));
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_told_of_and_comes_back() {
    let Some(mut server) = Postgres::start() else { return };
    let folder = TempDir::new().unwrap();
    let store = open(&server, own(&folder));
    store.add_user(user("anna", "admin")).await.unwrap();
    server.kill();
    assert!(matches!(store.user("anna".to_owned()).await, Err(StoreError::Away(_))));
    assert!(matches!(store.add_user(user("bob", "admin")).await, Err(StoreError::Away(_))));
    server.revive();
    assert_eq!(store.users().await.unwrap(), [user("anna", "admin")]);
    server.ask("UPDATE access_version SET steps = 1000");
    let refused = open(&server, own(&folder)).users().await.unwrap_err();
    assert!(matches!(refused, StoreError::SchemaNewer { found: 1_000, .. }), "{refused}");
}
