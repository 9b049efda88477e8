//! Runs an event query. Values are always bound, never pasted.
//!
//! Events are given in the order of their recording, which is nearly that of time: block by block, newest or oldest first, only
//! blocks whose times overlap the interval, and only parts of them in which every filter has one of its values, until the page is
//! full. So the cost is that of the blocks that are looked at, half a microsecond each, and of the events in those parts; nothing
//! is sorted.

use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, params};

use super::StoreError;
use super::audit::{EventPage, EventQuery, Order};
use super::values::{self, BLOCK_BITS, FILTER_COLUMNS, PART_BITS, Places, SIGN_IN};

/// Runs the query on a reader's connection.
pub(super) fn run(connection: &Connection, query: &EventQuery) -> Result<EventPage, StoreError> {
    let mut page = EventPage::default();
    let Some(range) = Range::of(query) else { return Ok(page) };
    let wanted = wanted(query);
    let mut events = prepare(connection, query)?;
    let mut blocks = connection.prepare_cached(&format!(
        "SELECT times.block, entries FROM audit_block AS times CROSS JOIN audit_values USING (block)
         WHERE times.block >= ? AND times.block <= ? AND time_max >= ? AND time_min < ? ORDER BY times.block {}",
        direction(query.order)
    ))?;
    // This statement holds one state of the store until the last block is read.
    let mut rows = blocks.query(params![
        range.first >> BLOCK_BITS,
        range.last >> BLOCK_BITS,
        number(query.since_ms.unwrap_or(0)),
        number(query.until_ms.unwrap_or(u64::MAX)),
    ])?;
    while let Some(row) = rows.next()? {
        let entries = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let places = wanted.iter().fold(Places::MAX, |all, filter| {
            all & filter.iter().fold(0, |any, hash| any | values::places(entries, *hash))
        });
        for part in range.parts(row.get(0)?, places, query.order) {
            if !read_part(&mut events, part, query.count_max, &mut page)? {
                return Ok(page);
            }
        }
    }
    Ok(page)
}

/// Ids, both inclusive.
#[derive(Clone, Copy)]
struct Range {
    first: i64,
    last: i64,
}

impl Range {
    /// What lies beyond the cursor; `None` when nothing can.
    fn of(query: &EventQuery) -> Option<Self> {
        let mut range = Self { first: 0, last: i64::MAX };
        match (query.cursor.map(number), query.order) {
            (Some(cursor), Order::NewestFirst) => range.last = cursor.checked_sub(1)?,
            (Some(cursor), Order::OldestFirst) => range.first = cursor.checked_add(1)?,
            (None, _) => {}
        }
        Some(range)
    }

    /// What of it lies in these places of a block: adjoining ones together.
    fn parts(self, block: i64, places: Places, order: Order) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut left = u32::from(places);
        while left != 0 {
            let (first, count) = (left.trailing_zeros(), (left >> left.trailing_zeros()).trailing_ones());
            left &= !(((1 << count) - 1) << first);
            let start = (block << BLOCK_BITS) + (i64::from(first) << PART_BITS);
            let end = start + (i64::from(count) << PART_BITS);
            parts.push(Self { first: self.first.max(start), last: self.last.min(end - 1) });
        }
        if order == Order::NewestFirst {
            parts.reverse();
        }
        parts
    }
}

/// For each filter the hashes of which a place must have one.
fn wanted(query: &EventQuery) -> Vec<Vec<u32>> {
    let hashes = |(column, values): &(&str, Vec<String>)| {
        debug_assert!(FILTER_COLUMNS.contains(column));
        values.iter().map(|value| values::hash(column, value)).collect()
    };
    let sign_in = query.sign_ins.then(|| vec![values::hash(SIGN_IN.0, SIGN_IN.1)]);
    query.equals.iter().map(hashes).chain(sign_in).collect()
}

/// The statement that reads a part, with all of its values but the first two: the range of ids.
fn prepare<'connection>(
    connection: &'connection Connection,
    query: &EventQuery,
) -> rusqlite::Result<CachedStatement<'connection>> {
    let mut conditions = String::new();
    let mut values = Vec::new();
    for (bound, condition) in [(query.since_ms, "time_ms >="), (query.until_ms, "time_ms <")] {
        if let Some(bound) = bound {
            conditions.push_str(&format!(" AND {condition} ?"));
            values.push(Value::Integer(number(bound)));
        }
    }
    if query.sign_ins {
        conditions.push_str(" AND sign_in = 1");
    }
    for (column, wanted) in &query.equals {
        conditions.push_str(&format!(" AND {column} IN ({})", vec!["?"; wanted.len()].join(", ")));
        values.extend(wanted.iter().cloned().map(Value::Text));
    }
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, json FROM audit_event WHERE id >= ?1 AND id <= ?2 {conditions} ORDER BY id {}",
        direction(query.order)
    ))?;
    for (place, value) in (3..).zip(values) {
        statement.raw_bind_parameter(place, value)?;
    }
    Ok(statement)
}

/// Takes the events of a part of a block, and answers whether the page has room for more.
fn read_part(
    events: &mut CachedStatement<'_>,
    range: Range,
    count_max: usize,
    page: &mut EventPage,
) -> Result<bool, StoreError> {
    events.raw_bind_parameter(1, range.first)?;
    events.raw_bind_parameter(2, range.last)?;
    let mut rows = events.raw_query();
    while let Some(row) = rows.next()? {
        if page.events.len() == count_max {
            page.more = true;
            return Ok(false);
        }
        page.push(row.get(0)?, row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?);
    }
    Ok(true)
}

const fn direction(order: Order) -> &'static str {
    match order {
        Order::NewestFirst => "DESC",
        Order::OldestFirst => "ASC",
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
