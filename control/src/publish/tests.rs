//! What the publisher does as time passes, by a clock that the test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use penstock_core::limits::{ISSUER_LIFE_SECONDS, ROOT_OVERLAP_SECONDS};
use penstock_core::mint::CertificateFacts;
use tempfile::TempDir;

use super::publisher::Clock;
use super::{Active, Proposal, Publisher};
use crate::ca::{Authority, RotationFacts, RotationStep};
use crate::store::{Retention, RevisionSource, SqliteStore};

const DAY: i64 = 86_400;
const START: i64 = 1_795_305_600;
const POLICY: &str = "[[restriction]]\nname = \"entra\"\nconnector = \"microsoft-entra\"\npermitted_tenants = [\"contoso.com\"]\n\
                      context_tenant = \"bbbbcccc-1111-dddd-2222-eeee3333ffff\"\n\n\
                      [[profile]]\nname = \"staff\"\nmode = \"enforce\"\nrestrictions = [\"entra\"]\n\n\
                      [[assignment]]\nprofile = \"staff\"\nsources = [\"127.0.0.0/8\"]\n";

struct Bed {
    publisher: Publisher,
    authority: Arc<Authority>,
    _state: TempDir,
}

/// With a policy in force, at the moment of `clock`.
async fn bed(clock: Clock) -> Bed {
    let state = TempDir::new().unwrap();
    let authority = Arc::new(Authority::open_or_create(state.path(), clock()).unwrap());
    let retention = Retention { events_max: 1_000, age_ms_max: None, bytes_max: None };
    let store = SqliteStore::open(&state.path().join("control.db"), retention, || 0).unwrap();
    let publisher =
        Publisher::new(Arc::new(store), Arc::clone(&authority), Duration::from_secs(1), clock, String::new());
    let proposal = Proposal {
        text: POLICY.to_owned(),
        file: "policy.toml".to_owned(),
        author: "test".to_owned(),
        comment: String::new(),
        source: RevisionSource::Api,
        expected: None,
    };
    publisher.publish(proposal).await.unwrap();
    Bed { publisher, authority, _state: state }
}

impl Bed {
    async fn tend(&self) -> Arc<Active> {
        self.publisher.tend().await.unwrap();
        self.publisher.active().unwrap()
    }
}

/// The issuer is replaced when half of its life is over, long before its end, under the same epoch; nodes are told at
/// once. Before that nothing is sent.
#[tokio::test]
async fn the_issuer_is_renewed_at_half_of_its_life() {
    static NOW: AtomicI64 = AtomicI64::new(START);
    let bed = bed(|| NOW.load(Ordering::Relaxed)).await;
    let mut active = bed.publisher.subscribe();
    let first = bed.tend().await;
    active.mark_unchanged();
    NOW.store(START + ISSUER_LIFE_SECONDS / 2 - 1, Ordering::Relaxed);
    assert_eq!(bed.tend().await.issuer_serial(), first.issuer_serial());
    assert!(!active.has_changed().unwrap());
    NOW.store(START + ISSUER_LIFE_SECONDS / 2, Ordering::Relaxed);
    let renewed = bed.tend().await;
    assert_ne!(renewed.issuer_serial(), first.issuer_serial());
    assert!(active.has_changed().unwrap());
    assert_eq!((renewed.epoch(), &renewed.hosts), (first.epoch(), &first.hosts));
    assert_eq!(renewed.issuer.not_after, START + ISSUER_LIFE_SECONDS / 2 + ISSUER_LIFE_SECONDS);
    assert!(first.issuer.not_after - NOW.load(Ordering::Relaxed) >= 14 * DAY, "the old one is good for two more weeks");

    // A year without a day on which the issuer in force was not good for the next fortnight.
    for day in 15..400 {
        NOW.store(START + day * DAY, Ordering::Relaxed);
        let active = bed.tend().await;
        assert!(active.issuer.not_after >= START + (day + 14) * DAY, "day {day}");
    }
}

/// A clock that ran ahead and is right again leaves no issuer that nobody accepts for a year.
#[tokio::test]
async fn an_issuer_of_a_clock_that_was_ahead_is_replaced() {
    static NOW: AtomicI64 = AtomicI64::new(START);
    let bed = bed(|| NOW.load(Ordering::Relaxed)).await;
    NOW.store(START + 400 * DAY, Ordering::Relaxed);
    let ahead = bed.tend().await;
    assert!(ahead.issuer.not_before > START + 390 * DAY);
    NOW.store(START + 60, Ordering::Relaxed);
    let right = bed.tend().await;
    assert!((right.issuer.not_before..right.issuer.not_after).contains(&(START + 60)));
    assert_eq!(bed.tend().await.issuer_serial(), right.issuer_serial(), "once");
}

/// Announced, switched after the overlap, finished: the issuer follows the root, and its chain carries the old root's word
/// for the new one exactly while both are served.
#[tokio::test]
async fn the_issuer_follows_the_root() {
    static NOW: AtomicI64 = AtomicI64::new(START);
    let bed = bed(|| NOW.load(Ordering::Relaxed)).await;
    let first = bed.tend().await;
    assert!(bed.publisher.rotate(RotationStep::Finish).await.is_err());
    bed.publisher.rotate(RotationStep::Announce).await.unwrap();
    assert!(bed.publisher.rotate(RotationStep::Announce).await.is_err());
    let Some(RotationFacts::Announced { next, switches_at, is_cross_signed: true }) = bed.authority.rotation() else {
        panic!("{:?}", bed.authority.rotation())
    };
    assert_eq!(switches_at, START + ROOT_OVERLAP_SECONDS);
    NOW.store(switches_at - 1, Ordering::Relaxed);
    assert_eq!(bed.tend().await.issuer_serial(), first.issuer_serial());
    NOW.store(switches_at, Ordering::Relaxed);
    let switched = bed.tend().await;
    assert_eq!(bed.authority.root(), next);
    assert_ne!(switched.issuer_serial(), first.issuer_serial());
    let chain: Vec<_> = switched.issuer.chain.iter().map(|der| CertificateFacts::parse(der).unwrap()).collect();
    let old = CertificateFacts::parse(&first.issuer.chain[1]).unwrap();
    assert_eq!(chain.len(), 3, "issuer, the old root's word, the new root");
    assert!(chain[0].is_issued_by(&chain[2]) && chain[0].is_issued_by(&chain[1]) && chain[1].is_issued_by(&old));
    assert_eq!(bed.tend().await.issuer_serial(), switched.issuer_serial(), "once");
    bed.publisher.rotate(RotationStep::Finish).await.unwrap();
    let finished = bed.publisher.active().unwrap();
    assert_eq!(finished.issuer.chain.len(), 2);
    assert_ne!(finished.issuer_serial(), switched.issuer_serial(), "nodes take another chain by another serial");
    assert_eq!((bed.authority.rotation(), bed.authority.root()), (None, next));
}

/// A node with a signer gets the key for that alone; one of an older version gets it as it is; a key that is none gets nothing.
#[tokio::test]
async fn the_issuers_key_is_sealed_for_the_nodes_signer() {
    let bed = bed(|| START).await;
    let active = bed.tend().await;
    let holds = |state: &penstock_link::State| {
        let secret = &active.issuer.key[36..68];
        let issuer = state.issuer.as_ref().unwrap();
        [&issuer.key, &issuer.sealed_key].iter().any(|key| key.windows(32).any(|window| window == secret))
    };
    let pair = penstock_link::SealingPair::generate().unwrap();
    let sealed = active.state(pair.public()).unwrap();
    let issuer = sealed.issuer.as_ref().unwrap();
    assert!(issuer.key.is_empty() && !holds(&sealed));
    assert_eq!(pair.open(&issuer.chain[0], &issuer.sealed_key).unwrap(), active.issuer.key);
    let plain = active.state(&[]).unwrap();
    assert!(holds(&plain) && plain.issuer.unwrap().sealed_key.is_empty());
    for none in [&pair.public()[1..], &[0; 32]] {
        assert!(active.state(none).is_none());
    }
}
