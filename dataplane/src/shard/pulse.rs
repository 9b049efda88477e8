//! A shard's pulse: proof for the watchdog that its loop still turns.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Beaten by the shard's reaper, felt by the watchdog.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    beats: AtomicU64,
    has_ended: AtomicBool,
}

impl Pulse {
    pub(super) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// The shard has drained; nothing more is expected of it.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Whether it has beaten since it was last felt with `seen`, which is brought up to date.
    pub(crate) fn is_alive(&self, seen: &mut u64) -> bool {
        let beats = self.beats.load(Ordering::Relaxed);
        let has_beaten = std::mem::replace(seen, beats) != beats;
        has_beaten || self.has_ended.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_stands_still_is_seen_and_one_that_has_drained_is_fine() {
        let (pulse, mut seen) = (Pulse::default(), 0);
        assert!(!pulse.is_alive(&mut seen), "it has not begun");
        pulse.beat();
        assert!(pulse.is_alive(&mut seen));
        assert!(!pulse.is_alive(&mut seen));
        pulse.end();
        assert!(pulse.is_alive(&mut seen));
    }
}
