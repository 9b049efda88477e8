//! What every store of policies must do.

use super::super::policy::Head;
use super::super::{Addition, PolicyStore, Revision, RevisionSource, StoreError};

fn revision(epoch: u64, text: &str) -> Revision {
    Revision {
        epoch,
        text: text.to_owned(),
        digest: format!("{:064x}", text.len()),
        author: "anna".to_owned(),
        comment: "why \"this\"\n".to_owned(),
        source: if epoch.is_multiple_of(3) { RevisionSource::File } else { RevisionSource::Api },
        time_ms: 1_795_000_000_000 + epoch,
    }
}

pub(super) async fn append(store: &dyn PolicyStore, newest: u64, epoch: u64) -> Result<(), StoreError> {
    store.append(Addition { revision: revision(epoch, "text"), newest, rollout: None }).await
}

pub(super) async fn history_goes_back_in_pages(store: &dyn PolicyStore) {
    assert_eq!(store.head().await.unwrap(), Head::default());
    assert_eq!(store.latest_from(RevisionSource::File).await.unwrap(), None);
    let mut newest = 0;
    // Epochs may leap: a node had seen more than the store.
    for epoch in [1, 2, 3, 7, 8, 100, 1_000] {
        append(store, newest, epoch).await.unwrap();
        newest = epoch;
    }
    assert_eq!(store.head().await.unwrap().newest, Some(revision(1_000, "text")));
    assert_eq!(store.latest_from(RevisionSource::File).await.unwrap(), Some(revision(3, "text")));
    assert_eq!(store.latest_from(RevisionSource::Rollback).await.unwrap(), None);
    assert_eq!(store.revision(7).await.unwrap(), Some(revision(7, "text")));
    for none in [0, 4, u64::MAX] {
        assert_eq!(store.revision(none).await.unwrap(), None);
    }
    for (before, found) in [(None, &[1_000, 100, 8][..]), (Some(100), &[8, 7, 3]), (Some(3), &[2, 1]), (Some(1), &[])] {
        let history = store.history(before, 3).await.unwrap();
        assert_eq!(history.iter().map(|revision| revision.epoch).collect::<Vec<_>>(), found);
    }
}

pub(super) async fn of_many_who_publish_at_once_one_wins(store: &dyn PolicyStore) {
    let mut newest = 0;
    for round in 1..=5 {
        let attempts = [1, 2, 3].map(|more| append(store, newest, newest + more));
        let [a, b, c] = attempts;
        let outcomes: [Result<(), StoreError>; 3] = tokio::join!(a, b, c).into();
        let won: Vec<usize> = (0..3).filter(|&place| outcomes[place].is_ok()).collect();
        assert_eq!(won.len(), 1, "round {round}: {outcomes:?}");
        let lost = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        let won = newest + 1 + won[0] as u64;
        for error in lost {
            assert!(matches!(error, StoreError::EpochTaken { newest, .. } if *newest == won), "{error}");
        }
        newest = won;
        assert_eq!(store.head().await.unwrap().newest.map(|revision| revision.epoch), Some(newest));
    }
    // Nor does an epoch ever go back, whatever its author has seen.
    for epoch in [newest, newest - 1] {
        assert!(matches!(append(store, newest, epoch).await, Err(StoreError::EpochTaken { .. })));
    }
    assert_eq!(store.history(None, 100).await.unwrap().len(), 5);
}

pub(super) async fn a_rollout_is_saved_by_who_saw_the_last_step(store: &dyn PolicyStore) {
    let state = |step: &str| Some(step.to_owned());
    append(store, 0, 1).await.unwrap();
    let begun = Addition { revision: revision(2, "candidate"), newest: 1, rollout: state("begun") };
    store.append(begun.clone()).await.unwrap();
    let head = Head { newest: Some(revision(2, "candidate")), rollout: state("begun") };
    assert_eq!(store.head().await.unwrap(), head);
    store.save_rollout(state("begun"), state("second wave")).await.unwrap();
    for stale in [None, state("begun")] {
        let refused = store.save_rollout(stale, state("halted")).await;
        assert!(matches!(refused, Err(StoreError::RolloutMoved)));
    }
    // What is not appended leaves the rollout as it is too.
    // Not even the same once more: it may be another's.
    assert!(store.append(begun).await.is_err());
    assert_eq!(store.head().await.unwrap().rollout, state("second wave"));
    store.save_rollout(state("second wave"), None).await.unwrap();
    assert_eq!(store.head().await.unwrap().rollout, None);
    store.save_rollout(None, state("again")).await.unwrap();
    append(store, 2, 3).await.unwrap();
    assert_eq!(store.head().await.unwrap().rollout, None, "a revision ends the rollout before it");
}

/// Longer than what etcd takes in one request.
pub(super) async fn a_long_document_comes_back_whole(store: &dyn PolicyStore) {
    let text: String = (0..400_000).map(|line| format!("# ü {line}\n")).collect();
    for epoch in 1..=3 {
        let addition = Addition { revision: revision(epoch, &text), newest: epoch - 1, rollout: None };
        store.append(addition).await.unwrap();
    }
    assert_eq!(store.head().await.unwrap().newest, Some(revision(3, &text)));
    assert_eq!(store.history(None, 2).await.unwrap(), [revision(3, &text), revision(2, &text)]);
}
