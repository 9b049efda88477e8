//! Which numbers of each life of a spool are recorded, in the embedded store: what comes again is recognised.
//!
//! Read and written with each batch, within what is undone with it: so there is nothing to forget when a batch fails. Both
//! together cost as much as two events.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, OptionalExtension as _};

use super::sequences::Sequences;

/// What is recorded of a life of a spool.
pub(super) fn recorded(connection: &Connection, node: &str, boot: &str) -> rusqlite::Result<Sequences> {
    let select = "SELECT recorded FROM audit_spool WHERE node = ? AND boot = ?";
    let recorded = connection.prepare_cached(select)?.query_row([node, boot], |row| row.get(0)).optional()?;
    Ok(recorded.unwrap_or_default())
}

/// Replaces that; `event` is the newest event of all.
pub(super) fn store(
    connection: &Connection,
    (node, boot): (&str, &str),
    recorded: &Sequences,
    event: i64,
) -> rusqlite::Result<()> {
    let upsert = "INSERT INTO audit_spool VALUES (?, ?, ?, ?)
        ON CONFLICT (node, boot) DO UPDATE SET recorded = excluded.recorded, event = excluded.event";
    connection.prepare_cached(upsert)?.execute((node, boot, recorded.write(), event))?;
    Ok(())
}

/// Forgets spools from which nothing came for as long as events are kept; none while no event is kept, since the last batch may
/// come again.
pub(super) fn forget(connection: &Connection) -> rusqlite::Result<()> {
    let delete = "DELETE FROM audit_spool WHERE event < (SELECT min(id) FROM audit_event)";
    connection.prepare_cached(delete)?.execute([])?;
    Ok(())
}

impl FromSql for Sequences {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::read(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}
