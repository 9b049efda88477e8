//! What benches may reach of this crate: the store of audit events.
//!
//! No part of the product, and no promise to anyone; `bench/benches/report.rs` is the only caller.

use std::path::Path;

use penstock_link::AuditBatch;

use crate::audit::read_batch;
use crate::store::{AuditStore as _, DenialKey, DenialQuery, EventQuery, Retention, SqliteStore, StoreError};

/// The embedded store.
pub struct EventStore(SqliteStore);

/// A filter: column and value.
pub type Filter = (&'static str, &'static str);

impl EventStore {
    /// Opens the file, and keeps as many events as the daemon does by default.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let events_max = penstock_core::limits::AUDIT_STORE_EVENTS_MAX;
        let retention = Retention { events_max, age_ms_max: None, bytes_max: None };
        Ok(Self(SqliteStore::open(path, retention, || 0)?))
    }

    /// Reads and records a batch as it comes over the link; answers when it is on the disk.
    pub async fn receive(&self, mut batch: AuditBatch) -> Result<usize, StoreError> {
        let events = read_batch(&mut batch, 0);
        self.0.record(batch.node, batch.boot, events).await
    }

    /// The newest hundred events (or sign-ins) that match; how many there were.
    pub async fn page(
        &self,
        since_ms: Option<u64>,
        until_ms: Option<u64>,
        filters: &[Filter],
        sign_ins: bool,
    ) -> Result<usize, StoreError> {
        let equals = filters.iter().map(|(column, value)| (*column, vec![(*value).to_owned()])).collect();
        let query = EventQuery { since_ms, until_ms, equals, sign_ins, count_max: 100, ..EventQuery::default() };
        Ok(self.0.events(query).await?.events.len())
    }

    /// Refusals of an interval by tenant; how many tenants there were.
    pub async fn denials(&self, since_ms: u64, until_ms: u64) -> Result<usize, StoreError> {
        let (by, since_ms, until_ms) = (DenialKey::TargetTenant, Some(since_ms), Some(until_ms));
        let query = DenialQuery { by, since_ms, until_ms, connector: None, count_max: 100 };
        Ok(self.0.denials(query).await?.len())
    }
}
