//! The appending end of the spool, owned by the writer thread.
//!
//! Lines gather in a buffer and go to the file in one write. When the disk refuses (full, broken) the buffer is kept,
//! a half-written line is cut off again, and the caller tries later: no torn line, nothing written twice. What did go in
//! whole counts, and the next try is in a segment of its own, so that the full one can go.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use penstock_core::audit::Event;
use penstock_core::limits::AUDIT_EVENT_BYTES_MAX;

use super::Bounds;
use super::progress::Progress;
use super::segment::{self, Tail};

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::audit) enum Append {
    /// It has a sequence number and stands in the buffer.
    Buffered,
    /// A bound was reached: the spool's, or that of one event.
    Dropped,
}

/// Gives out sequence numbers and writes segments.
pub(in crate::audit) struct Appender {
    directory: PathBuf,
    bounds: Bounds,
    progress: Arc<Progress>,
    file: File,
    /// Bytes of `file` that are whole lines.
    file_bytes: u64,
    /// Whether `file` may be longer than `file_bytes`.
    is_ragged: bool,
    /// Sequence number of the next event.
    next: u64,
    buffer: Vec<u8>,
    was_torn: bool,
    was_cut_off: bool,
    /// Keeps other processes out for as long as this one lives.
    lock: File,
}

/// Stands in a spool's lock while a process serves that writes to it: who finds it there later knows that the process died.
pub(in crate::audit) struct Mark(File);

impl Mark {
    /// From here on the process knows what is not written yet.
    pub(in crate::audit) fn set(&self) -> io::Result<()> {
        self.0.write_all_at(MARK, 0)
    }

    /// All is written.
    pub(in crate::audit) fn clear(&self) -> io::Result<()> {
        self.0.set_len(0)
    }
}

impl Appender {
    pub(super) fn open(
        directory: &Path,
        lock: File,
        bounds: Bounds,
        tail: Option<Tail>,
        committed: u64,
        progress: Arc<Progress>,
    ) -> io::Result<Self> {
        // The cursor may be ahead of the segments when these were lost: a number is never given out twice.
        let next = tail.map_or(1, |tail| tail.next).max(committed + 1);
        let first = tail.map_or(next, |tail| tail.first);
        let file = segment::open(directory, first)?;
        progress.set_active(first);
        progress.grow(next - 1, 0);
        Ok(Self {
            directory: directory.to_owned(),
            bounds,
            progress,
            file,
            file_bytes: tail.map_or(0, |tail| tail.bytes),
            is_ragged: false,
            next,
            buffer: Vec::new(),
            was_torn: tail.is_some_and(|tail| tail.was_torn),
            was_cut_off: lock.metadata()?.len() > 0,
            lock,
        })
    }

    /// Whether opening found and cut off a line that a crash had torn.
    pub(in crate::audit) fn was_torn(&self) -> bool {
        self.was_torn
    }

    /// Whether the process that had the spool before died, with what it had not written.
    pub(in crate::audit) fn was_cut_off(&self) -> bool {
        self.was_cut_off
    }

    /// The spool's mark.
    pub(in crate::audit) fn mark(&self) -> io::Result<Mark> {
        self.lock.try_clone().map(Mark)
    }

    /// Adds an event to the buffer.
    pub(in crate::audit) fn append(&mut self, event: &Event) -> Append {
        let start = self.buffer.len();
        let encoded = segment::encode(&mut self.buffer, self.next, event);
        let is_over = self.progress.bytes() + self.buffer.len() as u64 > self.bounds.spool_bytes_max;
        if encoded.is_err() || is_over || self.buffer.len() - start > AUDIT_EVENT_BYTES_MAX {
            self.buffer.truncate(start);
            return Append::Dropped;
        }
        self.next += 1;
        Append::Buffered
    }

    /// Bytes that wait for [`Self::flush`].
    pub(in crate::audit) fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Events that wait for [`Self::flush`].
    pub(in crate::audit) fn buffered_events(&self) -> usize {
        self.buffer.iter().filter(|byte| **byte == b'\n').count()
    }

    /// Writes what is buffered. After an error the same call may be made again, and no more should be appended.
    pub(in crate::audit) fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.trim()?;
        if let Err(error) = self.file.write_all(&self.buffer) {
            self.is_ragged = true;
            self.keep_whole_lines()?;
            // Best effort: when it fails too, the next flush begins with it.
            self.trim()?;
            // When the disk is full of our own events, room comes back by the file: it is removed once control has all of it.
            if self.file_bytes > 0 {
                self.rotate(self.progress.appended() + 1)?;
            }
            return Err(error);
        }
        let written = self.buffer.len() as u64;
        self.file_bytes += written;
        self.buffer.clear();
        self.progress.grow(self.next - 1, written);
        if self.file_bytes >= self.bounds.segment_bytes_max { self.rotate(self.next) } else { Ok(()) }
    }

    /// Counts what a failed write has put into the file as written, as far as it is whole lines: the rest of a nearly full disk
    /// is used too.
    fn keep_whole_lines(&mut self) -> io::Result<()> {
        let written = self.file.metadata()?.len().saturating_sub(self.file_bytes);
        let written = self.buffer.get(..usize::try_from(written).unwrap_or(usize::MAX)).unwrap_or_default();
        let Some(last) = written.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        let events = written.iter().filter(|byte| **byte == b'\n').count() as u64;
        let bytes = last as u64 + 1;
        self.buffer.drain(..=last);
        self.file_bytes += bytes;
        self.progress.grow(self.progress.appended() + events, bytes);
        Ok(())
    }

    /// Cuts off what a failed write has left behind the last whole line.
    fn trim(&mut self) -> io::Result<()> {
        if self.is_ragged {
            self.file.set_len(self.file_bytes)?;
            self.is_ragged = false;
        }
        Ok(())
    }

    /// Starts the segment whose first event is `first`. The finished one is synced by the reader before it is sent.
    fn rotate(&mut self, first: u64) -> io::Result<()> {
        self.file = segment::open(&self.directory, first)?;
        self.file_bytes = 0;
        self.progress.set_active(first);
        Ok(())
    }
}

const MARK: &[u8] = b"in use\n";

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};

    use super::*;
    use crate::audit::spool;

    #[test]
    fn a_disk_that_refuses_leaves_no_torn_line_and_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let bounds = Bounds { spool_bytes_max: 1 << 20, segment_bytes_max: 1 << 16 };
        let (mut appender, mut reader) = spool::open(directory.path(), bounds).unwrap();
        let path = segment::path(directory.path(), 1);
        let event = Event { flow: "a".to_owned(), ..Event::default() };
        appender.append(&event);
        appender.flush().unwrap();
        let whole = fs::read(&path).unwrap();

        // The write fails, and what it left behind cannot be cut off yet.
        let good = std::mem::replace(&mut appender.file, File::open(&path).unwrap());
        appender.append(&event);
        assert!(appender.flush().is_err());
        assert!(appender.flush().is_err());
        assert!(appender.buffered_bytes() > 0);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"sequence\":2,\"js").unwrap();

        appender.file = good;
        appender.flush().unwrap();
        let content = fs::read(&path).unwrap();
        assert!(
            content.starts_with(&whole) && content.len() == 2 * whole.len(),
            "{}",
            String::from_utf8_lossy(&content)
        );
        let sequences: Vec<u64> =
            reader.read().unwrap().unwrap().events.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(sequences, [1, 2]);
    }
}
