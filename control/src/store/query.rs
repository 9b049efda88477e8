//! Builds and runs the SQL of an event query. Values are always bound, never pasted.
//!
//! Events are asked for in the order of their recording, which is nearly that of time: `audit_block` knows the times in each
//! thousand of them, so an interval becomes a range of ids. One index leads: that of the filter which matches the fewest
//! events, found by counting no more than a few thousand entries of each. Ids are found first, and events read for those
//! alone that are given.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::StoreError;
use super::audit::{EventPage, EventQuery, Order};

/// Columns that a query may filter by, each with an index; the first ones are mostly the more telling.
pub(super) const FILTER_COLUMNS: &[&str] =
    &["user", "source", "target_tenant", "application", "client", "status", "connector", "node"];
/// Entries of an index that are counted to see how telling it is.
const COUNTED_ENTRIES_MAX: i64 = 4_096;

/// Runs the query on a reader's connection.
pub(super) fn run(connection: &Connection, query: &EventQuery) -> Result<EventPage, StoreError> {
    let mut page = EventPage::default();
    let Some(range) = id_range(connection, query)? else { return Ok(page) };
    let leading = leading(connection, query, range)?;
    let (sql, values) = build(query, range, leading);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        if page.events.len() == query.count_max {
            page.more = true;
            break;
        }
        page.push(row.get(0)?, row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?);
    }
    Ok(page)
}

/// Ids between which every event of the interval lies, beyond the cursor: inclusive, exclusive. `None` when there are none.
fn id_range(connection: &Connection, query: &EventQuery) -> Result<Option<(i64, i64)>, StoreError> {
    let block = |sql: &str, bound: u64| -> Result<Option<i64>, StoreError> {
        let bound = i64::try_from(bound).unwrap_or(i64::MAX);
        Ok(connection.prepare_cached(sql)?.query_row([bound], |row| row.get(0))?)
    };
    let (mut first, mut end) = (0, i64::MAX);
    if let Some(since_ms) = query.since_ms {
        let Some(block) = block("SELECT min(block) FROM audit_block WHERE time_max >= ?", since_ms)? else {
            return Ok(None);
        };
        first = block << 10;
    }
    if let Some(until_ms) = query.until_ms {
        let Some(block) = block("SELECT max(block) FROM audit_block WHERE time_min < ?", until_ms)? else {
            return Ok(None);
        };
        end = (block + 1) << 10;
    }
    if let Some(cursor) = query.cursor {
        let cursor = i64::try_from(cursor).unwrap_or(i64::MAX);
        match query.order {
            Order::NewestFirst => end = end.min(cursor),
            Order::OldestFirst => first = first.max(cursor.saturating_add(1)),
        }
    }
    Ok((first < end).then_some((first, end)))
}

/// The filter whose index leads, by its place in the query; `None` without filters.
fn leading(connection: &Connection, query: &EventQuery, range: (i64, i64)) -> Result<Option<usize>, StoreError> {
    if query.equals.len() < 2 {
        return Ok((!query.equals.is_empty()).then_some(0));
    }
    let mut best = None;
    for (place, (column, values)) in query.equals.iter().enumerate() {
        debug_assert!(FILTER_COLUMNS.contains(column));
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM audit_event WHERE {column} = ? AND id >= ? AND id < ? LIMIT {COUNTED_ENTRIES_MAX})"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut count = 0_i64;
        for value in values {
            count += statement.query_row((value, range.0, range.1), |row| row.get::<_, i64>(0))?;
        }
        let rank = FILTER_COLUMNS.iter().position(|known| known == column);
        let key = (count.min(COUNTED_ENTRIES_MAX), rank, place);
        best = best.min(Some(key)).or(Some(key));
    }
    Ok(best.map(|(_, _, place)| place))
}

/// One search for each value of the leading filter, each of which goes along its index and stops early, merged.
fn build(query: &EventQuery, range: (i64, i64), leading: Option<usize>) -> (String, Vec<Value>) {
    let direction = if query.order == Order::OldestFirst { "ASC" } else { "DESC" };
    let limit = i64::try_from(query.count_max.saturating_add(1)).unwrap_or(i64::MAX);
    let lead = leading.and_then(|place| query.equals.get(place));
    let mut values = Vec::new();
    let mut searches = Vec::new();
    for value in lead.map_or(&[String::new()][..], |(_, values)| values) {
        let mut conditions = vec!["id >= ? AND id < ?".to_owned()];
        values.extend([Value::Integer(range.0), Value::Integer(range.1)]);
        if let Some((column, _)) = lead {
            conditions.push(format!("{column} = ?"));
            values.push(Value::Text(value.clone()));
        }
        push_rest(query, leading, &mut conditions, &mut values);
        values.push(Value::Integer(limit));
        let filter = conditions.join(" AND ");
        searches
            .push(format!("SELECT * FROM (SELECT id FROM audit_event WHERE {filter} ORDER BY id {direction} LIMIT ?)"));
    }
    values.push(Value::Integer(limit));
    let searches = searches.join(" UNION ");
    let sql = format!("SELECT id, json FROM audit_event WHERE id IN ({searches}) ORDER BY id {direction} LIMIT ?");
    (sql, values)
}

/// The other conditions. A plus keeps a column's index from being taken for them.
fn push_rest(query: &EventQuery, leading: Option<usize>, conditions: &mut Vec<String>, values: &mut Vec<Value>) {
    let number = |value: u64| Value::Integer(i64::try_from(value).unwrap_or(i64::MAX));
    if query.sign_ins {
        // Without a filter to lead, the index of the sign-ins does.
        conditions.push(if leading.is_some() { "+sign_in = 1" } else { "sign_in = 1" }.to_owned());
    }
    if let Some(since_ms) = query.since_ms {
        conditions.push("+time_ms >= ?".to_owned());
        values.push(number(since_ms));
    }
    if let Some(until_ms) = query.until_ms {
        conditions.push("+time_ms < ?".to_owned());
        values.push(number(until_ms));
    }
    let others = query.equals.iter().enumerate().filter(|(place, _)| Some(*place) != leading);
    for (_, (column, wanted)) in others {
        conditions.push(format!("+{column} IN ({})", vec!["?"; wanted.len()].join(", ")));
        values.extend(wanted.iter().cloned().map(Value::Text));
    }
}
