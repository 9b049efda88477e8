//! Coarse monotonic time: deadlines are compared with it, so that setting one costs a store.
//!
//! It stands still while the shard does. A shard that had no processor for seconds has bytes unread that came in time: whoever
//! is judged is judged by what the shard could have seen.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Milliseconds that the shard has run, as of the last tick of its reaper.
pub(crate) struct Clock {
    started: Instant,
    /// Since then, at the last tick.
    ticked_ms: Cell<u64>,
    now_ms: Cell<u64>,
}

/// What a tick finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) now_ms: u64,
    /// The shard comes late: flows are to have a turn before any of them is judged.
    pub(crate) is_late: bool,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), ticked_ms: Cell::new(0), now_ms: Cell::new(0) }
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
    pub(crate) fn tick(&self) -> Tick {
        self.tick_at(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn tick_at(&self, elapsed_ms: u64) -> Tick {
        let passed_ms = elapsed_ms.saturating_sub(self.ticked_ms.replace(elapsed_ms));
        let is_late = passed_ms > LATE_MS;
        self.now_ms.set(self.now_ms.get() + passed_ms.min(LATE_MS));
        Tick { now_ms: self.now_ms.get(), is_late }
    }
}

/// Between two ticks; deadlines are late by this much at most.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// Between two ticks, from which on the shard has not been able to see what came.
const LATE_MS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_the_shard_did_not_have_is_nobodys_lateness() {
        let clock = Clock::new();
        assert_eq!(clock.tick_at(100), Tick { now_ms: 100, is_late: false });
        assert_eq!(clock.tick_at(1_050), Tick { now_ms: 1_050, is_late: false });
        assert_eq!(clock.tick_at(31_050), Tick { now_ms: 2_050, is_late: true });
        assert_eq!(clock.tick_at(31_150), Tick { now_ms: 2_150, is_late: false });
        // Late for ever, it goes on: deadlines come later, not never.
        for turn in 1..=10 {
            assert_eq!(clock.tick_at(31_150 + turn * 3_000), Tick { now_ms: 2_150 + turn * LATE_MS, is_late: true });
        }
    }
}
