//! The spool as a whole: whatever happens to the process, what was appended comes out in order until it is committed.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use penstock_core::audit::Event;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{Append, Appender, Bounds, SpoolReader, open, segment};

const SMALL: Bounds = Bounds { spool_bytes_max: 64 * 1024, segment_bytes_max: 2 * 1024 };

fn event(id: u64, path_bytes: usize) -> Event {
    Event { flow: id.to_string(), path: Some("/".repeat(path_bytes)), ..Event::default() }
}

fn id(json: &str) -> u64 {
    serde_json::from_str::<Event>(json).unwrap().flow.parse().unwrap()
}

/// Reads and commits everything; the ids in the order of their arrival.
fn drain(reader: &mut SpoolReader) -> Vec<u64> {
    let mut ids = Vec::new();
    while let Some(batch) = reader.read().unwrap() {
        ids.extend(batch.events.iter().map(|(_sequence, json)| id(json)));
        reader.commit(batch.events.last().unwrap().0).unwrap();
    }
    ids
}

fn append(appender: &mut Appender, ids: impl IntoIterator<Item = u64>) {
    for id in ids {
        assert_eq!(appender.append(&event(id, 10)), Append::Buffered);
    }
    appender.flush().unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    /// Events with paths of these lengths; the flag says whether they are flushed.
    Append(Vec<usize>, bool),
    /// Commits this share (of 100) of the events that were read last.
    Commit(u64),
    /// The process ends, or is killed, and starts again; this many bytes of a line that was being written are found.
    Crash(usize, End),
    Read,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Orderly,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::collection::vec(0_usize..600, 1..20), prop::bool::weighted(0.9))
            .prop_map(|(lengths, is_flushed)| Step::Append(lengths, is_flushed)),
        3 => (0_u64..=100).prop_map(Step::Commit),
        2 => (0_usize..80, prop_oneof![Just(End::Killed), Just(End::Orderly)])
            .prop_map(|(torn_bytes, end)| Step::Crash(torn_bytes, end)),
        4 => Just(Step::Read),
    ]
}

/// A spool beside what it should hold.
struct Model {
    directory: TempDir,
    spool: Option<(Appender, SpoolReader)>,
    /// Ids of the events that were flushed; the sequence number of the first is 1.
    flushed: Vec<u64>,
    /// Ids in the buffer.
    buffered: Vec<u64>,
    /// How many were committed, and how many read since the last start.
    committed: u64,
    read: u64,
    next_id: u64,
    boot: String,
}

impl Model {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let spool = open(directory.path(), SMALL).unwrap();
        let boot = spool.1.boot().to_owned();
        let (flushed, buffered) = (Vec::new(), Vec::new());
        Self { directory, spool: Some(spool), flushed, buffered, committed: 0, read: 0, next_id: 0, boot }
    }

    fn take(&mut self, step: Step) {
        let (appender, reader) = self.spool.as_mut().unwrap();
        match step {
            Step::Append(lengths, is_flushed) => {
                for length in lengths {
                    if appender.append(&event(self.next_id, length)) == Append::Buffered {
                        self.buffered.push(self.next_id);
                    }
                    self.next_id += 1;
                }
                if is_flushed {
                    appender.flush().unwrap();
                    self.flushed.append(&mut self.buffered);
                }
            }
            Step::Read => {
                let Some(batch) = reader.read().unwrap() else {
                    assert_eq!(self.read, self.flushed.len() as u64, "it says that nothing is left");
                    return;
                };
                for (sequence, json) in batch.events {
                    assert_eq!(sequence, self.read + 1);
                    self.read = sequence;
                    assert_eq!(id(&json), self.flushed[usize::try_from(sequence - 1).unwrap()]);
                }
            }
            Step::Commit(percent) => {
                let sequence = self.committed + (self.read - self.committed) * percent / 100;
                reader.commit(sequence).unwrap();
                self.committed = sequence;
            }
            Step::Crash(torn_bytes, end) => {
                self.end(end);
                self.buffered.clear();
                self.tear(torn_bytes);
                let spool = open(self.directory.path(), SMALL).unwrap();
                assert_eq!(spool.0.was_torn(), torn_bytes > 0);
                assert_eq!(spool.1.boot(), self.boot);
                self.spool = Some(spool);
                self.read = self.committed;
            }
        }
        self.check_bounds();
    }

    /// The cursor is where it was last saved: what control has since may come again, and nothing that it does not have is left out.
    fn end(&mut self, end: End) {
        let Some((_appender, reader)) = self.spool.take() else { return };
        match end {
            // Its last words are not said.
            End::Killed => std::mem::forget(reader),
            End::Orderly => drop(reader),
        }
        let cursor = fs::read(self.directory.path().join("cursor.json")).unwrap();
        let saved = serde_json::from_slice::<serde_json::Value>(&cursor).unwrap()["committed"].as_u64().unwrap();
        assert!(saved <= self.committed && (end == End::Killed || saved == self.committed), "{saved} is saved");
        self.committed = saved;
    }

    /// Leaves the beginning of a line at the end of the last segment.
    fn tear(&self, bytes: usize) {
        let mut line = Vec::new();
        segment::encode(&mut line, self.flushed.len() as u64 + 1, &event(u64::MAX, 100)).unwrap();
        let last = *segment::list(self.directory.path()).unwrap().last().unwrap();
        segment::open(self.directory.path(), last).unwrap().write_all(&line[..bytes]).unwrap();
    }

    fn check_bounds(&self) {
        let segments = segment::list(self.directory.path()).unwrap();
        let bytes = segment::bytes(self.directory.path(), &segments).unwrap();
        assert!(bytes <= SMALL.spool_bytes_max, "{bytes} bytes are spooled");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_uncommitted_is_lost_and_nothing_is_reordered(steps in prop::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in steps {
            model.take(step);
        }
        model.take(Step::Crash(0, End::Killed));
        let (_appender, mut reader) = model.spool.take().unwrap();
        let left = drain(&mut reader);
        prop_assert_eq!(&left[..], &model.flushed[usize::try_from(model.committed).unwrap()..]);
    }
}

#[test]
fn a_second_process_is_kept_out() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path(), SMALL).unwrap();
    let Err(error) = open(directory.path(), SMALL) else { panic!("opened twice") };
    assert_eq!(error.kind(), std::io::ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(first);
    assert!(open(directory.path(), SMALL).is_ok());
}

#[test]
fn a_full_spool_drops_the_newest_and_takes_more_when_control_has_committed() {
    let directory = tempfile::tempdir().unwrap();
    let (mut appender, mut reader) = open(directory.path(), SMALL).unwrap();
    let mut kept = 0;
    while appender.append(&event(kept, 10)) == Append::Buffered {
        appender.flush().unwrap();
        kept += 1;
    }
    assert_eq!(appender.append(&event(kept, 10)), Append::Dropped);
    assert_eq!(drain(&mut reader), (0..kept).collect::<Vec<_>>(), "the oldest stay");
    assert_eq!(segment::list(directory.path()).unwrap().len(), 1, "finished segments are removed");
    append(&mut appender, kept..kept + 20);
    assert_eq!(drain(&mut reader), (kept..kept + 20).collect::<Vec<_>>());
}

#[test]
fn an_event_over_its_bound_is_dropped_alone() {
    let directory = tempfile::tempdir().unwrap();
    let bounds = Bounds { spool_bytes_max: 1 << 30, segment_bytes_max: 1 << 20 };
    let (mut appender, mut reader) = open(directory.path(), bounds).unwrap();
    append(&mut appender, [0]);
    assert_eq!(appender.append(&event(1, 600 * 1024)), Append::Dropped);
    append(&mut appender, [2]);
    assert_eq!(drain(&mut reader), [0, 2]);
}

/// Two full segments and some of a third; the files' paths.
fn three_segments(directory: &Path) -> Vec<std::path::PathBuf> {
    let (mut appender, _reader) = open(directory, SMALL).unwrap();
    (0..40).for_each(|id| append(&mut appender, [id]));
    let segments = segment::list(directory).unwrap();
    assert!(segments.len() >= 3);
    segments.into_iter().map(|first| segment::path(directory, first)).collect()
}

#[test]
fn a_segment_that_is_gone_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let files = three_segments(directory.path());
    fs::remove_file(&files[1]).unwrap();
    let (mut appender, mut reader) = open(directory.path(), SMALL).unwrap();
    append(&mut appender, [40]);
    let left = drain(&mut reader);
    assert!(left.is_sorted() && left.len() > 2 && left.len() < 41);
    assert_eq!((left[0], left[left.len() - 1]), (0, 40));
}

#[test]
fn unreadable_lines_are_counted_and_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let files = three_segments(directory.path());
    let mut content = fs::read(&files[0]).unwrap();
    content[5] = b'!';
    fs::write(&files[0], &content).unwrap();
    // A finished segment that ends in half a line.
    let mut file = fs::OpenOptions::new().append(true).open(&files[1]).unwrap();
    file.write_all(b"{\"sequence\":").unwrap();
    let (_appender, mut reader) = open(directory.path(), SMALL).unwrap();
    assert_eq!(drain(&mut reader), (1..40).collect::<Vec<_>>());
    assert_eq!(reader.take_unreadable(), 1);
    assert_eq!(reader.take_unreadable(), 0);
}

#[test]
fn a_lost_cursor_starts_a_new_boot_and_sends_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let (mut appender, mut reader) = open(directory.path(), SMALL).unwrap();
    append(&mut appender, 0..5);
    let boot = reader.boot().to_owned();
    reader.read().unwrap();
    reader.commit(3).unwrap();
    drop((appender, reader));
    for damage in ["", "{", "{\"boot\":\"x\"}"] {
        fs::write(directory.path().join("cursor.json"), damage).unwrap();
        let (_appender, mut reader) = open(directory.path(), SMALL).unwrap();
        assert_ne!(reader.boot(), boot);
        assert_eq!(reader.read().unwrap().unwrap().events.len(), 5);
    }
}

#[test]
fn a_cursor_ahead_of_the_segments_is_not_overtaken() {
    let directory = tempfile::tempdir().unwrap();
    let (mut appender, mut reader) = open(directory.path(), SMALL).unwrap();
    append(&mut appender, 0..5);
    assert_eq!(drain(&mut reader).len(), 5);
    drop((appender, reader));
    for first in segment::list(directory.path()).unwrap() {
        fs::remove_file(segment::path(directory.path(), first)).unwrap();
    }
    let (mut appender, mut reader) = open(directory.path(), SMALL).unwrap();
    append(&mut appender, [5]);
    assert_eq!(reader.read().unwrap().unwrap().events[0].0, 6, "a number is never given out twice");
}

#[test]
fn files_belong_to_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("spool");
    let (mut appender, mut reader) = open(&directory, SMALL).unwrap();
    append(&mut appender, 0..5);
    reader.sync().unwrap();
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&directory).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
}
