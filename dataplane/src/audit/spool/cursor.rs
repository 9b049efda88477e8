//! The cursor: what control has committed, and the name of this life of the spool.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// `cursor.json`, replaced whole: what is there is on the disk before it gets its name, so it is never torn. `boot` stays the
/// same over restarts, because the sequence goes on; a spool whose cursor is lost gets a new one, since its numbers may have been
/// used already.
///
/// It is not saved for each batch, which would cost the disk as much as the batch: once a second while there are any, before a
/// segment goes, and at the end. A process that is killed leaves it a second behind. What comes after it is sent again under
/// the same numbers, which control knows to be repeats; and all of it is still there, since the events that control was ever
/// shown are on the disk, and no segment goes before the cursor stands behind it. So no number is given out twice either.
pub(super) struct Cursor {
    path: PathBuf,
    written: Written,
    /// `committed` as it was saved.
    saved: u64,
    saved_at: Instant,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    boot: String,
    committed: u64,
}

impl Cursor {
    /// Reads the cursor of `directory`, or makes one that precedes the first of the segments that are there.
    pub(super) fn open(directory: &Path, first_segment: Option<u64>) -> io::Result<Self> {
        let path = directory.join("cursor.json");
        let kept = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Written>(&bytes).ok());
        let is_new = kept.is_none();
        let committed = first_segment.map_or(0, |first| first.saturating_sub(1));
        let written = match kept {
            Some(written) => written,
            None => Written { boot: random_name()?, committed },
        };
        let saved = written.committed;
        let mut cursor = Self { path, written, saved, saved_at: Instant::now() };
        if is_new {
            cursor.save()?;
            File::open(directory)?.sync_all()?;
        }
        Ok(cursor)
    }

    pub(super) fn boot(&self) -> &str {
        &self.written.boot
    }

    pub(super) fn committed(&self) -> u64 {
        self.written.committed
    }

    /// Moves the cursor.
    pub(super) fn commit(&mut self, sequence: u64) {
        self.written.committed = sequence;
    }

    /// Whether it stands elsewhere than was saved.
    pub(super) fn is_ahead(&self) -> bool {
        self.written.committed != self.saved
    }

    /// Saves it unless that was done lately.
    pub(super) fn save_now_and_then(&mut self) -> io::Result<()> {
        if self.is_ahead() && self.saved_at.elapsed() >= SAVE_PERIOD { self.save() } else { Ok(()) }
    }

    /// Saves it as it is.
    pub(super) fn save(&mut self) -> io::Result<()> {
        let fresh = self.path.with_extension("json.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(&self.written)?)?;
        file.sync_data()?;
        fs::rename(&fresh, &self.path)?;
        self.saved = self.written.committed;
        self.saved_at = Instant::now();
        Ok(())
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        if self.is_ahead() {
            // When it fails, what control has is sent again.
            drop(self.save());
        }
    }
}

/// Between two times that a moving cursor is saved: what is sent again after a kill.
const SAVE_PERIOD: Duration = Duration::from_secs(1);

/// 128 random bits in hex.
fn random_name() -> io::Result<String> {
    let mut bits = [0_u8; 16];
    getrandom::fill(&mut bits).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bits)))
}
