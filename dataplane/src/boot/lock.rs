//! One data plane, or one supervisor with its data planes, per state directory. The kernel lets go of the lock when the
//! holder dies, however it dies, so there is no stale one.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::FlockOperation;

/// Takes the directory, making it if need be; it is free again when the file is dropped.
pub(crate) fn lock(state_directory: &Path) -> anyhow::Result<File> {
    let path = state_directory.join("lock");
    let told = || path.display().to_string();
    DirBuilder::new().recursive(true).mode(0o700).create(state_directory).with_context(told)?;
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let lock = open.with_context(told)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => anyhow::bail!(
            "{} is held by another data plane; stop it first, or use another state_directory",
            path.display()
        ),
        Err(error) => Err(error).with_context(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_the_next_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        assert!(lock(folder.path()).unwrap_err().to_string().contains("another data plane"));
        drop(first);
        lock(folder.path()).unwrap();
    }
}
