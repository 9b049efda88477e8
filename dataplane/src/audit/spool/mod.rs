//! The spool: audit events on disk until control has committed them.
//!
//! Segments of about 8 MiB, named by their first sequence number, hold one JSON line per event; `cursor.json` holds the
//! last committed sequence number and the name of this life of the spool. One thread appends, one task reads; they
//! share four numbers.
//!
//! Durability: an event is written by `write(2)` within 20 ms, so it survives a killed process. It is on the disk
//! (`fdatasync`) before control sees it: were it sent first and then lost with the power, its sequence number would be
//! given out again and control would take the new event for a repeat of the old one. Events that control has not seen
//! are synced once a second by the delivering task, so a power cut loses a second at most.

mod append;
mod cursor;
mod progress;
mod read;
mod segment;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub(super) use append::{Append, Appender, Mark};
pub(crate) use read::{Batch, SpoolReader};

use cursor::Cursor;
use progress::Progress;

/// How much the spool may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// All segments together.
    pub(super) spool_bytes_max: u64,
    /// One segment; the last event may pass it.
    pub(super) segment_bytes_max: u64,
}

/// Opens or makes the spool in `directory`, mending what a crash has left.
pub(super) fn open(directory: &Path, bounds: Bounds) -> io::Result<(Appender, SpoolReader)> {
    let lock = segment::lock(directory)?;
    let segments = segment::list(directory)?;
    let tail = segments.last().map(|last| segment::mend(directory, *last)).transpose()?;
    let cursor = Cursor::open(directory, segments.first().copied())?;
    let progress = Arc::new(Progress::new(segment::bytes(directory, &segments)?));
    let appender = Appender::open(directory, lock, bounds, tail, cursor.committed(), Arc::clone(&progress))?;
    let reader = SpoolReader::new(directory, cursor, progress);
    Ok((appender, reader))
}
