//! Coarse monotonic time: deadlines are compared with it, so that setting one costs a store.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Milliseconds since the shard started, as of the last tick of its reaper.
pub(crate) struct Clock {
    started: Instant,
    now_ms: Cell<u64>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), now_ms: Cell::new(0) }
    }

    pub(crate) const fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// Lets time pass that nobody waits for.
    #[cfg(test)]
    pub(crate) fn advance(&self, span: Duration) -> u64 {
        self.now_ms.set(self.now_ms.get() + span.as_millis() as u64);
        self.now_ms.get()
    }

    /// Called by the reaper, once per [`TICK`].
    pub(crate) fn tick(&self) -> u64 {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.now_ms.set(now_ms);
        now_ms
    }
}

/// Between two ticks; deadlines are late by this much at most.
pub(crate) const TICK: Duration = Duration::from_millis(100);
