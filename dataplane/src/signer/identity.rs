//! The signer's own key pair: what issuers' keys are sealed for, on the link and in the last-known-good copy.
//!
//! ```text
//! signer.key   [secret 32][public 32]   mode 0600, beside the last-known-good copy
//! ```
//!
//! It is in a file because a data plane must be able to start without control. Who loses the file loses no more than that:
//! a fresh pair is made, and control seals for that.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use penstock_link::{SEALING_KEY_BYTES, SealingPair};
use rustix::fs::FlockOperation;
use zeroize::Zeroizing;

/// The pair of `state_directory`, made at the first start. Signers of an old and a new data plane may ask at once.
pub(super) fn load(state_directory: &Path) -> anyhow::Result<SealingPair> {
    let path = state_directory.join(FILE);
    let told = || path.display().to_string();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&path).with_context(told)?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive).with_context(told)?;
    let mut content = Zeroizing::new(Vec::with_capacity(2 * SEALING_KEY_BYTES + 1));
    std::io::Read::by_ref(&mut file)
        .take(2 * SEALING_KEY_BYTES as u64 + 1)
        .read_to_end(&mut content)
        .with_context(told)?;
    if content.len() == 2 * SEALING_KEY_BYTES
        && let Some(pair) = SealingPair::from_bytes(&content)
    {
        return Ok(pair);
    }
    if !content.is_empty() {
        tracing::error!(path = told(), "the signer's key is damaged: a fresh one is made, for which control must seal");
    }
    let pair = SealingPair::generate().context("the system gives no random bytes")?;
    file.set_len(0).and_then(|()| file.rewind()).with_context(told)?;
    file.write_all(&pair.to_bytes()).and_then(|()| file.sync_all()).with_context(told)?;
    Ok(pair)
}

const FILE: &str = "signer.key";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_pair_stays_and_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let first = load(directory.path()).unwrap();
        assert_eq!(load(directory.path()).unwrap().public(), first.public());
        let mode = fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let first = load(directory.path()).unwrap();
        for damage in [&b"short"[..], &[7; 64], &[7; 4_096]] {
            fs::write(directory.path().join(FILE), damage).unwrap();
            let fresh = load(directory.path()).unwrap();
            assert_ne!(fresh.public(), first.public());
            assert_eq!(load(directory.path()).unwrap().public(), fresh.public());
        }
    }
}
