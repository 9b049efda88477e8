//! What every store of audit events must do, against a list of the same events, filtered by hand.

use penstock_core::audit::{Event, timestamp};

use super::super::{DenialCount, DenialKey, DenialQuery, EventQuery, ExportStore, IncomingEvent, Order, ReadEvent};

pub(super) const START: u64 = 1_795_000_000_000;
pub(super) const HOUR: u64 = 3_600_000;

/// A number that looks random and is the same in every run.
fn dice(seed: u64, sides: u64) -> u64 {
    let mixed = (seed ^ (seed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) % sides
}

pub(super) fn event(number: u64) -> Event {
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

pub(super) fn time_ms(event: &Event) -> u64 {
    penstock_core::moment::parse(&event.time).unwrap()
}

pub(super) fn incoming(sequence: u64, event: &Event) -> IncomingEvent {
    let json = serde_json::to_string(event).unwrap();
    IncomingEvent { sequence, json, event: Ok(ReadEvent { event: event.clone(), time_ms: time_ms(event) }) }
}

/// Answers the events, and how many of them were new.
pub(super) async fn send(store: &dyn ExportStore, boot: &str, numbers: std::ops::Range<u64>) -> (Vec<Event>, usize) {
    let events: Vec<Event> = numbers.clone().map(event).collect();
    let batch = numbers.zip(&events).map(|(sequence, event)| incoming(sequence, event)).collect();
    let recorded = store.record("node".to_owned(), boot.to_owned(), batch).await.unwrap();
    (events, recorded)
}

pub(super) async fn record(store: &dyn ExportStore, numbers: std::ops::Range<u64>) -> Vec<Event> {
    send(store, "boot", numbers).await.0
}

pub(super) async fn kept(store: &dyn ExportStore) -> Vec<Event> {
    store.events(EventQuery { count_max: 100_000, ..EventQuery::default() }).await.unwrap().events
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
pub(super) async fn queries_find_what_filtering_by_hand_finds(store: &dyn ExportStore) {
    let mut events = Vec::new();
    for slice in 0..10 {
        events.extend(record(store, slice * 500..(slice + 1) * 500).await);
    }
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
        // A page ends within a block of ids, or holds several.
        let count_max = [33, 70, 256, 1_000][usize::try_from(dice(seed + 5, 4)).unwrap()];
        let mut query = EventQuery { since_ms, until_ms, equals, sign_ins: false, cursor: None, order, count_max };
        let mut found: Vec<String> = Vec::new();
        loop {
            let page = store.events(query.clone()).await.unwrap();
            assert!(page.events.len() <= count_max);
            found.extend(page.events.into_iter().map(|event| event.time));
            query.cursor = page.last;
            if !page.more {
                break;
            }
        }
        assert!(found.iter().eq(&expected), "{query:?}: {} found, {} expected", found.len(), expected.len());
    }
}

/// Two values may each be nearly everywhere and never in one event, or in one alone.
pub(super) async fn values_that_never_meet_are_not_found_together(store: &dyn ExportStore) {
    let paired = |number: u64| {
        let place = usize::try_from(number % 2).unwrap();
        let application = Some(["one", "other"][if number == 1_234 { 1 } else { place }].to_owned());
        Event { user: Some(["even", "odd"][place].to_owned()), application, ..event(number) }
    };
    for first in (0..2_000).step_by(500) {
        let batch = (first..first + 500).map(|number| incoming(number, &paired(number))).collect();
        store.record("node".to_owned(), "boot".to_owned(), batch).await.unwrap();
    }
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let ask = async |user: &str, application: &str| {
            let equals = vec![("user", vec![user.to_owned()]), ("application", vec![application.to_owned()])];
            let query = EventQuery { equals, order, count_max: 1_000, ..EventQuery::default() };
            store.events(query).await.unwrap().events
        };
        assert_eq!(ask("even", "other").await, [paired(1_234)]);
        assert_eq!((ask("odd", "one").await.len(), ask("odd", "other").await.len()), (0, 1_000));
    }
}

/// Two requests of one flow to one tenant are one sign-in; another tenant or outcome is another.
pub(super) async fn a_sign_in_is_its_first_request(store: &dyn ExportStore) {
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
    let batch = (1..).zip(&events).map(|(sequence, event)| incoming(sequence, event)).collect();
    store.record("node".to_owned(), "boot".to_owned(), batch).await.unwrap();
    let query = EventQuery { sign_ins: true, count_max: 100, order: Order::OldestFirst, ..EventQuery::default() };
    let found = store.events(query).await.unwrap().events;
    assert_eq!(found, [0, 2, 4, 6].map(|place: usize| events[place].clone()));
    let all = EventQuery { count_max: 100, ..EventQuery::default() };
    assert_eq!(store.events(all).await.unwrap().events.len(), events.len());
}

pub(super) async fn refusals_are_counted_by_what_they_have_in_common(store: &dyn ExportStore) {
    let events = record(store, 0..4_000).await;
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

/// A node sends again what it was not told to be committed; a batch may overlap the last one in any way.
pub(super) async fn a_repeated_event_is_recorded_once(store: &dyn ExportStore) {
    assert_eq!(send(store, "boot", 0..50).await.1, 50);
    for (again, new) in [(0..50, 0), (40..60, 10), (70..80, 10), (55..75, 10), (0..80, 0)] {
        assert_eq!(send(store, "boot", again.clone()).await.1, new, "{again:?}");
    }
    // The same numbers of another life of the spool are other events.
    assert_eq!(send(store, "other", 0..50).await.1, 50);
    let unread = IncomingEvent { sequence: 90, json: "{".to_owned(), event: Err("no JSON".to_owned()) };
    for new in [1, 0] {
        let batch = vec![unread.clone(), incoming(91, &event(91))];
        assert_eq!(store.record("node".to_owned(), "boot".to_owned(), batch).await.unwrap(), 2 * new);
    }
    assert_eq!(kept(store).await.len(), 131);
}

/// Whatever a client put into its request is no reason to keep a node's batch waiting for ever.
pub(super) async fn hostile_text_is_recorded(store: &dyn ExportStore) {
    let texts = ["a\0b", "\u{feff}\u{202e}", "'; DROP TABLE audit_event; --", "\\N\t\r\n", "\u{10ffff}"];
    let hostile = |text: &str| {
        let text = Some(text.to_owned());
        let (user, path) = (text.clone(), text.clone());
        Event { user, path, client: text, source: String::new(), ..event(1) }
    };
    let batch = (0..).zip(texts).map(|(sequence, text)| incoming(sequence, &hostile(text))).collect();
    assert_eq!(store.record("node".to_owned(), "boot".to_owned(), batch).await.unwrap(), texts.len());
    for text in texts {
        let equals = vec![("user", vec![text.to_owned()])];
        let query = EventQuery { equals, count_max: 10, ..EventQuery::default() };
        assert_eq!(store.events(query).await.unwrap().events, [hostile(text)]);
    }
}

/// What is asked for in pages is nobody else's: each cursor goes on behind the last event, also while others are recorded.
pub(super) async fn followers_miss_nothing_that_many_record_at_once(store: &dyn ExportStore) {
    let recording = async {
        let (boots, rounds) = (["a", "b", "c", "d"], [0..30, 30..60, 60..90]);
        for round in rounds {
            let [a, b, c, d] = boots.map(|boot| send(store, boot, round.clone()));
            let _ = tokio::join!(a, b, c, d);
        }
    };
    let following = async {
        let mut query = EventQuery { order: Order::OldestFirst, count_max: 7, ..EventQuery::default() };
        let mut count = 0;
        while count < 360 {
            let page = store.events(query.clone()).await.unwrap();
            assert!(page.first.is_none_or(|first| query.cursor.is_none_or(|cursor| cursor < first)));
            count += page.events.len();
            query.cursor = page.last.or(query.cursor);
            tokio::task::yield_now().await;
        }
        count
    };
    let ((), count) = tokio::join!(recording, following);
    assert_eq!(count, 360);
}

pub(super) async fn an_exports_place_never_goes_back(store: &dyn ExportStore) {
    let name = || "siem".to_owned();
    assert_eq!(store.progress(name()).await.unwrap(), super::super::Progress::default());
    record(store, 0..10).await;
    let progress = store.progress(name()).await.unwrap();
    let (oldest, newest) = (progress.oldest.unwrap(), progress.newest.unwrap());
    assert_eq!((progress.taken, newest - oldest), (None, 9));
    for (event, taken) in [(oldest + 3, oldest + 3), (oldest, oldest + 3), (newest, newest)] {
        store.advance(name(), event).await.unwrap();
        assert_eq!(store.progress(name()).await.unwrap().taken, Some(taken));
    }
    assert_eq!(store.progress("other".to_owned()).await.unwrap().taken, None);
}
