//! The embedded store: what every store must do, and what it keeps of the events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use penstock_core::audit::Event;
use tempfile::TempDir;

use super::super::{AuditStore as _, EventQuery, ExportStore as _, IncomingEvent, Order, Retention, SqliteStore};
use super::events::{HOUR, START, event, incoming, kept, record, send, time_ms};

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

/// A number that the file has.
fn number(folder: &TempDir, select: &str) -> u64 {
    let connection = rusqlite::Connection::open(folder.path().join("control.db")).unwrap();
    connection.query_row(select, [], |row| row.get(0)).unwrap()
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
    let used = "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    let used = || number(&folder, used);
    settles(&store, "too large", |kept| kept.len() < 20_000 && used() <= 2_000_000).await;
    assert_eq!(kept(&store).await[0], event(19_999), "the newest stay");
    let kept = kept(&store).await.len();
    assert!(kept > 2_000, "no more goes than must: {kept} events are kept");
    let bytes = std::fs::metadata(folder.path().join("control.db")).unwrap().len();
    assert!(bytes < 8_000_000, "{bytes} bytes on disk");
}

/// What is known of values outlives single events: it must not tell of those that are gone, nor hide those that are left.
#[tokio::test]
async fn the_rest_of_a_block_is_found_when_its_beginning_is_gone() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder, Retention { events_max: 700, ..ALL }, || START);
    record(&store, 0..500).await;
    let mut events = record(&store, 500..1_000).await;
    store.tend();
    settles(&store, "too many", |kept| kept.len() == 700).await;
    events.reverse();
    events.extend((300..500).rev().map(event));
    for user in 1..20 {
        let user = format!("user{user}");
        let equals = vec![("user", vec![user.clone()])];
        let query =
            |cursor, order| EventQuery { equals: equals.clone(), cursor, order, count_max: 5, ..EventQuery::default() };
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let mut expected: Vec<&Event> = events.iter().filter(|event| event.user.as_ref() == Some(&user)).collect();
            if order == Order::OldestFirst {
                expected.reverse();
            }
            let (mut found, mut cursor, mut more) = (Vec::new(), None, true);
            while more {
                let page = store.events(query(cursor, order)).await.unwrap();
                (cursor, more) = (page.last, page.more);
                found.extend(page.events);
            }
            assert!(found.iter().eq(expected), "{user}: {} found", found.len());
        }
    }
}

#[tokio::test]
async fn what_is_known_of_events_goes_with_them() {
    static NOW: AtomicU64 = AtomicU64::new(START);
    let folder = TempDir::new().unwrap();
    let few = Retention { events_max: 600, age_ms_max: Some(240 * HOUR), ..ALL };
    let store = store(&folder, few, || NOW.load(Ordering::Relaxed));
    for boot in 0..20_u64 {
        send(&store, &format!("boot{boot}"), boot * 300..(boot + 1) * 300).await;
    }
    store.tend();
    settles(&store, "too many", |kept| kept.len() == 600).await;
    let known = || {
        ["audit_block", "audit_values", "audit_spool"]
            .map(|table| number(&folder, &format!("SELECT count(*) FROM {table}")))
    };
    let [blocks, values, spools] = known();
    assert!((2..=4).contains(&blocks) && values == blocks, "{blocks} blocks, values of {values}");
    assert!((2..=3).contains(&spools), "{spools} spools");
    assert_eq!(send(&store, "boot19", 5_700..6_000).await.1, 0);

    // Nothing is left, and still: no id comes twice, and what comes again is known.
    let newest = store.progress("siem".to_owned()).await.unwrap().newest.unwrap();
    NOW.store(START + 10_000 * HOUR, Ordering::Relaxed);
    store.tend();
    settles(&store, "too old", <[Event]>::is_empty).await;
    let [blocks, values, _] = known();
    assert!(blocks <= 1 && values == blocks, "the block that ids are given from may stay, of {blocks}");
    NOW.store(START, Ordering::Relaxed);
    drop(store);
    let store = self::store(&folder, few, || NOW.load(Ordering::Relaxed));
    assert_eq!(send(&store, "boot19", 5_999..6_001).await.1, 1);
    assert_eq!(store.progress("siem".to_owned()).await.unwrap().oldest, Some(newest + 1));
}

/// A batch that the store refuses, alone or with its whole transaction, leaves nothing behind: it comes again and is new.
#[tokio::test]
async fn a_batch_that_failed_is_new_when_it_comes_again() {
    for fault in ["ABORT", "ROLLBACK"] {
        let folder = TempDir::new().unwrap();
        let store = store(&folder, ALL, || START);
        record(&store, 0..10).await;
        let shell = rusqlite::Connection::open(folder.path().join("control.db")).unwrap();
        let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON audit_event WHEN NEW.source = 'bad'";
        shell.execute_batch(&format!("{refuse} BEGIN SELECT RAISE({fault}, 'no'); END")).unwrap();
        let begins =
            |event: Event| Event { flow: "1-f00-0".to_owned(), target_tenant: Some("contoso.com".to_owned()), ..event };
        let (good, bad) = (begins(event(12)), Event { source: "bad".to_owned(), ..event(13) });
        let unread = IncomingEvent { event: Err("no".to_owned()), ..incoming(11, &good) };
        let batch = vec![incoming(10, &good), unread, incoming(12, &good), incoming(13, &bad)];
        let record_batch = || store.record("node".to_owned(), "boot".to_owned(), batch.clone());
        let other = |numbers: std::ops::Range<u64>| {
            let batch = numbers.map(|number| incoming(number, &event(number))).collect();
            store.record("node".to_owned(), "boot".to_owned(), batch)
        };
        let (before, failed, after) = tokio::join!(other(20..25), record_batch(), other(30..35));
        assert!(failed.is_err(), "{fault}");
        shell.execute_batch("DROP TRIGGER refuse").unwrap();
        assert_eq!(record_batch().await.unwrap(), 4, "{fault}");
        for (numbers, outcome) in [(20..25, before), (30..35, after)] {
            let is_new_again = other(numbers).await.unwrap() > 0;
            assert!(!(outcome.is_ok() && is_new_again), "{fault}: what was recorded is new again");
        }
        assert_eq!(kept(&store).await.len(), 10 + 3 + 10, "{fault}");
        let query = EventQuery { sign_ins: true, count_max: 100, ..EventQuery::default() };
        let sign_ins = store.events(query).await.unwrap().events;
        assert_eq!(sign_ins.iter().filter(|event| event.flow == good.flow).count(), 1, "{fault}");
    }
}
