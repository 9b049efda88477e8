//! How far each export of audit events is.

use rusqlite::{Connection, OptionalExtension as _};

use super::{Answer, AuditStore, StoreError};

/// Where an export stands among the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Cursor of the last event that the sink has taken; `None` before the first.
    pub(crate) taken: Option<u64>,
    /// Cursor of the oldest event that is kept.
    pub(crate) oldest: Option<u64>,
    /// Cursor of the newest.
    pub(crate) newest: Option<u64>,
}

/// Remembers how far exports of its events are.
pub(crate) trait ExportStore: AuditStore {
    fn progress(&self, name: String) -> Answer<'_, Progress>;
    /// The sink has taken everything up to that event. Never goes back.
    fn advance(&self, name: String, event: u64) -> Answer<'_, ()>;
}

pub(super) fn select(connection: &Connection, name: &str) -> Result<Progress, StoreError> {
    let taken = connection
        .prepare_cached("SELECT event FROM audit_export WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    let mut bounds =
        connection.prepare_cached("SELECT (SELECT min(id) FROM audit_event), (SELECT max(id) FROM audit_event)")?;
    let (oldest, newest) = bounds.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Progress { taken, oldest, newest })
}

pub(super) fn upsert(connection: &Connection, name: &str, event: u64) -> Result<(), StoreError> {
    let upsert = "INSERT INTO audit_export VALUES (?1, ?2)
        ON CONFLICT (name) DO UPDATE SET event = max(event, excluded.event)";
    connection.prepare_cached(upsert)?.execute((name, event))?;
    Ok(())
}
