//! A file of the version before events became lean: everything in it is found, counted and known as before.

use penstock_core::audit::Event;
use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::super::schema::{STEPS, take};
use super::super::{AuditStore as _, DenialKey, DenialQuery, EventQuery, ExportStore as _, Retention, SqliteStore};
use super::events::{START, event, kept, send, time_ms};

/// Steps that such a file has seen.
const STEPS_BEFORE: usize = 7;
const INSERT: &str = "
INSERT INTO audit_event (boot, sequence, time_ms, time, node, shard, flow, source, user, application, client, connector,
    target_tenant, status, headers_set, headers_stripped, json, sign_in)
VALUES (?, ?, ?, ?, 'node', 0, ?, ?, ?, ?, ?, ?, ?, ?, '', '', ?, ?)";

fn is_refused(event: &Event) -> bool {
    ["denied", "would_deny"].contains(&event.status.as_str())
}

/// Events 0 to 2,999, every other thousand of another life of the spool; the first 300 and the newest were removed.
fn write(path: &std::path::Path) -> Vec<Event> {
    let mut connection = Connection::open(path).unwrap();
    take(&mut connection, path, &STEPS[..STEPS_BEFORE]).unwrap();
    let transaction = connection.transaction().unwrap();
    for number in 0..3_000_u64 {
        let event = event(number);
        let values = params![
            boot(number),
            number,
            time_ms(&event),
            event.time,
            event.flow,
            event.source,
            event.user,
            event.application,
            event.client,
            event.connector,
            event.target_tenant,
            event.status,
            serde_json::to_string(&event).unwrap(),
            is_refused(&event),
        ];
        transaction.execute(INSERT, values).unwrap();
    }
    transaction
        .execute_batch(
            "INSERT INTO audit_block SELECT id >> 10, min(time_ms), max(time_ms) FROM audit_event GROUP BY id >> 10;
             DELETE FROM audit_event WHERE id <= 300 OR id = 3000;
             INSERT INTO audit_unread (node, boot, sequence, reason, json) VALUES ('node', 'b1', 5000, 'new', '{}')",
        )
        .unwrap();
    transaction.commit().unwrap();
    (300..2_999).map(event).collect()
}

fn boot(number: u64) -> String {
    format!("b{}", number / 1_000 % 2)
}

#[tokio::test]
async fn a_file_of_wide_events_becomes_lean_and_answers_as_before() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("control.db");
    let mut events = write(&path);
    events.reverse();
    let keep = Retention { events_max: 1_000_000, age_ms_max: None, bytes_max: None };
    let store = SqliteStore::open(&path, keep, || START).unwrap();
    assert_eq!(kept(&store).await, events);

    for (column, value) in [("user", "user7"), ("target_tenant", "tenant3"), ("node", "node"), ("status", "fault")] {
        let equals = vec![(column, vec![value.to_owned()])];
        let query = EventQuery { equals, count_max: 10_000, ..EventQuery::default() };
        let matches = |event: &&Event| match column {
            "user" => event.user.as_deref() == Some(value),
            "target_tenant" => event.target_tenant.as_deref() == Some(value),
            "status" => event.status == value,
            _ => true,
        };
        let found = store.events(query).await.unwrap().events;
        assert!(found.iter().eq(events.iter().filter(matches)), "{column}: {} found", found.len());
    }
    let (since_ms, until_ms) = (Some(START + 1_000 * 60_000), Some(START + 1_400 * 60_000));
    let within = |event: &&Event| (since_ms..until_ms).contains(&Some(time_ms(event)));
    let query = EventQuery { since_ms, until_ms, sign_ins: true, count_max: 10_000, ..EventQuery::default() };
    let refused: Vec<&Event> = events.iter().filter(within).filter(|event| is_refused(event)).collect();
    assert!(store.events(query).await.unwrap().events.iter().eq(refused.iter().copied()));
    let query = DenialQuery { by: DenialKey::User, since_ms, until_ms, connector: None, count_max: 1_000 };
    let denials = store.denials(query).await.unwrap();
    assert_eq!(denials.iter().map(|count| count.denied + count.would_deny).sum::<u64>(), refused.len() as u64);

    let unread = Connection::open(&path).unwrap();
    let row = unread.query_row("SELECT node, boot, sequence, reason, json FROM audit_unread", [], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
    });
    let of = |text: &str| text.to_owned();
    assert_eq!(row.unwrap(), (of("node"), of("b1"), 5_000_i64, of("new"), of("{}")));

    // What comes again is known by its number, whatever it is; and no id is given again.
    let newest = store.progress("siem".to_owned()).await.unwrap().newest;
    assert_eq!(newest, Some(2_999));
    for (boot, numbers, new) in
        [("b0", 300..1_000, 0), ("b1", 1_000..2_000, 0), ("b0", 2_000..3_000, 1), ("b1", 4_999..5_001, 1)]
    {
        assert_eq!(send(&store, boot, numbers.clone()).await.1, new, "{boot}: {numbers:?}");
    }
    let page = store.events(EventQuery { count_max: 1, ..EventQuery::default() }).await.unwrap();
    assert_eq!(page.last, Some(3_002));
}
