//! Policy revisions: what was published when, by whom and why.
//!
//! A revision is never changed or removed, and its epoch is larger than that of every earlier one: rolling back
//! publishes an old text again under a new epoch.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;

use super::{Answer, StoreError};

/// A published policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    pub(crate) epoch: u64,
    /// The document, TOML.
    pub(crate) text: String,
    /// SHA-256 of `text`, hex.
    pub(crate) digest: String,
    pub(crate) author: String,
    pub(crate) comment: String,
    pub(crate) source: RevisionSource,
    /// Unix time of publication, milliseconds.
    pub(crate) time_ms: u64,
}

/// Where a revision came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RevisionSource {
    /// The admin API.
    Api,
    /// The policy file named in the configuration.
    File,
    /// A node held a larger epoch than the store knew (an older store was restored): the active text was published
    /// again above it.
    Recovery,
    /// An earlier revision, published again.
    Rollback,
}

/// Keeps policy revisions.
pub(crate) trait PolicyStore: Send + Sync {
    /// Appends a revision durably, unless its epoch is not above every other.
    fn append(&self, revision: Revision) -> Answer<'_, ()>;
    /// The newest revision.
    fn latest(&self) -> Answer<'_, Option<Revision>>;
    /// The newest revision from one source.
    fn latest_from(&self, source: RevisionSource) -> Answer<'_, Option<Revision>>;
    /// One revision.
    fn revision(&self, epoch: u64) -> Answer<'_, Option<Revision>>;
    /// The state of the rollout that is under way, as it was saved.
    fn rollout(&self) -> Answer<'_, Option<String>>;
    /// Saves it, or forgets it.
    fn save_rollout(&self, state: Option<String>) -> Answer<'_, ()>;
    /// Revisions below `before` (or all), newest first.
    fn history(&self, before: Option<u64>, count_max: usize) -> Answer<'_, Vec<Revision>>;
}

impl RevisionSource {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::File => "file",
            Self::Recovery => "recovery",
            Self::Rollback => "rollback",
        }
    }

    fn from_label(label: &str) -> Self {
        match label {
            "file" => Self::File,
            "recovery" => Self::Recovery,
            "rollback" => Self::Rollback,
            _ => Self::Api,
        }
    }
}

/// Writer's side of [`PolicyStore::append`].
pub(super) fn insert(connection: &Connection, revision: &Revision) -> Result<(), StoreError> {
    let newest: Option<u64> = connection.query_row("SELECT max(epoch) FROM policy_revision", [], |row| row.get(0))?;
    if let Some(newest) = newest
        && revision.epoch <= newest
    {
        return Err(StoreError::EpochTaken { epoch: revision.epoch, newest });
    }
    let Revision { epoch, text, digest, author, comment, source, time_ms } = revision;
    let insert = format!("INSERT INTO policy_revision ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)");
    connection.execute(&insert, params![epoch, text, digest, author, comment, source.label(), time_ms])?;
    Ok(())
}

pub(super) fn select_rollout(connection: &Connection) -> Result<Option<String>, StoreError> {
    Ok(connection.query_row("SELECT state FROM policy_rollout", [], |row| row.get(0)).optional()?)
}

/// There is one at most.
pub(super) fn replace_rollout(connection: &Connection, state: Option<&str>) -> Result<(), StoreError> {
    connection.execute("DELETE FROM policy_rollout", [])?;
    if let Some(state) = state {
        connection.execute("INSERT INTO policy_rollout (state) VALUES (?)", [state])?;
    }
    Ok(())
}

pub(super) fn select_latest(connection: &Connection) -> Result<Option<Revision>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM policy_revision ORDER BY epoch DESC LIMIT 1");
    Ok(connection.prepare_cached(&query)?.query_row([], read).optional()?)
}

pub(super) fn select_latest_from(
    connection: &Connection,
    source: RevisionSource,
) -> Result<Option<Revision>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM policy_revision WHERE source = ? ORDER BY epoch DESC LIMIT 1");
    Ok(connection.prepare_cached(&query)?.query_row([source.label()], read).optional()?)
}

pub(super) fn select_one(connection: &Connection, epoch: u64) -> Result<Option<Revision>, StoreError> {
    let Ok(epoch) = i64::try_from(epoch) else { return Ok(None) };
    let query = format!("SELECT {COLUMNS} FROM policy_revision WHERE epoch = ?");
    Ok(connection.prepare_cached(&query)?.query_row([epoch], read).optional()?)
}

pub(super) fn select_before(
    connection: &Connection,
    before: Option<u64>,
    count_max: usize,
) -> Result<Vec<Revision>, StoreError> {
    let before = before.and_then(|epoch| i64::try_from(epoch).ok()).unwrap_or(i64::MAX);
    let query = format!("SELECT {COLUMNS} FROM policy_revision WHERE epoch < ? ORDER BY epoch DESC LIMIT ?");
    let mut statement = connection.prepare_cached(&query)?;
    let rows = statement.query_map(params![before, count_max], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Revision> {
    Ok(Revision {
        epoch: row.get(0)?,
        text: row.get(1)?,
        digest: row.get(2)?,
        author: row.get(3)?,
        comment: row.get(4)?,
        source: RevisionSource::from_label(&row.get::<_, String>(5)?),
        time_ms: row.get(6)?,
    })
}

const COLUMNS: &str = "epoch, text, digest, author, comment, source, time_ms";
