//! Whose turn it is to read the listeners: when one process takes over from another both have the same sockets, and two
//! that read at once would tear a ClientHello of two datagrams apart.
//!
//! The kernel lets go of the lock when the last shard of a process has ended its reading, or the process has died.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FlockOperation;

/// A share in the process's turn; given up with the last one.
#[derive(Clone, Debug)]
pub(crate) struct Turn(Arc<File>);

impl Turn {
    /// Names the place where the processes of a state directory meet.
    pub(crate) fn of(state_directory: &Path) -> io::Result<Self> {
        let path = state_directory.join("quic.lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        Ok(Self(Arc::new(file)))
    }

    /// Takes the turn, where no other process has it; says whether this one has.
    pub(super) fn is_taken(&self) -> bool {
        rustix::fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_process_reads_when_every_shard_of_the_one_before_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let before = Turn::of(folder.path()).unwrap();
        let other_shard = before.clone();
        let next = Turn::of(folder.path()).unwrap();
        assert!(before.is_taken() && other_shard.is_taken());
        assert!(!next.is_taken());
        drop(before);
        assert!(!next.is_taken());
        drop(other_shard);
        assert!(next.is_taken());
    }
}
