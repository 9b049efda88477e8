//! Lines of JSON in a file that is closed and followed by another when it has become large.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use penstock_core::audit::Event;

use super::sink::SinkError;

/// Adds lines. Opened when the first event comes, and again when it was moved away.
pub(super) struct FileSink {
    path: PathBuf,
    rotate_bytes: u64,
    keep: u32,
}

impl FileSink {
    pub(super) const fn new(path: PathBuf, rotate_bytes: u64, keep: u32) -> Self {
        Self { path, rotate_bytes, keep }
    }

    /// Adds the events and waits for the disk.
    pub(super) fn deliver(&self, events: &[Event]) -> Result<(), SinkError> {
        self.add(events).map_err(|source| SinkError::File { path: self.path.clone(), source })
    }

    fn add(&self, events: &[Event]) -> io::Result<()> {
        let mut lines = Vec::new();
        for event in events {
            serde_json::to_writer(&mut lines, event)?;
            lines.push(b'\n');
        }
        let mut file = open(&self.path)?;
        let length = file.metadata()?.len();
        if length > 0 && length + lines.len() as u64 > self.rotate_bytes {
            drop(file);
            self.rotate()?;
            file = open(&self.path)?;
        }
        file.write_all(&lines)?;
        file.sync_data()
    }

    /// Each closed file gets the next number; the last one goes.
    fn rotate(&self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            move_if_there(&self.numbered(number), &self.numbered(number + 1))?;
        }
        if self.keep == 0 {
            return fs::remove_file(&self.path);
        }
        fs::rename(&self.path, self.numbered(1))
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}

/// Opens for adding. A line that a crash or a full disk cut short goes: its event comes again.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    let mut end = length;
    let mut block = [0; 4_096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let count = usize::try_from(end - start).unwrap_or(block.len());
        file.seek(SeekFrom::Start(start))?;
        let part = block.get_mut(..count).unwrap_or_default();
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            end = start + at as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(file)
}
