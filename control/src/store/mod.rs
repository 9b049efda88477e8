//! What control remembers: policy revisions, audit events, who may use the admin API, who did, and who belongs to the fleet.
//!
//! Traits say what a store must do; [`sqlite::SqliteStore`] is the embedded one, [`postgres::PostgresStore`] keeps the
//! audit events of a fleet, [`postgres::SharedStore`] its users and members, [`etcd::EtcdStore`] its policies. Owns durability and order, knows
//! nothing of HTTP, the link or the meaning of a policy. Called by `access`, `admin`, `publish` and `audit`.

mod access;
mod audit;
mod block;
mod denial;
mod error;
mod etcd;
mod export;
mod lean;
mod node;
mod policy;
mod postgres;
mod presence;
mod query;
mod record;
mod retention;
mod schema;
mod sequences;
mod sign_in;
mod spool;
mod sqlite;
mod stores;
mod trail;
mod values;
mod writer;

use std::future::Future;
use std::pin::Pin;

pub(crate) use access::{AccessStore, SessionRecord, TokenRecord, UserChange, UserOutcome, UserRecord};
pub(crate) use audit::{AuditStore, EventPage, EventQuery, IncomingEvent, Order, ReadEvent};
pub(crate) use denial::{DenialCount, DenialKey, DenialQuery};
pub use error::StoreError;
pub(crate) use export::{ExportStore, Progress};
pub(crate) use node::{CertificateRecord, JoinTokenRecord, NodeRecord, NodeStore};
pub(crate) use policy::{Addition, PolicyStore, Revision, RevisionSource};
pub(crate) use presence::{PresenceRecord, PresenceStore};
pub(crate) use retention::Retention;
pub(crate) use sqlite::{Clock, SqliteStore};
pub(crate) use stores::Stores;
pub(crate) use trail::{TrailEntry, TrailQuery, TrailStore};

/// What a store's method answers, as an object-safe future.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

#[cfg(test)]
mod tests;
