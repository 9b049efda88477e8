//! The last-known-good copy: what control sent and every shard took, for a start without control.
//!
//! ```text
//! last-known-good/state: [SHA-256 of the rest][link.State as protobuf]      mode 0600; the issuer's key in it is sealed
//! ```
//!
//! The file is replaced whole, so a crash leaves the old one or the new one. Its time says when a control last confirmed it.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use penstock_link::State;
use prost::Message as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::private;

/// What control sent. Its key is wiped when it goes.
pub(super) struct Delivered(pub(super) State);

impl Delivered {
    /// Whether its key can be read by the signer alone.
    pub(super) fn is_sealed(&self) -> bool {
        self.0.issuer.as_ref().is_none_or(|issuer| issuer.key.is_empty())
    }

    /// Seals a key that came as it is, from a control or a copy of an older version; whether there was one. A key that
    /// cannot be sealed goes all the same.
    pub(super) fn seal(&mut self, sealing_key: &[u8]) -> bool {
        let Some(issuer) = self.0.issuer.as_mut().filter(|issuer| !issuer.key.is_empty()) else { return false };
        let key = Zeroizing::new(std::mem::take(&mut issuer.key));
        let certificate = issuer.chain.first().map_or(&[][..], Vec::as_slice);
        issuer.sealed_key = penstock_link::seal(sealing_key, certificate, &key).unwrap_or_default();
        true
    }
}

impl Drop for Delivered {
    fn drop(&mut self) {
        if let Some(issuer) = &mut self.0.issuer {
            issuer.key.zeroize();
        }
    }
}

/// The copy's place.
#[derive(Clone)]
pub(super) struct Kept {
    directory: PathBuf,
}

impl Kept {
    pub(super) fn new(state_directory: &Path) -> Self {
        Self { directory: state_directory.join("last-known-good") }
    }

    /// The copy; `None` when there is none. Blocks.
    pub(super) fn load(&self) -> Result<Option<Delivered>, KeptError> {
        let content = match fs::read(self.directory.join(FILE)) {
            Ok(content) => Zeroizing::new(content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(KeptError::Unreadable(error)),
        };
        let (sum, state) = content.split_at_checked(SUM_BYTES).ok_or(KeptError::Damaged)?;
        if digest(&SHA256, state).as_ref() != sum {
            return Err(KeptError::Damaged);
        }
        State::decode(state).map(|state| Some(Delivered(state))).map_err(|_| KeptError::Damaged)
    }

    /// Replaces the copy. Blocks.
    pub(super) fn save(&self, delivered: &Delivered) -> io::Result<()> {
        let state = Zeroizing::new(delivered.0.encode_to_vec());
        private::replace(&self.directory, FILE, &[digest(&SHA256, &state).as_ref(), &state])
    }

    /// When a control last said that the copy is what this node should have, Unix seconds: the file's own time. `None` when
    /// there is no copy. Blocks.
    pub(super) fn confirmed(&self) -> Option<i64> {
        let modified = fs::metadata(self.directory.join(FILE)).and_then(|metadata| metadata.modified()).ok()?;
        i64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
    }

    /// Notes that a control says so now. Blocks.
    pub(super) fn confirm(&self) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.directory.join(FILE))?.set_modified(SystemTime::now())
    }
}

/// Start and end of the kept issuer, as Unix seconds; `None` when none is kept. The error says why it cannot be read. Blocks.
pub(crate) fn kept_issuer(state_directory: &Path) -> Result<Option<(i64, i64)>, String> {
    let kept = Kept::new(state_directory).load().map_err(|error| error.to_string())?;
    Ok(kept.and_then(|kept| kept.0.issuer.as_ref().map(|issuer| (issuer.not_before, issuer.not_after))))
}

/// Why a copy that is there cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeptError {
    #[error("it is damaged")]
    Damaged,
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
}

const FILE: &str = "state";
/// SHA-256.
const SUM_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use penstock_link::Issuer;

    use super::*;

    fn delivered(epoch: u64) -> Delivered {
        let issuer = Issuer { serial: "0a".to_owned(), key: vec![7; 138], ..Issuer::default() };
        Delivered(State { epoch, policy: "# policy".to_owned(), issuer: Some(issuer) })
    }

    #[test]
    fn a_copy_reads_back_and_belongs_to_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::new(directory.path());
        assert!(kept.load().unwrap().is_none());
        for epoch in [1, 2] {
            kept.save(&delivered(epoch)).unwrap();
            assert_eq!(kept.load().unwrap().unwrap().0, delivered(epoch).0);
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&kept.directory), 0o700);
        assert_eq!(mode(&kept.directory.join(FILE)), 0o600);
    }

    #[test]
    fn damage_at_any_byte_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::new(directory.path());
        kept.save(&delivered(1)).unwrap();
        let path = kept.directory.join(FILE);
        let content = fs::read(&path).unwrap();
        for index in 0..content.len() {
            let mut damaged = content.clone();
            damaged[index] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert!(matches!(kept.load(), Err(KeptError::Damaged)), "byte {index}");
            fs::write(&path, &content[..index]).unwrap();
            assert!(matches!(kept.load(), Err(KeptError::Damaged)), "cut at {index}");
        }
    }

    #[test]
    fn it_is_told_when_the_copy_was_last_confirmed() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::new(directory.path());
        assert_eq!(kept.confirmed(), None);
        kept.save(&delivered(1)).unwrap();
        let file = fs::File::open(kept.directory.join(FILE)).unwrap();
        file.set_modified(UNIX_EPOCH + std::time::Duration::from_secs(1_000)).unwrap();
        assert_eq!(kept.confirmed(), Some(1_000));
        kept.confirm().unwrap();
        assert!(kept.confirmed().unwrap() > 1_000);
        assert_eq!(kept.load().unwrap().unwrap().0.epoch, 1);
    }

    #[test]
    fn a_crash_before_the_rename_leaves_the_old_copy() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::new(directory.path());
        kept.save(&delivered(1)).unwrap();
        fs::write(kept.directory.join("state.new"), "half of a new").unwrap();
        assert_eq!(kept.load().unwrap().unwrap().0.epoch, 1);
        kept.save(&delivered(2)).unwrap();
        assert_eq!(kept.load().unwrap().unwrap().0.epoch, 2);
    }
}
