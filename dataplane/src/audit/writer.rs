//! The writer thread: moves events from the shards' rings to the spool.
//!
//! While events come it looks every 20 ms, so a busy shard never makes a system call for one; after a quiet second it
//! sleeps until a shard rings the bell.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;
use penstock_core::audit::{AUDIT_GAP, Event, Status, timestamp};
use penstock_core::limits::{AUDIT_SEGMENT_BYTES_MAX, AUDIT_SPOOL_BYTES_MAX};

use super::ring::{AuditRing, Bell, unix_now_ms};
use super::spool::{self, Append, Appender, Bounds, Mark, SpoolReader};
use crate::metrics::{ProcessCells, ShardCells};

/// The running writer; dropping it leaves the thread alone, [`Self::stop`] ends it.
pub(crate) struct AuditWriter {
    bell: Arc<Bell>,
    is_stopping: Arc<AtomicBool>,
    /// Answers whether all is written.
    thread: JoinHandle<bool>,
    mark: Mark,
}

impl AuditWriter {
    /// The process serves: should it die from here on, the record says that there is a gap.
    pub(crate) fn serves(&self) {
        if let Err(error) = self.mark.set() {
            tracing::warn!(%error, "should this process be killed, the audit will not say that events are missing");
        }
    }

    /// Writes what the rings hold and ends the thread; called when no shard records any more. Blocks for as long as the
    /// disk takes, and waits a little for one that is full.
    pub(crate) fn stop(self) {
        self.is_stopping.store(true, Ordering::Release);
        self.bell.ring();
        if matches!(self.thread.join(), Ok(true))
            && let Err(error) = self.mark.clear()
        {
            tracing::warn!(%error, "the audit will say that events are missing, and none are");
        }
    }
}

/// Opens the first free spool under `state_directory` and starts the writer; one ring for each of `shards`, in their order.
/// Events of the writer's own are `node`'s.
pub(crate) fn start(
    state_directory: &Path,
    node: &str,
    shards: &[Arc<ShardCells>],
    cells: Arc<ProcessCells>,
) -> io::Result<(Vec<AuditRing>, AuditWriter, SpoolReader)> {
    let (mut appender, reader) = open_free(state_directory, BOUNDS)?;
    // What cannot be written now is in the buffer, and the mark still stands.
    tell_once(&mut None, tell_gap(&mut appender, node).as_ref().err());
    let mark = appender.mark()?;
    let bell = Arc::new(Bell::default());
    let rings: Vec<_> = shards.iter().map(|shard| AuditRing::new(Arc::clone(&bell), Arc::clone(shard))).collect();
    let is_stopping = Arc::new(AtomicBool::new(false));
    let writer = Writer {
        queues: rings.iter().map(AuditRing::queue).collect(),
        bell: Arc::clone(&bell),
        is_stopping: Arc::clone(&is_stopping),
        buffered: u64::from(appender.was_cut_off()),
        appender,
        cells,
    };
    let thread = std::thread::Builder::new().name("penstock-audit".to_owned()).spawn(move || {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.run()));
        // Without it no event would reach the disk any more.
        ended.unwrap_or_else(|_told| std::process::abort())
    })?;
    Ok((rings, AuditWriter { bell, is_stopping, thread, mark }, reader))
}

/// A spool for this process alone: while one process drains and the next serves already, each has its own.
fn open_free(state_directory: &Path, bounds: Bounds) -> io::Result<(Appender, SpoolReader)> {
    let mut result = Err(io::ErrorKind::ResourceBusy.into());
    for number in 0..SPOOLS_MAX {
        result = spool::open(&directory(state_directory, number), bounds);
        if !matches!(&result, Err(error) if error.kind() == io::ErrorKind::ResourceBusy) {
            break;
        }
    }
    result
}

/// A spool whose process has ended, taken over to deliver what it has left.
pub(crate) struct Orphan {
    /// Whether an event was torn, and is lost.
    pub(crate) was_torn: bool,
    /// Holds the spool's lock.
    _appender: Appender,
}

/// Takes over spool `number` (below [`SPOOLS_MAX`]); `None` when it is in use or was never there. Blocks.
pub(crate) fn orphan(state_directory: &Path, node: &str, number: usize) -> io::Result<Option<(Orphan, SpoolReader)>> {
    let directory = directory(state_directory, number);
    if !directory.is_dir() {
        return Ok(None);
    }
    match spool::open(&directory, BOUNDS) {
        Ok((mut appender, reader)) => {
            tell_gap(&mut appender, node)?;
            Ok(Some((Orphan { was_torn: appender.was_torn(), _appender: appender }, reader)))
        }
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(None),
        Err(error) => Err(error),
    }
}

fn directory(state_directory: &Path, number: usize) -> PathBuf {
    state_directory.join(if number == 0 { "spool".to_owned() } else { format!("spool-{number}") })
}

/// The thread's state.
struct Writer {
    queues: Vec<Arc<ArrayQueue<Box<Event>>>>,
    bell: Arc<Bell>,
    is_stopping: Arc<AtomicBool>,
    appender: Appender,
    cells: Arc<ProcessCells>,
    /// Events in the appender's buffer.
    buffered: u64,
}

impl Writer {
    /// Until it is stopped; whether all is written then.
    fn run(mut self) -> bool {
        if self.appender.was_torn() {
            tracing::warn!("the audit spool ended in half an event: it is cut off and counted as lost");
            self.cells.audit_spool_dropped.add((), 1);
        }
        let mut quiet_rounds = 0;
        let mut failure = None;
        let mut give_up = None;
        loop {
            // Read before the rings are: what was recorded before `stop` is then written.
            let is_stopping = self.is_stopping.load(Ordering::Acquire);
            let moved = self.drain();
            tell_once(&mut failure, moved.as_ref().err());
            if is_stopping {
                let now = Instant::now();
                let is_over = now >= *give_up.get_or_insert(now + STOP_PATIENCE);
                if moved.is_ok() || is_over {
                    self.tell_lost();
                    return moved.is_ok();
                }
                std::thread::sleep(ROUND);
                continue;
            }
            quiet_rounds = if matches!(moved, Ok(0)) { quiet_rounds + 1 } else { 0 };
            if quiet_rounds < QUIET_ROUNDS {
                std::thread::sleep(ROUND);
                continue;
            }
            let Self { queues, bell, is_stopping, .. } = &self;
            bell.sleep(SLEEP_MAX, || {
                !is_stopping.load(Ordering::Acquire) && queues.iter().all(|queue| queue.is_empty())
            });
        }
    }

    /// Says what this process takes with it.
    fn tell_lost(&self) {
        let events = self.appender.buffered_events() + self.queues.iter().map(|queue| queue.len()).sum::<usize>();
        if events > 0 {
            tracing::error!(events, "audit events are lost: they could not be written before the end");
        }
    }

    /// Moves everything from the rings to the spool; how many events that were. Stops at the first error of the disk and
    /// leaves the rest in the rings.
    fn drain(&mut self) -> io::Result<u64> {
        self.flush()?;
        let mut moved = 0;
        for index in 0..self.queues.len() {
            // No more than were there at first: one busy shard does not starve the others.
            for _ in 0..self.queues[index].len() {
                let Some(event) = self.queues[index].pop() else { break };
                moved += 1;
                match self.appender.append(&event) {
                    Append::Buffered => self.buffered += 1,
                    Append::Dropped => self.cells.audit_spool_dropped.add((), 1),
                }
                if self.appender.buffered_bytes() >= WRITE_BYTES {
                    self.flush()?;
                }
            }
        }
        self.flush()?;
        Ok(moved)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.appender.flush()?;
        self.cells.audit_events.add((), std::mem::take(&mut self.buffered));
        Ok(())
    }
}

/// Where the process that had the spool before died, says in the record that events may be missing: those of its last moments,
/// and those of the flows that it had.
fn tell_gap(appender: &mut Appender, node: &str) -> io::Result<()> {
    if !appender.was_cut_off() {
        return Ok(());
    }
    let nobody = || "-".to_owned();
    appender.append(&Event {
        time: timestamp(unix_now_ms()),
        node: node.to_owned(),
        flow: nobody(),
        source: nobody(),
        status: Status::Fault.label().to_owned(),
        fault: Some(AUDIT_GAP.to_owned()),
        ..Event::default()
    });
    appender.flush()?;
    appender.mark()?.clear()
}

/// Says that the spool fails, or works again, when that changes.
fn tell_once(failure: &mut Option<io::ErrorKind>, error: Option<&io::Error>) {
    let kind = error.map(io::Error::kind);
    if kind == *failure {
        return;
    }
    match error {
        Some(error) => tracing::error!(%error, "audit events cannot be written; they wait in memory, then are dropped"),
        None => tracing::info!("audit events are written again"),
    }
    *failure = kind;
}

/// Spools of one state directory: of the data planes that drain, of one that serves and one that is about to.
pub(crate) const SPOOLS_MAX: usize = 16;
const BOUNDS: Bounds = Bounds { spool_bytes_max: AUDIT_SPOOL_BYTES_MAX, segment_bytes_max: AUDIT_SEGMENT_BYTES_MAX };
/// Pause between looks while events come.
const ROUND: Duration = Duration::from_millis(20);
/// Looks without an event after which the thread sleeps.
const QUIET_ROUNDS: u32 = 50;
/// Longest sleep; the bell ends it earlier.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// How long a process that ends waits for a disk that refuses.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that go to the file in one write.
const WRITE_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// Starts a writer, which writes nothing of its own accord; the faults that it found in the record.
    fn next(directory: &TempDir) -> (AuditWriter, Vec<Option<String>>) {
        let (_rings, writer, mut reader) =
            start(directory.path(), "gate-1", &[], Arc::new(ProcessCells::new())).unwrap();
        let mut faults = Vec::new();
        while let Some(batch) = reader.read().unwrap() {
            faults.extend(batch.events.iter().map(|(_, json)| serde_json::from_str::<Event>(json).unwrap().fault));
            reader.commit(batch.events.last().unwrap().0).unwrap();
        }
        (writer, faults)
    }

    /// What a killed process leaves: its lock is gone, and all else as it was.
    fn killed(directory: &TempDir) {
        let (appender, _reader) = open_free(directory.path(), BOUNDS).unwrap();
        appender.mark().unwrap().set().unwrap();
    }

    #[test]
    fn a_process_that_died_leaves_a_mark_in_the_record_once() {
        let directory = TempDir::new().unwrap();
        let gap = [Some(AUDIT_GAP.to_owned())];
        let (first, faults) = next(&directory);
        assert_eq!(faults, []);
        first.serves();
        first.stop();
        let (second, faults) = next(&directory);
        assert_eq!(faults, [], "it ended in order");
        second.stop();
        killed(&directory);
        let (third, faults) = next(&directory);
        assert_eq!(faults, gap);
        // Before it serves.
        third.stop();
        let (fourth, faults) = next(&directory);
        assert_eq!(faults, [], "told once");
        fourth.stop();
        killed(&directory);
        let (orphan, mut reader) = orphan(directory.path(), "gate-1", 0).unwrap().unwrap();
        assert!(reader.read().unwrap().unwrap().events[0].1.contains(AUDIT_GAP));
        drop(orphan);
        assert_eq!(next(&directory).1, gap, "not committed, so still there, and told once");
    }
}
