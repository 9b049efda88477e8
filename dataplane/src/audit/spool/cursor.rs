//! The cursor: what control has committed, and the name of this life of the spool.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// `cursor.json`, replaced whole. `boot` stays the same over restarts, because the sequence goes on; a spool whose
/// cursor is lost gets a new one, since its numbers may have been used already.
pub(super) struct Cursor {
    path: PathBuf,
    written: Written,
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
        let cursor = Self { path, written };
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

    /// Moves the cursor and saves it.
    pub(super) fn commit(&mut self, sequence: u64) -> io::Result<()> {
        self.written.committed = sequence;
        self.save()
    }

    /// Saves it as it is.
    pub(super) fn save(&self) -> io::Result<()> {
        let fresh = self.path.with_extension("json.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(&self.written)?)?;
        file.sync_data()?;
        fs::rename(&fresh, &self.path)
    }
}

/// 128 random bits in hex.
fn random_name() -> io::Result<String> {
    let mut bits = [0_u8; 16];
    getrandom::fill(&mut bits).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bits)))
}
