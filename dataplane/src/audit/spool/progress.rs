//! The numbers that the appending thread and the reading task share.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// What stands in the spool.
pub(super) struct Progress {
    /// Sequence number of the last event that is written whole.
    appended: AtomicU64,
    /// First sequence number of the segment that is being appended to.
    active: AtomicU64,
    /// Bytes of all segments.
    bytes: AtomicU64,
    grown: Notify,
}

impl Progress {
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            appended: AtomicU64::new(0),
            active: AtomicU64::new(0),
            bytes: AtomicU64::new(bytes),
            grown: Notify::new(),
        }
    }

    /// Says that everything up to `sequence` is written, in `bytes` more.
    pub(super) fn grow(&self, sequence: u64, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.appended.store(sequence, Ordering::Release);
        self.grown.notify_one();
    }

    /// Says that `bytes` were removed.
    pub(super) fn shrink(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Says that the segment of `first` is the one appended to; the one before may be removed when control has all of it.
    pub(super) fn set_active(&self, first: u64) {
        self.active.store(first, Ordering::Release);
        self.grown.notify_one();
    }

    pub(super) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    pub(super) fn active(&self) -> u64 {
        self.active.load(Ordering::Acquire)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Waits until something was appended, or a segment begun, since the last wait.
    pub(super) async fn grown(&self) {
        self.grown.notified().await;
    }
}
