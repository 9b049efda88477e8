//! How a store fails.

use std::path::PathBuf;

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
    /// A server that keeps it cannot be reached, or refused.
    #[error("the store's server: {0}")]
    Away(String),
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
