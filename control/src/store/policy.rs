//! Policy revisions: what was published when, by whom and why.
//!
//! A revision is never changed or removed, and its epoch is larger than that of every earlier one: rolling back
//! publishes an old text again under a new epoch.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
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

/// A revision that is to become the newest.
#[derive(Clone, Debug)]
pub(crate) struct Addition {
    pub(crate) revision: Revision,
    /// The epoch that is the newest until then; 0 where there is none.
    pub(crate) newest: u64,
    /// State of the rollout that is under way from then on.
    pub(crate) rollout: Option<String>,
}

/// What is to be in force, seen at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The newest revision.
    pub(crate) newest: Option<Revision>,
    /// The state of the rollout that is under way, as it was saved.
    pub(crate) rollout: Option<String>,
}

/// Keeps policy revisions.
pub(crate) trait PolicyStore: Send + Sync {
    /// Appends a revision durably, and saves the state of the rollout with it or forgets the last one: both or neither.
    /// Refused when another epoch than was said is the newest, and when the revision's own is not above it.
    fn append(&self, addition: Addition) -> Answer<'_, ()>;
    fn head(&self) -> Answer<'_, Head>;
    /// The newest revision from one source.
    fn latest_from(&self, source: RevisionSource) -> Answer<'_, Option<Revision>>;
    /// One revision.
    fn revision(&self, epoch: u64) -> Answer<'_, Option<Revision>>;
    /// Puts a state of the rollout in the place of `before`, or forgets it. Refused when another one is there.
    fn save_rollout(&self, before: Option<String>, state: Option<String>) -> Answer<'_, ()>;
    /// Revisions below `before` (or all), newest first.
    fn history(&self, before: Option<u64>, count_max: usize) -> Answer<'_, Vec<Revision>>;
    /// Told when another process may have changed something; closed where there is none that could.
    fn changes(&self) -> watch::Receiver<()>;
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

    pub(super) fn from_label(label: &str) -> Self {
        match label {
            "file" => Self::File,
            "recovery" => Self::Recovery,
            "rollback" => Self::Rollback,
            _ => Self::Api,
        }
    }
}

/// Writer's side of [`PolicyStore::append`].
pub(super) fn insert(connection: &Connection, addition: &Addition) -> Result<(), StoreError> {
    let select = "SELECT coalesce(max(epoch), 0) FROM policy_revision";
    let newest: u64 = connection.query_row(select, [], |row| row.get(0))?;
    let Revision { epoch, text, digest, author, comment, source, time_ms } = &addition.revision;
    if newest != addition.newest || *epoch <= newest {
        return Err(StoreError::EpochTaken { epoch: *epoch, newest });
    }
    let insert = format!("INSERT INTO policy_revision ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)");
    connection.execute(&insert, params![epoch, text, digest, author, comment, source.label(), time_ms])?;
    write_rollout(connection, addition.rollout.as_deref())
}

/// One statement, so that both are of one moment.
pub(super) fn select_head(connection: &Connection) -> Result<Head, StoreError> {
    let query = format!(
        "SELECT {COLUMNS}, (SELECT state FROM policy_rollout) FROM policy_revision ORDER BY epoch DESC LIMIT 1"
    );
    let read = |row: &Row<'_>| Ok(Head { newest: Some(read(row)?), rollout: row.get(7)? });
    Ok(connection.prepare_cached(&query)?.query_row([], read).optional()?.unwrap_or_default())
}

/// Writer's side of [`PolicyStore::save_rollout`].
pub(super) fn replace_rollout(
    connection: &Connection,
    before: Option<&str>,
    state: Option<&str>,
) -> Result<(), StoreError> {
    let select = "SELECT state FROM policy_rollout";
    let saved: Option<String> = connection.query_row(select, [], |row| row.get(0)).optional()?;
    if saved.as_deref() != before {
        return Err(StoreError::RolloutMoved);
    }
    write_rollout(connection, state)
}

/// There is one at most.
fn write_rollout(connection: &Connection, state: Option<&str>) -> Result<(), StoreError> {
    connection.execute("DELETE FROM policy_rollout", [])?;
    if let Some(state) = state {
        connection.execute("INSERT INTO policy_rollout (state) VALUES (?)", [state])?;
    }
    Ok(())
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
