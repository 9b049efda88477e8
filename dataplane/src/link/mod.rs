//! The link to control, from the node's side.
//!
//! ```text
//!                 ┌─ session ── Attach ──▶ control          one stream while control answers; dials again for ever
//! background ─────┤     │ State
//! thread          ├─ installer ─▶ compile ─▶ mailboxes ─▶ all shards acknowledged ─▶ last-known-good on disk
//!                 └─ delivery ─── RecordAudit ──▶ control   reads the audit spool, moves its cursor
//! ```
//!
//! Control is on this machine, or there are several on others: `controls` knows which to dial, `identity` who this node is to
//! them, `join` how it came to be that.
//!
//! Owns when a snapshot counts as installed, and what is kept to start without control. Does not own what is in it
//! (`penstock_core::policy`, `tls`) nor the spool's files (`audit`). Started by `main`; shards hear of it by mailbox.

mod age;
mod background;
mod backoff;
mod controls;
mod delivery;
mod identity;
mod installer;
mod join;
mod kept;
mod orphans;
mod private;
mod session;
mod start;
#[cfg(test)]
mod tests;

pub(crate) use background::Background;
pub(crate) use identity::Identity;
pub(crate) use join::join;
pub(crate) use kept::kept_issuer;
#[cfg(test)]
pub(crate) use start::Link;
pub(crate) use start::{Settings, start};
