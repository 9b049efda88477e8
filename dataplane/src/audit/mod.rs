//! Audit events on their way out: a bounded ring per shard, one writer thread, a spool on disk.
//!
//! ```text
//! shard 0 ─ record ─▶ ring ─┐                                          ┌─▶ link ─▶ control
//! shard 1 ─ record ─▶ ring ─┴─▶ writer ─▶ spool/00000000000000000001.jsonl ─┘        │
//!                                         spool/cursor.json ◀──── committed ────────┘
//! ```
//!
//! Each process has a spool of its own (`spool`, `spool-1`, ...), since an old one may still drain when the next one serves;
//! what one leaves behind is delivered by those that come after it, behind an event that says so when it was killed.
//!
//! Owns sequence numbers and the files; does not own the event's schema (`penstock_core::audit`) nor delivery (`link`).
//! A leaf: any module may record. Recording never blocks; what is lost is counted.

mod ring;
mod spool;
mod writer;

pub(crate) use ring::{AuditRing, unix_now_ms};
pub(crate) use spool::{Batch, SpoolReader};
pub(crate) use writer::{AuditWriter, SPOOLS_MAX, orphan, start};
