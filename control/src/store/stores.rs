//! Opens the stores: the embedded one, and what the configuration puts in its place.

use std::path::Path;
use std::sync::Arc;

use super::etcd::EtcdStore;
use super::postgres::{PostgresStore, SharedStore};
use super::{AccessStore, Clock, ExportStore, NodeStore, PolicyStore, Retention, SqliteStore, StoreError, TrailStore};
use crate::config::StoreSettings;

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
        let Some(settings) = &settings.access else {
            let (access, nodes, trail) = (sqlite.clone(), sqlite.clone(), sqlite);
            return Ok(Self { policy, events, access, nodes, trail });
        };
        let shared = Arc::new(SharedStore::open(settings, sqlite)?);
        let (access, nodes, trail) = (shared.clone(), shared.clone(), shared);
        Ok(Self { policy, events, access, nodes, trail })
    }
}
