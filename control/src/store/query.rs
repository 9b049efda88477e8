//! Builds and runs the SQL of an event query. Values are always bound, never pasted.

use penstock_core::audit::Event;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::StoreError;
use super::audit::{EventPage, EventQuery, Order};

/// Columns that a query may filter by.
pub(super) const FILTER_COLUMNS: &[&str] =
    &["application", "client", "connector", "node", "source", "status", "target_tenant", "user"];

/// Runs the query on a reader's connection.
pub(super) fn run(connection: &Connection, query: &EventQuery) -> Result<EventPage, StoreError> {
    let (sql, values) = build(query);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut page = EventPage::default();
    while let Some(row) = rows.next()? {
        if page.events.len() == query.count_max {
            page.more = true;
            break;
        }
        let json: String = row.get(1)?;
        // What `record` stored was read once, so it can be read again unless the file was altered by hand.
        match serde_json::from_str::<Event>(&json) {
            Ok(event) => page.events.push(event),
            Err(error) => tracing::warn!(%error, "an event in the store cannot be read"),
        }
        page.last = Some(row.get(0)?);
        page.first = page.first.or(page.last);
    }
    Ok(page)
}

fn build(query: &EventQuery) -> (String, Vec<Value>) {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    let mut bound = |condition: &str, value: u64| {
        conditions.push(condition.to_owned());
        values.push(Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)));
    };
    if let Some(since_ms) = query.since_ms {
        bound("time_ms >= ?", since_ms);
    }
    if let Some(until_ms) = query.until_ms {
        bound("time_ms < ?", until_ms);
    }
    if let Some(cursor) = query.cursor {
        bound(if query.order == Order::OldestFirst { "id > ?" } else { "id < ?" }, cursor);
    }
    for (column, wanted) in &query.equals {
        debug_assert!(FILTER_COLUMNS.contains(column));
        conditions.push(format!("{column} IN ({})", vec!["?"; wanted.len()].join(", ")));
        values.extend(wanted.iter().cloned().map(Value::Text));
    }
    let filter = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    let direction = if query.order == Order::OldestFirst { "ASC" } else { "DESC" };
    values.push(Value::Integer(i64::try_from(query.count_max.saturating_add(1)).unwrap_or(i64::MAX)));
    (format!("SELECT id, json FROM audit_event {filter} ORDER BY id {direction} LIMIT ?"), values)
}
