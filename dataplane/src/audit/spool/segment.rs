//! Segment files: their names, their lines, and what is done to one that a crash has torn.
//!
//! ```text
//! {"sequence":41,"json":{"time":"2026-11-21T12:00:00.000Z",...}}\n
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use penstock_core::audit::Event;
use rustix::fs::FlockOperation;

/// What the last segment of a spool looks like once it is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// First sequence number of the segment: its name.
    pub(super) first: u64,
    /// The number after the last event.
    pub(super) next: u64,
    /// Length of the file.
    pub(super) bytes: u64,
    /// Whether a torn line was cut off.
    pub(super) was_torn: bool,
}

/// Makes the directory if need be and takes it for this process.
pub(super) fn lock(directory: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(directory.join("lock"))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(error) => {
            let reason = format!("{} is in use by another process ({error})", directory.display());
            Err(io::Error::new(io::ErrorKind::ResourceBusy, reason))
        }
    }
}

/// The segments of the spool by their first sequence numbers, ascending.
pub(super) fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let first = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).filter(|stem| stem.len() == NAME_DIGITS);
        firsts.extend(first.and_then(|stem| stem.parse::<u64>().ok()));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Bytes of all `segments`.
pub(super) fn bytes(directory: &Path, segments: &[u64]) -> io::Result<u64> {
    segments.iter().map(|first| Ok(fs::metadata(path(directory, *first))?.len())).sum()
}

/// The file of the segment that starts at `first`.
pub(super) fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:0NAME_DIGITS$}{SUFFIX}"))
}

/// Opens the segment that starts at `first` for appending, making it if need be.
pub(super) fn open(directory: &Path, first: u64) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path(directory, first))
}

/// Finds the end of the last whole event and cuts off what stands behind it. A bad line with good ones behind it stays:
/// the reader skips it.
pub(super) fn mend(directory: &Path, first: u64) -> io::Result<Tail> {
    let path = path(directory, first);
    let content = fs::read(&path)?;
    let mut tail = Tail { first, next: first, bytes: 0, was_torn: false };
    let mut end = 0;
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        end += line.len() as u64;
        // What the reader takes may have been sent: its number is never given again.
        if let Some((sequence, _json)) = parse(line)
            && sequence >= tail.next
        {
            tail.next = sequence + 1;
            tail.bytes = end;
        }
    }
    if end > tail.bytes {
        tail.was_torn = true;
        let file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(tail.bytes)?;
        file.sync_all()?;
    }
    Ok(tail)
}

/// Adds the line of `event` to `buffer`.
pub(super) fn encode(buffer: &mut Vec<u8>, sequence: u64, event: &Event) -> io::Result<()> {
    buffer.extend_from_slice(format!("{HEAD}{sequence}{MIDDLE}").as_bytes());
    serde_json::to_writer(&mut *buffer, event)?;
    buffer.extend_from_slice(b"}\n");
    Ok(())
}

/// Reads a line with its newline: sequence number and the event's JSON. `None` when it is not a whole one: what a crash or a bad
/// disk leaves within a line is mostly zeros, and JSON has no control characters. The JSON is not parsed here, which would cost
/// as much as all else that is done to send it: control reads it anyway, and keeps what it cannot read.
pub(super) fn parse(line: &[u8]) -> Option<(u64, &str)> {
    let line = str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (sequence, json) = line.strip_prefix(HEAD)?.strip_suffix('}')?.split_once(MIDDLE)?;
    if !json.starts_with('{') || !json.ends_with('}') || json.bytes().any(|byte| byte < b' ') {
        return None;
    }
    let sequence: u64 = sequence.parse().ok()?;
    (sequence < u64::MAX).then_some((sequence, json))
}

const HEAD: &str = "{\"sequence\":";
const MIDDLE: &str = ",\"json\":";
const SUFFIX: &str = ".jsonl";
/// Digits of the largest sequence number, so that names sort as numbers do.
const NAME_DIGITS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sequence: u64) -> Vec<u8> {
        let mut buffer = Vec::new();
        let event = Event { flow: "0-1-2".to_owned(), path: Some("/a\nb\"}".to_owned()), ..Event::default() };
        encode(&mut buffer, sequence, &event).unwrap();
        buffer
    }

    #[test]
    fn a_line_reads_back_and_none_of_its_prefixes_does() {
        let line = line(41);
        let (sequence, json) = parse(&line).unwrap();
        assert_eq!(sequence, 41);
        assert_eq!(serde_json::from_str::<Event>(json).unwrap().path.as_deref(), Some("/a\nb\"}"));
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        for end in 0..line.len() {
            assert_eq!(parse(&line[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn a_line_with_a_hole_or_without_its_middle_is_none() {
        let line = line(41);
        for start in 0..line.len() - 1 {
            let mut holed = line.clone();
            holed[start] = 0;
            assert_eq!(parse(&holed), None, "a zero at {start}");
        }
        let middle = line.windows(MIDDLE.len()).position(|part| part == MIDDLE.as_bytes()).unwrap();
        for lost in 1..line.len() - middle - MIDDLE.len() {
            let [head, rest] = [&line[..middle + MIDDLE.len()], &line[middle + MIDDLE.len() + lost..]];
            assert_eq!(parse(&[head, rest].concat()), None, "{lost} bytes are lost");
        }
    }

    #[test]
    fn a_torn_tail_is_cut_off_at_every_length() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (line(7), line(8));
        for end in 0..two.len() {
            fs::write(path(directory.path(), 7), [&one, &two[..end]].concat()).unwrap();
            let tail = mend(directory.path(), 7).unwrap();
            assert_eq!(tail, Tail { first: 7, next: 8, bytes: one.len() as u64, was_torn: end > 0 });
            assert_eq!(fs::read(path(directory.path(), 7)).unwrap(), one);
        }
    }

    #[test]
    fn a_hole_in_the_middle_costs_no_whole_line() {
        let directory = tempfile::tempdir().unwrap();
        let content = [line(7), vec![0; 100], b"\n".to_vec(), line(9)].concat();
        fs::write(path(directory.path(), 7), &content).unwrap();
        let tail = mend(directory.path(), 7).unwrap();
        assert_eq!(tail, Tail { first: 7, next: 10, bytes: content.len() as u64, was_torn: false });
    }

    #[test]
    fn the_number_of_a_line_that_may_have_been_sent_is_never_given_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut damaged = line(8);
        let colon = damaged.iter().rposition(|byte| *byte == b':').unwrap();
        damaged[colon] = b'7';
        let (_sequence, json) = parse(&damaged).unwrap();
        assert!(serde_json::from_str::<Event>(json).is_err());
        let content = [line(7), damaged].concat();
        fs::write(path(directory.path(), 7), &content).unwrap();
        let tail = mend(directory.path(), 7).unwrap();
        assert_eq!(tail, Tail { first: 7, next: 9, bytes: content.len() as u64, was_torn: false });
    }

    #[test]
    fn only_segments_are_listed() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["cursor.json", "7.jsonl", "lock", "00000000000000000030.jsonl", "00000000000000000007.jsonl"] {
            fs::write(directory.path().join(name), "x").unwrap();
        }
        assert_eq!(list(directory.path()).unwrap(), [7, 30]);
        assert_eq!(bytes(directory.path(), &[7, 30]).unwrap(), 2);
    }
}
