//! What is told of an export: by the API, the metrics and `penstock exports`.

use std::sync::{Mutex, PoisonError};

use penstock_core::audit::timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::audit::moment;
use crate::config::{Destination, ExportSettings};

/// How an export is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Export)]
pub(crate) struct Status {
    pub(crate) name: String,
    /// `file`, `nats`, `syslog` or `otlp`.
    pub(crate) kind: &'static str,
    /// The file, or the peer.
    pub(crate) to: String,
    /// Whether names of people are masked.
    pub(crate) masked: bool,
    /// Delivered since the start.
    pub(crate) events: u64,
    /// Attempts that failed since the start.
    pub(crate) failures: u64,
    /// Never delivered, since the start: retention removed them first, or the sink refused them for good.
    pub(crate) lost: u64,
    /// Stored and not delivered yet.
    pub(crate) pending: u64,
    /// When the oldest of those happened; RFC 3339, UTC. Null while none waits.
    #[schema(required)]
    pub(crate) waits_since: Option<String>,
    /// Cursor of the last event that was taken; null before the first.
    #[schema(required)]
    pub(crate) cursor: Option<u64>,
    /// When events were last taken; RFC 3339, UTC.
    #[schema(required)]
    pub(crate) delivered: Option<String>,
    /// Why the last attempt failed; absent while all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) error: Option<String>,
}

/// The same, shared between its worker and those who ask.
pub(super) struct Shared(Mutex<Status>);

impl Shared {
    pub(super) fn new(settings: &ExportSettings) -> Self {
        let (kind, to) = match &settings.destination {
            Destination::File { path, .. } => ("file", path.display().to_string()),
            Destination::Nats(settings) => ("nats", settings.label()),
            Destination::Syslog(peer) => ("syslog", peer.label()),
            Destination::Otlp(collector) => ("otlp", collector.label()),
        };
        let status = Status { name: settings.name.clone(), kind, to, masked: !settings.personal, ..Status::default() };
        Self(Mutex::new(status))
    }

    pub(super) fn read(&self) -> Status {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many events wait, the first of them since when, and behind which.
    pub(super) fn waiting(&self, pending: u64, since: Option<String>, cursor: Option<u64>) {
        self.change(|status| {
            status.pending = pending;
            status.waits_since = since;
            status.cursor = cursor.or(status.cursor);
        });
    }

    pub(super) fn lost(&self, events: u64) {
        self.change(|status| status.lost += events);
    }

    /// The sink took what it was given, up to the event of that cursor.
    pub(super) fn delivered(&self, events: u64, cursor: u64) {
        self.change(|status| {
            status.events += events;
            status.pending = status.pending.saturating_sub(events);
            status.waits_since = None;
            status.cursor = Some(cursor);
            status.delivered = Some(timestamp(moment::now_ms()));
            status.error = None;
        });
    }

    /// Answers whether that is news.
    pub(super) fn failed(&self, error: String) -> bool {
        let mut is_news = false;
        self.change(|status| {
            status.failures += 1;
            is_news = status.error.as_ref() != Some(&error);
            status.error = Some(error);
        });
        is_news
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
