//! How long to wait before dialling again: doubling, with jitter, so that nodes do not come back all at once.

use std::time::Duration;

use penstock_core::limits::{LINK_BACKOFF_MS_MAX, LINK_BACKOFF_MS_MIN};

/// Pauses between attempts.
pub(super) struct Backoff {
    next_ms: u64,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { next_ms: LINK_BACKOFF_MS_MIN }
    }

    /// The next pause: between half of the step and all of it.
    pub(super) fn pause(&mut self) -> Duration {
        self.step(getrandom::u64().unwrap_or(0))
    }

    /// Starts again with the shortest pause.
    pub(super) const fn reset(&mut self) {
        *self = Self::new();
    }

    fn step(&mut self, random: u64) -> Duration {
        let half = self.next_ms / 2;
        let pause = half + random % (self.next_ms - half + 1);
        self.next_ms = (self.next_ms * 2).min(LINK_BACKOFF_MS_MAX);
        Duration::from_millis(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_bound_and_start_again() {
        for random in [0, 1, 12_345, u64::MAX] {
            let mut backoff = Backoff::new();
            let mut step = LINK_BACKOFF_MS_MIN;
            for _ in 0..20 {
                let pause = u64::try_from(backoff.step(random).as_millis()).unwrap();
                assert!((step / 2..=step).contains(&pause), "{pause} of {step}");
                step = (step * 2).min(LINK_BACKOFF_MS_MAX);
            }
            backoff.reset();
            assert!(backoff.step(random) <= Duration::from_millis(LINK_BACKOFF_MS_MIN));
        }
    }
}
