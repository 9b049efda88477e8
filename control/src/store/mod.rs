//! What control remembers: policy revisions, audit events, who may use the admin API, and who did.
//!
//! Traits say what a store must do; [`sqlite::SqliteStore`] is the embedded one. Owns durability and order, knows
//! nothing of HTTP, the link or the meaning of a policy. Called by `access`, `admin`, `publish` and `audit`.

mod access;
mod audit;
mod block;
mod denial;
mod export;
mod policy;
mod query;
mod retention;
mod schema;
mod sign_in;
mod sqlite;
mod trail;
mod writer;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

pub(crate) use access::{AccessStore, SessionRecord, TokenRecord, UserChange, UserOutcome, UserRecord};
pub(crate) use audit::{AuditStore, EventPage, EventQuery, IncomingEvent, Order, ReadEvent};
pub(crate) use denial::{DenialCount, DenialKey, DenialQuery};
pub(crate) use export::{ExportStore, Progress};
pub(crate) use policy::{Addition, PolicyStore, Revision, RevisionSource};
pub(crate) use retention::Retention;
pub(crate) use sqlite::{Clock, SqliteStore};
pub(crate) use trail::{TrailEntry, TrailQuery, TrailStore};

/// Each kind of thing with the store that keeps it.
pub(crate) struct Stores {
    pub(crate) policy: Arc<dyn PolicyStore>,
    pub(crate) events: Arc<dyn ExportStore>,
    pub(crate) access: Arc<dyn AccessStore>,
    pub(crate) trail: Arc<dyn TrailStore>,
}

impl Stores {
    /// Opens the database in the state directory.
    pub(crate) fn open(path: &Path, retention: Retention, clock: Clock) -> Result<Self, StoreError> {
        let sqlite = Arc::new(SqliteStore::open(path, retention, clock)?);
        Ok(Self { policy: sqlite.clone(), events: sqlite.clone(), access: sqlite.clone(), trail: sqlite })
    }
}

/// What a store's method answers, as an object-safe future.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened or is no database.
    #[error("{}: {source}", path.display())]
    Open {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file was written by a later version of the product.
    #[error("{}: schema version {found} is newer than this program's {known}; start the newer program, or restore the copy made before the upgrade", path.display())]
    SchemaNewer {
        /// The database file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// Another process published in between.
    #[error("epoch {epoch} cannot be published: the newest is {newest}")]
    EpochTaken {
        /// The refused epoch.
        epoch: u64,
        /// The newest in the store.
        newest: u64,
    },
    /// Another step of the rollout was taken in between.
    #[error("the rollout has moved on: look again, and repeat")]
    RolloutMoved,
    /// The transaction failed as a whole; the log says why.
    #[error("the store could not commit")]
    NotCommitted,
    /// The writer thread is gone: the process is stopping, or it failed.
    #[error("the store has stopped")]
    Stopped,
    /// SQLite failed (disk full, read-only file system, corruption).
    #[error("store: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A thread could not be started.
    #[error("store: {0}")]
    Thread(#[from] std::io::Error),
}

#[cfg(test)]
mod tests;
