//! How long audit events are kept: by count, by age and by size, removed a slice at a time.
//!
//! A slice is one transaction of the writing thread. As many go at once as were recorded since the last ones, so that removing
//! keeps pace however many nodes send; what waits to be recorded goes before the rest.

use rusqlite::{Connection, params};

use super::spool;
use super::values::BLOCK_BITS;

/// What is kept. Beyond any of the bounds the oldest events go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub(crate) events_max: u64,
    /// Milliseconds since the event, by its own time.
    pub(crate) age_ms_max: Option<u64>,
    /// Bytes of the database that are in use, policies included. The file keeps its size; freed pages are used again.
    pub(crate) bytes_max: Option<u64>,
}

/// Events removed in one transaction.
pub(super) const SLICE_EVENTS: usize = 2_000;

impl Retention {
    /// Removes a slice of what is beyond a bound at that moment; answers how many events went.
    pub(super) fn remove_slice(&self, connection: &Connection, now_ms: u64) -> rusqlite::Result<usize> {
        let mut removed = 0;
        for table in ["audit_event", "audit_unread"] {
            removed += remove_beyond(connection, table, self.events_max)?;
        }
        if let Some(age_ms_max) = self.age_ms_max {
            removed += remove_older(connection, now_ms.saturating_sub(age_ms_max))?;
        }
        if let Some(bytes_max) = self.bytes_max
            && bytes_used(connection)? > bytes_max
        {
            removed += remove_first(connection)?;
        }
        if removed > 0 {
            forget(connection)?;
        }
        Ok(removed)
    }
}

/// Ids are given in order, so counting from the newest counts events.
fn remove_beyond(connection: &Connection, table: &str, events_max: u64) -> rusqlite::Result<usize> {
    let events_max = i64::try_from(events_max).unwrap_or(i64::MAX);
    let delete = format!(
        "DELETE FROM {table} WHERE id <= min((SELECT max(id) FROM {table}) - ?1, (SELECT min(id) FROM {table}) + ?2 - 1)"
    );
    connection.prepare_cached(&delete)?.execute(params![events_max, SLICE_EVENTS])
}

/// Looks no further than the first block that has a younger event.
fn remove_older(connection: &Connection, before_ms: u64) -> rusqlite::Result<usize> {
    let before_ms = i64::try_from(before_ms).unwrap_or(i64::MAX);
    let end: Option<i64> = connection
        .prepare_cached("SELECT min(block) FROM audit_block WHERE time_max >= ?1")?
        .query_row([before_ms], |row| row.get(0))?;
    let end = end.map_or(i64::MAX, |block| (block + 1) << BLOCK_BITS);
    connection
        .prepare_cached(
            "DELETE FROM audit_event WHERE id IN
                (SELECT id FROM audit_event WHERE id < ?1 AND +time_ms < ?2 ORDER BY id LIMIT ?3)",
        )?
        .execute(params![end, before_ms, SLICE_EVENTS])
}

fn remove_first(connection: &Connection) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("DELETE FROM audit_event WHERE id IN (SELECT id FROM audit_event ORDER BY id LIMIT ?1)")?
        .execute([SLICE_EVENTS])
}

/// Removes what is known of blocks and spools that are gone. Where no event is left, all blocks but the growing one are.
fn forget(connection: &Connection) -> rusqlite::Result<()> {
    let oldest: i64 = connection
        .prepare_cached("SELECT coalesce((SELECT min(id) FROM audit_event), (SELECT event + 1 FROM audit_head))")?
        .query_row([], |row| row.get(0))?;
    for table in ["audit_block", "audit_values"] {
        let delete = format!("DELETE FROM {table} WHERE block < ?");
        connection.prepare_cached(&delete)?.execute([oldest >> BLOCK_BITS])?;
    }
    spool::forget(connection)
}

fn bytes_used(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    Ok((pragma("page_count")?.saturating_sub(pragma("freelist_count")?)).saturating_mul(pragma("page_size")?))
}
