//! Counters, gauges and histograms of the data plane, typed by closed label sets.
//!
//! Owns the cells and their reading; does not own names, units or buckets (`penstock_core::metrics`) nor the exporter
//! (control). A leaf: any module may count, nothing here calls back.

mod cell;
mod collect;
mod labels;
mod shard;

pub(crate) use collect::collect;
pub(crate) use labels::{CertificateKind, Http, Overlap, PolicyRefusal, Resumed};
pub(crate) use shard::{ProcessCells, ShardCells};
