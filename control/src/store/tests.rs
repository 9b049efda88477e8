//! The store of audit events against a list of the same events, filtered by hand; and what is kept of them.

use std::sync::atomic::{AtomicU64, Ordering};

use penstock_core::audit::{Event, timestamp};
use tempfile::TempDir;

use super::{
    AuditStore as _, DenialCount, DenialKey, DenialQuery, EventQuery, IncomingEvent, Order, ReadEvent, Retention,
    SqliteStore,
};

const START: u64 = 1_795_000_000_000;
const HOUR: u64 = 3_600_000;
const ALL: Retention = Retention { events_max: 1_000_000, age_ms_max: None, bytes_max: None };

fn store(folder: &TempDir, retention: Retention, clock: fn() -> u64) -> SqliteStore {
    SqliteStore::open(&folder.path().join("control.db"), retention, clock).unwrap()
}

/// A number that looks random and is the same in every run.
fn dice(seed: u64, sides: u64) -> u64 {
    let mixed = (seed ^ (seed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) % sides
}

fn event(number: u64) -> Event {
    let word = |kind: u64, sides: u64, name: &str| {
        let side = dice(number * 8 + kind, sides);
        (side > 0).then(|| format!("{name}{side}"))
    };
    // A minute apart, and now and then one that comes hours late.
    let late = if dice(number, 50) == 0 { 5 * HOUR } else { 0 };
    Event {
        time: timestamp(START + number * 60_000 - late.min(number * 60_000)),
        node: format!("node{}", dice(number * 8 + 1, 3)),
        flow: format!("1-{:x}-0", number / 2),
        source: format!("10.0.0.{}", dice(number * 8 + 2, 40)),
        user: word(3, 20, "user"),
        application: word(4, 5, "app"),
        connector: Some("microsoft-entra".to_owned()),
        target_tenant: word(5, 8, "tenant"),
        status: ["allowed", "allowed", "allowed", "denied", "would_deny", "fault"]
            [usize::try_from(dice(number * 8 + 6, 6)).unwrap()]
        .to_owned(),
        ..Event::default()
    }
}

fn time_ms(event: &Event) -> u64 {
    penstock_core::moment::parse(&event.time).unwrap()
}

async fn record(store: &SqliteStore, numbers: std::ops::Range<u64>) -> Vec<Event> {
    let events: Vec<Event> = numbers.clone().map(event).collect();
    let incoming = numbers.zip(&events).map(|(sequence, event)| IncomingEvent {
        sequence,
        json: serde_json::to_string(event).unwrap(),
        event: Ok(ReadEvent { event: event.clone(), time_ms: time_ms(event) }),
    });
    store.record("node".to_owned(), "boot".to_owned(), incoming.collect()).await.unwrap();
    events
}

fn field<'event>(event: &'event Event, name: &str) -> Option<&'event str> {
    match name {
        "application" => event.application.as_deref(),
        "source" => Some(&event.source),
        "status" => Some(&event.status),
        "target_tenant" => event.target_tenant.as_deref(),
        "user" => event.user.as_deref(),
        _ => panic!("{name}"),
    }
}

/// Every query finds what filtering by hand finds, in the same order, page by page.
#[tokio::test]
async fn queries_find_what_filtering_by_hand_finds() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder, ALL, || START);
    let events = record(&store, 0..5_000).await;
    let names = ["user", "status", "target_tenant", "source", "application"];
    let value = |name: &str, seed: u64| match name {
        "status" => ["denied", "would_deny", "allowed"][usize::try_from(dice(seed, 3)).unwrap()].to_owned(),
        "source" => format!("10.0.0.{}", dice(seed, 45)),
        "application" => format!("app{}", dice(seed, 5)),
        "target_tenant" => format!("tenant{}", dice(seed, 8)),
        _ => format!("user{}", dice(seed, 22)),
    };
    for seed in 0..300 {
        let mut equals: Vec<(&'static str, Vec<String>)> = Vec::new();
        for (place, name) in (0..).zip(names) {
            if dice(seed * 16 + place, 3) == 0 {
                let count = 1 + dice(seed * 16 + 8 + place, 3);
                equals.push((name, (0..count).map(|more| value(name, seed * 64 + place * 8 + more)).collect()));
            }
        }
        let since_ms = (dice(seed, 2) == 0).then(|| START + dice(seed + 1, 4_000) * 60_000);
        let until_ms = (dice(seed + 2, 2) == 0).then(|| START + dice(seed + 3, 6_000) * 60_000);
        let order = if dice(seed + 4, 2) == 0 { Order::OldestFirst } else { Order::NewestFirst };
        let mut expected: Vec<&str> = events
            .iter()
            .filter(|event| since_ms.is_none_or(|since| time_ms(event) >= since))
            .filter(|event| until_ms.is_none_or(|until| time_ms(event) < until))
            .filter(|event| {
                let matches = |(name, values): &(&str, Vec<String>)| {
                    field(event, name).is_some_and(|field| values.iter().any(|value| value == field))
                };
                equals.iter().all(matches)
            })
            .map(|event| event.time.as_str())
            .collect();
        if order == Order::NewestFirst {
            expected.reverse();
        }
        let mut query = EventQuery { since_ms, until_ms, equals, sign_ins: false, cursor: None, order, count_max: 70 };
        let mut found: Vec<String> = Vec::new();
        loop {
            let page = store.events(query.clone()).await.unwrap();
            assert!(page.events.len() <= 70);
            found.extend(page.events.into_iter().map(|event| event.time));
            query.cursor = page.last;
            if !page.more {
                break;
            }
        }
        assert!(found.iter().eq(&expected), "{query:?}: {} found, {} expected", found.len(), expected.len());
    }
}

/// Two requests of one flow to one tenant are one sign-in; another tenant or outcome is another.
#[tokio::test]
async fn a_sign_in_is_its_first_request() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder, ALL, || START);
    let base = Event {
        flow: "1-1-0".to_owned(),
        connector: Some("microsoft-entra".to_owned()),
        target_tenant: Some("contoso.com".to_owned()),
        time: timestamp(START),
        status: "allowed".to_owned(),
        ..Event::default()
    };
    let changed = |change: fn(&mut Event)| {
        let mut event = base.clone();
        change(&mut event);
        event
    };
    let events = [
        base.clone(),
        base.clone(),
        changed(|event| event.target_tenant = Some("fabrikam.com".to_owned())),
        changed(|event| event.target_tenant = None),
        changed(|event| "denied".clone_into(&mut event.status)),
        changed(|event| "denied".clone_into(&mut event.status)),
        changed(|event| "1-2-0".clone_into(&mut event.flow)),
        changed(|event| (event.connector, event.target_tenant) = (None, None)),
    ];
    let incoming = (1..).zip(&events).map(|(sequence, event)| IncomingEvent {
        sequence,
        json: serde_json::to_string(event).unwrap(),
        event: Ok(ReadEvent { event: event.clone(), time_ms: START }),
    });
    store.record("node".to_owned(), "boot".to_owned(), incoming.collect()).await.unwrap();
    let query = EventQuery { sign_ins: true, count_max: 100, order: Order::OldestFirst, ..EventQuery::default() };
    let found = store.events(query).await.unwrap().events;
    assert_eq!(found, [0, 2, 4, 6].map(|place: usize| events[place].clone()));
    let all = EventQuery { count_max: 100, ..EventQuery::default() };
    assert_eq!(store.events(all).await.unwrap().events.len(), events.len());
}

#[tokio::test]
async fn refusals_are_counted_by_what_they_have_in_common() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder, ALL, || START);
    let events = record(&store, 0..4_000).await;
    let (since_ms, until_ms) = (START + 500 * 60_000, START + 3_500 * 60_000);
    let mut seen = std::collections::HashSet::new();
    let refused: Vec<&Event> = events
        .iter()
        .filter(|event| ["denied", "would_deny"].contains(&event.status.as_str()))
        .filter(|event| {
            seen.insert((&event.node, &event.flow, &event.application, &event.target_tenant, &event.status))
        })
        .filter(|event| (since_ms..until_ms).contains(&time_ms(event)))
        .collect();
    let ask =
        |by| DenialQuery { by, since_ms: Some(since_ms), until_ms: Some(until_ms), connector: None, count_max: 1_000 };
    let sum = |counts: &[DenialCount]| counts.iter().map(|count| count.denied + count.would_deny).sum::<u64>();
    for by in [DenialKey::TargetTenant, DenialKey::User, DenialKey::Application, DenialKey::Hour, DenialKey::Day] {
        let counts = store.denials(ask(by)).await.unwrap();
        assert_eq!(sum(&counts), refused.len() as u64, "{by:?}");
    }
    let by_tenant = store.denials(ask(DenialKey::TargetTenant)).await.unwrap();
    assert!(by_tenant.is_sorted_by_key(|count| std::cmp::Reverse(count.denied + count.would_deny)));
    for count in &by_tenant {
        let denied = refused.iter().filter(|event| event.target_tenant == count.key && event.status == "denied");
        assert_eq!(count.denied, denied.count() as u64, "{:?}", count.key);
    }
    let by_hour = store.denials(ask(DenialKey::Hour)).await.unwrap();
    assert!(by_hour.iter().all(|count| count.last_ms < count.key.as_ref().unwrap().parse::<u64>().unwrap() + HOUR));
    let none = DenialQuery { connector: Some("slack".to_owned()), ..ask(DenialKey::User) };
    assert_eq!(store.denials(none).await.unwrap(), []);
}

async fn kept(store: &SqliteStore) -> Vec<Event> {
    store.events(EventQuery { count_max: 100_000, ..EventQuery::default() }).await.unwrap().events
}

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
