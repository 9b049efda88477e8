//! Opens the stores: the embedded one, and what the configuration puts in its place.

use std::path::Path;
use std::sync::Arc;

use super::etcd::EtcdStore;
use super::postgres::{PostgresStore, SharedStore};
use super::{
    AccessStore, Clock, ExportStore, NodeStore, PolicyStore, PresenceStore, Retention, SqliteStore, StoreError,
    TrailStore,
};
use crate::config::StoreSettings;

/// Each kind of thing with the store that keeps it.
pub(crate) struct Stores {
    pub(crate) policy: Arc<dyn PolicyStore>,
    pub(crate) events: Arc<dyn ExportStore>,
    pub(crate) access: Arc<dyn AccessStore>,
    pub(crate) nodes: Arc<dyn NodeStore>,
    pub(crate) trail: Arc<dyn TrailStore>,
    /// None where no other daemon shares policies with this one.
    pub(crate) presence: Option<Arc<dyn PresenceStore>>,
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
        let (policy, presence): (Arc<dyn PolicyStore>, Option<Arc<dyn PresenceStore>>) = match &settings.policy {
            Some(settings) => {
                let etcd = EtcdStore::open(settings)?;
                let presence = etcd.presence(settings);
                (Arc::new(etcd), Some(Arc::new(presence)))
            }
            None => (sqlite.clone(), None),
        };
        let Some(settings) = &settings.access else {
            let (access, nodes, trail) = (sqlite.clone(), sqlite.clone(), sqlite);
            return Ok(Self { policy, events, access, nodes, trail, presence });
        };
        let shared = Arc::new(SharedStore::open(settings, sqlite)?);
        let (access, nodes, trail) = (shared.clone(), shared.clone(), shared);
        Ok(Self { policy, events, access, nodes, trail, presence })
    }
}
