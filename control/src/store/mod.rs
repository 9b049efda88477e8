//! What control remembers: policy revisions, audit events, who may use the admin API, who did, and who belongs to the fleet.
//!
//! Traits say what a store must do; [`sqlite::SqliteStore`] is the embedded one, [`postgres::PostgresStore`] keeps the
//! audit events of a fleet, [`etcd::EtcdStore`] its policies. Owns durability and order, knows
//! nothing of HTTP, the link or the meaning of a policy. Called by `access`, `admin`, `publish` and `audit`.

mod access;
mod audit;
mod block;
mod denial;
mod error;
mod etcd;
mod export;
mod node;
mod policy;
mod postgres;
mod query;
mod retention;
mod schema;
mod sign_in;
mod sqlite;
mod trail;
mod writer;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use crate::config::StoreSettings;
pub(crate) use access::{AccessStore, SessionRecord, TokenRecord, UserChange, UserOutcome, UserRecord};
pub(crate) use audit::{AuditStore, EventPage, EventQuery, IncomingEvent, Order, ReadEvent};
pub(crate) use denial::{DenialCount, DenialKey, DenialQuery};
pub use error::StoreError;
use etcd::EtcdStore;
pub(crate) use export::{ExportStore, Progress};
pub(crate) use node::{JoinTokenRecord, NodeRecord, NodeStore};
pub(crate) use policy::{Addition, PolicyStore, Revision, RevisionSource};
use postgres::PostgresStore;
pub(crate) use retention::Retention;
pub(crate) use sqlite::{Clock, SqliteStore};
pub(crate) use trail::{TrailEntry, TrailQuery, TrailStore};

/// Each kind of thing with the store that keeps it.
pub(crate) struct Stores {
    pub(crate) policy: Arc<dyn PolicyStore>,
    pub(crate) events: Arc<dyn ExportStore>,
    pub(crate) access: Arc<dyn AccessStore>,
    pub(crate) nodes: Arc<dyn NodeStore>,
    pub(crate) trail: Arc<dyn TrailStore>,
}

impl Stores {
    /// Opens the database in the state directory, and what the configuration puts in its place. Within a runtime.
    pub(crate) fn open(
        path: &Path,
        settings: &StoreSettings,
        retention: Retention,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let sqlite = Arc::new(SqliteStore::open(path, retention, clock)?);
        let events: Arc<dyn ExportStore> = match &settings.events {
            Some(settings) => Arc::new(PostgresStore::open(settings, retention, clock)?),
            None => sqlite.clone(),
        };
        let policy: Arc<dyn PolicyStore> = match &settings.policy {
            Some(settings) => Arc::new(EtcdStore::open(settings)?),
            None => sqlite.clone(),
        };
        Ok(Self { policy, events, access: sqlite.clone(), nodes: sqlite.clone(), trail: sqlite })
    }
}

/// What a store's method answers, as an object-safe future.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

#[cfg(test)]
mod tests;
