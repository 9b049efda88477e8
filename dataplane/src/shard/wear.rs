//! Wear: after several panics in a minute nobody knows what state a shard is in, and the process is replaced.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use penstock_core::limits::{PANICS_PER_SHARD_MAX, PANICS_SPAN_MS};
use tokio::sync::Notify;

/// Told when a shard is worn out.
pub(crate) type Worn = Arc<Notify>;

/// The panics of one shard.
pub(crate) struct Wear {
    /// When they were, on the shard's clock; those of the last minute.
    panics_ms: RefCell<VecDeque<u64>>,
    worn: Worn,
}

impl Wear {
    pub(super) fn new(worn: Worn) -> Self {
        Self { panics_ms: RefCell::default(), worn }
    }

    /// Takes note of a panic.
    pub(crate) fn note(&self, now_ms: u64) {
        let mut panics_ms = self.panics_ms.borrow_mut();
        panics_ms.push_back(now_ms);
        panics_ms.retain(|then_ms| now_ms.saturating_sub(*then_ms) < PANICS_SPAN_MS);
        if panics_ms.len() >= PANICS_PER_SHARD_MAX {
            panics_ms.clear();
            self.worn.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn only_many_panics_within_a_minute_wear_a_shard_out() {
        let worn = Worn::default();
        let is_told = || {
            let told = std::pin::pin!(worn.notified());
            told.poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        let wear = Wear::new(Arc::clone(&worn));
        let many = PANICS_PER_SHARD_MAX as u64;
        (0..many * 3).for_each(|index| wear.note(index * PANICS_SPAN_MS / (many - 1)));
        assert!(!is_told());
        let later_ms = PANICS_SPAN_MS * 100;
        (0..many).for_each(|_| wear.note(later_ms));
        assert!(is_told());
        (1..many).for_each(|_| wear.note(later_ms));
        assert!(!is_told(), "it begins anew");
    }
}
