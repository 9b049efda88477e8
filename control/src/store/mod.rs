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
use std::path::PathBuf;
use std::pin::Pin;

pub(crate) use access::{AccessStore, SessionRecord, TokenRecord, UserChange, UserOutcome, UserRecord};
pub(crate) use audit::{AuditStore, EventPage, EventQuery, IncomingEvent, Order, ReadEvent};
pub(crate) use denial::{DenialCount, DenialKey, DenialQuery};
pub(crate) use export::{ExportStore, Progress};
pub(crate) use policy::{PolicyStore, Revision, RevisionSource};
pub(crate) use retention::Retention;
pub(crate) use sqlite::{Clock, SqliteStore};
pub(crate) use trail::{TrailEntry, TrailQuery, TrailStore};

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
