//! Audit events: taking them in from data planes, and giving them out as JSON and CSV.
//!
//! Knows the event's meaning and nothing of HTTP or SQL. Called by `publish` (ingest) and `admin` (export).

mod export;
mod ingest;
mod mask;
pub mod moment;

pub(crate) use export::{csv_header, csv_line};
pub(crate) use ingest::read_batch;
pub(crate) use mask::mask;
