//! The trail: who did what to the appliance, when, from where, and what came of it. Entries are only ever added; beyond a
//! bound the oldest go.

use rusqlite::{Connection, Row, params};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Answer, StoreError};

/// One act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct TrailEntry {
    /// Grows with each entry; 0 before it is stored.
    pub(crate) id: u64,
    /// RFC 3339, UTC.
    pub(crate) time: String,
    /// The user, `token:ID`, or `token:file`.
    pub(crate) who: String,
    /// Role at that moment; absent where nobody was let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) role: Option<String>,
    /// The address that the request came from.
    pub(crate) address: String,
    /// What was asked for: label of an act.
    pub(crate) act: String,
    /// On what, in words.
    pub(crate) subject: String,
    /// `done`, `refused` or `failed`.
    pub(crate) outcome: String,
}

/// Which entries to give, newest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrailQuery {
    /// Only below this id.
    pub(crate) before: Option<u64>,
    pub(crate) who: Option<String>,
    pub(crate) act: Option<String>,
    pub(crate) count_max: usize,
}

/// Keeps the trail.
pub(crate) trait TrailStore: Send + Sync {
    fn add(&self, entry: TrailEntry) -> Answer<'_, ()>;
    fn trail(&self, query: TrailQuery) -> Answer<'_, Vec<TrailEntry>>;
}

pub(super) fn insert(connection: &Connection, entry: &TrailEntry) -> Result<(), StoreError> {
    let TrailEntry { id: _, time, who, role, address, act, subject, outcome } = entry;
    let insert =
        "INSERT INTO access_trail (time, who, role, address, act, subject, outcome) VALUES (?, ?, ?, ?, ?, ?, ?)";
    connection.prepare_cached(insert)?.execute(params![time, who, role, address, act, subject, outcome])?;
    // Ids grow by one: counting from the newest counts entries.
    let trim = "DELETE FROM access_trail WHERE id <= ?";
    let oldest = connection.last_insert_rowid().saturating_sub(ENTRIES_MAX);
    connection.prepare_cached(trim)?.execute([oldest])?;
    Ok(())
}

pub(super) fn select(connection: &Connection, query: &TrailQuery) -> Result<Vec<TrailEntry>, StoreError> {
    let select = "SELECT id, time, who, role, address, act, subject, outcome FROM access_trail
        WHERE id < ?1 AND (?2 IS NULL OR who = ?2) AND (?3 IS NULL OR act = ?3) ORDER BY id DESC LIMIT ?4";
    let before = query.before.and_then(|id| i64::try_from(id).ok()).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map(params![before, query.who, query.act, query.count_max], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<TrailEntry> {
    Ok(TrailEntry {
        id: row.get(0)?,
        time: row.get(1)?,
        who: row.get(2)?,
        role: row.get(3)?,
        address: row.get(4)?,
        act: row.get(5)?,
        subject: row.get(6)?,
        outcome: row.get(7)?,
    })
}

/// About 200 bytes each: at most 200 MB of disk.
pub(super) const ENTRIES_MAX: i64 = 1_000_000;
