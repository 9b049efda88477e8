//! The embedded store: what every store must do, and what it keeps of the events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use penstock_core::audit::Event;
use tempfile::TempDir;

use super::super::{AuditStore as _, Retention, SqliteStore};
use super::events::{HOUR, START, event, kept, record, time_ms};

const ALL: Retention = Retention { events_max: 1_000_000, age_ms_max: None, bytes_max: None };

fn store(folder: &TempDir, retention: Retention, clock: fn() -> u64) -> SqliteStore {
    SqliteStore::open(&folder.path().join("control.db"), retention, clock).unwrap()
}

#[allow(clippy::unnecessary_wraps, reason = "as the beds of other stores")]
fn bed() -> Option<(TempDir, Arc<SqliteStore>)> {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(store(&folder, ALL, || START));
    Some((folder, store))
}

super::events_suite!(bed);
super::policy_suite!(bed);
super::shared_suite!(bed);

/// Removal is the writer's own affair: it is waited for.
async fn settles(store: &SqliteStore, what: &str, is_settled: impl Fn(&[Event]) -> bool) {
    for _ in 0..3_000 {
        if is_settled(&kept(store).await) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{what}: {} events are kept", kept(store).await.len());
}

#[tokio::test]
async fn events_go_when_they_are_too_old() {
    static NOW: AtomicU64 = AtomicU64::new(START);
    let folder = TempDir::new().unwrap();
    let day = Retention { age_ms_max: Some(24 * HOUR), ..ALL };
    let store = store(&folder, day, || NOW.load(Ordering::Relaxed));
    let events = record(&store, 0..5_000).await;
    NOW.store(START + 3_000 * 60_000, Ordering::Relaxed);
    store.tend();
    let end = START + 3_000 * 60_000 - 24 * HOUR;
    // One that came hours late may stay for as long as those who came with it.
    settles(&store, "too old", |kept| kept.iter().filter(|event| time_ms(event) < end).count() < 60).await;
    let young = events.iter().filter(|event| time_ms(event) >= end).count();
    assert_eq!(kept(&store).await.iter().filter(|event| time_ms(event) >= end).count(), young);
    NOW.store(START + 10_000 * 60_000, Ordering::Relaxed);
    store.tend();
    settles(&store, "all too old", <[Event]>::is_empty).await;
}

#[tokio::test]
async fn events_go_when_they_take_too_much_room() {
    let folder = TempDir::new().unwrap();
    let small = Retention { bytes_max: Some(2_000_000), ..ALL };
    let store = store(&folder, small, || START);
    for round in 0..20 {
        record(&store, round * 1_000..(round + 1) * 1_000).await;
    }
    store.tend();
    settles(&store, "too large", |kept| (500..5_000).contains(&kept.len())).await;
    assert_eq!(kept(&store).await[0], event(19_999), "the newest stay");
    let bytes = std::fs::metadata(folder.path().join("control.db")).unwrap().len();
    assert!(bytes < 8_000_000, "{bytes} bytes on disk");
}
