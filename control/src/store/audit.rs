//! Audit events as the store takes and gives them.

use penstock_core::audit::Event;

use super::Answer;
use super::denial::{DenialCount, DenialQuery};

/// One event of a batch, as it came over the link.
#[derive(Clone, Debug)]
pub(crate) struct IncomingEvent {
    /// Grows within one life of a node's spool.
    pub(crate) sequence: u64,
    /// `core::audit::Event` as the node wrote it.
    pub(crate) json: String,
    /// The same, read; or why it cannot be read.
    pub(crate) event: Result<ReadEvent, String>,
}

/// An event that this version understands.
#[derive(Clone, Debug)]
pub(crate) struct ReadEvent {
    pub(crate) event: Event,
    /// `event.time` as Unix time, milliseconds.
    pub(crate) time_ms: u64,
}

/// Which way a query goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// In the order of recording: to follow what happens.
    OldestFirst,
    /// To read back from now.
    #[default]
    NewestFirst,
}

/// What events to give. Text filters compare whole values; several values of one filter mean any of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventQuery {
    /// Unix time, milliseconds, inclusive.
    pub(crate) since_ms: Option<u64>,
    /// Unix time, milliseconds, exclusive.
    pub(crate) until_ms: Option<u64>,
    /// Column name (one of [`super::values::FILTER_COLUMNS`]) and the values wanted.
    pub(crate) equals: Vec<(&'static str, Vec<String>)>,
    /// Only the first request of each sign-in.
    pub(crate) sign_ins: bool,
    /// Continue behind this event, in the direction of `order`.
    pub(crate) cursor: Option<u64>,
    pub(crate) order: Order,
    pub(crate) count_max: usize,
}

/// Answer to an [`EventQuery`].
#[derive(Clone, Debug, Default)]
pub(crate) struct EventPage {
    pub(crate) events: Vec<Event>,
    /// The cursor of each.
    pub(crate) cursors: Vec<u64>,
    /// Cursor of the first event given, when there were any.
    pub(crate) first: Option<u64>,
    /// Cursor of the last one.
    pub(crate) last: Option<u64>,
    /// More events match.
    pub(crate) more: bool,
}

impl EventPage {
    /// Adds an event as it was stored.
    pub(super) fn push(&mut self, id: u64, json: &str) {
        // What `record` stored was read once, so it can be read again unless it was altered by hand.
        match serde_json::from_str::<Event>(json) {
            Ok(event) => {
                self.events.push(event);
                self.cursors.push(id);
            }
            Err(error) => tracing::warn!(%error, "an event in the store cannot be read"),
        }
        self.last = Some(id);
        self.first = self.first.or(self.last);
    }
}

/// Keeps audit events.
pub(crate) trait AuditStore: Send + Sync {
    /// Commits a batch durably; events that are there already are left as they are. Answers how many were new.
    fn record(&self, node: String, boot: String, events: Vec<IncomingEvent>) -> Answer<'_, usize>;
    /// Events that match.
    fn events(&self, query: EventQuery) -> Answer<'_, EventPage>;
    /// Refused sign-ins, counted.
    fn denials(&self, query: DenialQuery) -> Answer<'_, Vec<DenialCount>>;
    /// Removes what has become too old. Answers at once; it is done when there is nothing else to do.
    fn tend(&self);
}
