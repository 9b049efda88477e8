//! The link to control, from the node's side.
//!
//! ```text
//!                 ┌─ session ── Attach ──▶ control          one stream while control answers; dials again for ever
//! background ─────┤     │ State
//! thread          ├─ installer ─▶ compile ─▶ mailboxes ─▶ all shards acknowledged ─▶ last-known-good on disk
//!                 └─ delivery ─── RecordAudit ──▶ control   reads the audit spool, moves its cursor
//! ```
//!
//! Owns when a snapshot counts as installed, and what is kept to start without control. Does not own what is in it
//! (`penstock_core::policy`, `tls`) nor the spool's files (`audit`). Started by `main`; shards hear of it by mailbox.

mod background;
mod backoff;
mod delivery;
mod installer;
mod kept;
mod orphans;
mod session;
mod start;
#[cfg(test)]
mod tests;

pub(crate) use background::Background;
pub(crate) use kept::kept_issuer;
#[cfg(test)]
pub(crate) use start::Link;
pub(crate) use start::{Settings, start};
