//! The reading end of the spool: batches in order, and removal of what control has committed.
//!
//! Every call may touch the disk and block; the delivering task makes them off its runtime's thread.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use penstock_core::limits::{AUDIT_BATCH_BYTES_MAX, AUDIT_BATCH_EVENTS_MAX};

use super::cursor::Cursor;
use super::progress::Progress;
use super::segment;

/// Events to send, in the order of their sequence numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Sequence number and JSON of each event; never empty.
    pub(crate) events: Vec<(u64, String)>,
    /// It has as many events or bytes as a batch may have: there is likely more.
    pub(crate) is_full: bool,
}

impl Batch {
    /// What is left when everything up to `sequence` is done with.
    pub(crate) fn after(mut self, sequence: u64) -> Option<Self> {
        self.events.retain(|(number, _json)| *number > sequence);
        if self.events.is_empty() { None } else { Some(self) }
    }
}

/// Reads events from the cursor on.
pub(crate) struct SpoolReader {
    directory: PathBuf,
    cursor: Cursor,
    progress: Arc<Progress>,
    /// Sequence number of the next event to read.
    next: u64,
    segment: Option<OpenSegment>,
    /// Segments before this one are gone.
    removed_before: u64,
    /// Segments before this one are on the disk whole.
    synced: u64,
    /// Last event that [`Self::sync`] has put on the disk.
    synced_through: u64,
    /// Lines that could not be read since the last [`Self::take_unreadable`].
    unreadable: u64,
}

/// What stood at the place where the reader was.
enum Found {
    /// No whole line is left in the segment.
    End,
    Events(Batch),
    /// Lines that are not wanted: read before, or unreadable.
    Skipped,
}

/// The segment that is being read.
struct OpenSegment {
    first: u64,
    file: File,
    /// Where the next unread line starts.
    offset: u64,
}

impl SpoolReader {
    pub(super) fn new(directory: &Path, cursor: Cursor, progress: Arc<Progress>) -> Self {
        let next = cursor.committed() + 1;
        Self {
            directory: directory.to_owned(),
            cursor,
            progress,
            next,
            segment: None,
            removed_before: 0,
            synced: 0,
            synced_through: 0,
            unreadable: 0,
        }
    }

    /// The name of this life of the spool.
    pub(crate) fn boot(&self) -> &str {
        self.cursor.boot()
    }

    /// The next events, synced to the disk; `None` when all that are written were read.
    pub(crate) fn read(&mut self) -> io::Result<Option<Batch>> {
        while self.next <= self.progress.appended() {
            if self.segment.is_none() && !self.open_segment()? {
                break;
            }
            match self.read_segment()? {
                Found::Events(batch) => return Ok(Some(batch)),
                Found::End if !self.leave_segment()? => break,
                Found::End | Found::Skipped => {}
            }
        }
        self.remove_committed()?;
        self.cursor.save_now_and_then()?;
        Ok(None)
    }

    /// Whether [`Self::read`] has the cursor to save, though there is nothing to read.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.cursor.is_ahead()
    }

    /// Notes that control has everything up to `sequence` and removes segments that are done with.
    pub(crate) fn commit(&mut self, sequence: u64) -> io::Result<()> {
        let sequence = sequence.min(self.next - 1);
        if sequence <= self.cursor.committed() {
            return Ok(());
        }
        self.cursor.commit(sequence);
        self.remove_committed()?;
        self.cursor.save_now_and_then()
    }

    /// Removes segments that control has all of, but not the one that is appended to. The cursor is saved before: without
    /// segments it alone knows which numbers were used.
    fn remove_committed(&mut self) -> io::Result<()> {
        let (active, committed) = (self.progress.active(), self.cursor.committed());
        if active <= self.removed_before {
            return Ok(());
        }
        let segments = segment::list(&self.directory)?;
        // All of the first one stands before the second one's first event.
        let done = segments.windows(2).filter(|pair| pair[1] <= committed + 1 && pair[0] < active).map(|pair| pair[0]);
        let mut done = done.peekable();
        let saved = if done.peek().is_some() { self.cursor.save() } else { Ok(()) };
        for first in done {
            // An open file would keep its room on the disk.
            self.segment.take_if(|open| open.first == first);
            let path = segment::path(&self.directory, first);
            let bytes = fs::metadata(&path)?.len();
            fs::remove_file(&path)?;
            self.progress.shrink(bytes);
        }
        if committed + 1 >= active {
            self.removed_before = active;
        }
        // A full disk may have had no room for the cursor before. Were it lost now, control would see repeats, and knows them.
        saved.or_else(|_full| self.cursor.save())
    }

    /// Puts on the disk everything that is written. For the time while nobody takes events: reading syncs as it goes.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        let (active, appended) = (self.progress.active(), self.progress.appended());
        if appended != self.synced_through {
            for first in segment::list(&self.directory)? {
                if first >= self.synced {
                    File::open(segment::path(&self.directory, first))?.sync_data()?;
                }
            }
            File::open(&self.directory)?.sync_all()?;
            (self.synced, self.synced_through) = (active, appended);
        }
        self.cursor.save_now_and_then()
    }

    /// Waits until there may be more to read. The future holds no borrow of the reader.
    pub(crate) fn grown(&self) -> impl Future<Output = ()> + Send + 'static {
        let progress = Arc::clone(&self.progress);
        async move { progress.grown().await }
    }

    /// How many lines could not be read since the last call: lost events.
    pub(crate) fn take_unreadable(&mut self) -> u64 {
        std::mem::take(&mut self.unreadable)
    }

    /// Opens the segment that holds the next event, or the first one behind a gap.
    fn open_segment(&mut self) -> io::Result<bool> {
        let segments = segment::list(&self.directory)?;
        let behind = segments.iter().rev().find(|first| **first <= self.next);
        let Some(first) = behind.or_else(|| segments.first()).copied() else {
            return Ok(false);
        };
        let file = File::open(segment::path(&self.directory, first))?;
        // The segment's name is on the disk before any of its events is sent.
        File::open(&self.directory)?.sync_all()?;
        self.segment = Some(OpenSegment { first, file, offset: 0 });
        Ok(true)
    }
    /// Reads lines until a batch is full, the segment ends, or what is written ends; syncs what it read.
    fn read_segment(&mut self) -> io::Result<Found> {
        let appended = self.progress.appended();
        let Some(open) = &mut self.segment else {
            return Ok(Found::End);
        };
        let bytes = read_at(&open.file, open.offset)?;
        let start = open.offset;
        let mut batch = Batch::default();
        for line in bytes.split_inclusive(|byte| *byte == b'\n').take_while(|line| line.ends_with(b"\n")) {
            match segment::parse(line) {
                Some((sequence, _json)) if sequence > appended => break,
                Some((sequence, json)) if sequence >= self.next => {
                    batch.events.push((sequence, json.to_owned()));
                    self.next = sequence + 1;
                }
                Some(_committed) => {}
                None => self.unreadable += 1,
            }
            open.offset += line.len() as u64;
            if batch.events.len() == AUDIT_BATCH_EVENTS_MAX {
                break;
            }
        }
        batch.is_full = batch.events.len() == AUDIT_BATCH_EVENTS_MAX || bytes.len() == AUDIT_BATCH_BYTES_MAX;
        if !batch.events.is_empty() {
            open.file.sync_data()?;
            return Ok(Found::Events(batch));
        }
        Ok(if open.offset == start { Found::End } else { Found::Skipped })
    }

    /// Goes on to the segment behind the open one, over whatever is missing between them; false when there is none.
    fn leave_segment(&mut self) -> io::Result<bool> {
        let Some(open) = &self.segment else {
            return Ok(false);
        };
        let segments = segment::list(&self.directory)?;
        let Some(following) = segments.into_iter().find(|first| *first > open.first) else {
            return Ok(false);
        };
        self.next = self.next.max(following);
        self.segment = None;
        Ok(true)
    }
}

/// At most a batch of bytes from `offset` on; fewer only at the end of the file. Takes no more memory than that.
fn read_at(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let left = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(AUDIT_BATCH_BYTES_MAX)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
