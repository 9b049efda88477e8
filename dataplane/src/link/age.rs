//! How old the policy in force is: how long ago a control last said that it is the one to have.
//!
//! A node that is cut off goes on to serve under it, and says its age: here to its log, and to control as soon as it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::background::blocking;
use super::installer::{InForce, unix_now};
use super::kept::Kept;

/// See the module.
#[derive(Default)]
pub(super) struct PolicyAge {
    /// Unix seconds; 0: never.
    confirmed: AtomicI64,
    /// A control that is attached to has seen it installed.
    is_current: AtomicBool,
}

impl PolicyAge {
    /// A control says, or says no longer, that this node has what it should have.
    pub(super) fn set_current(&self, is_current: bool) {
        if self.is_current.swap(is_current, Ordering::Relaxed) || is_current {
            self.confirmed.store(unix_now(), Ordering::Relaxed);
        }
    }

    /// The policy in force is that of the last-known-good copy.
    pub(super) fn of_copy(&self, confirmed: i64) {
        self.confirmed.store(confirmed, Ordering::Relaxed);
    }

    /// Unix seconds; 0 when none ever did.
    pub(super) fn confirmed(&self) -> i64 {
        if self.is_current.load(Ordering::Relaxed) { unix_now() } else { self.confirmed.load(Ordering::Relaxed) }
    }

    /// Keeps the copy's time true, and tells the log while nobody confirms the policy: after a minute, two, four and so on.
    pub(super) async fn watch(self: Arc<Self>, kept: Kept, in_force: watch::Receiver<InForce>) {
        let mut tell_at = TELL_SECONDS;
        loop {
            tokio::time::sleep(PERIOD).await;
            if self.is_current.load(Ordering::Relaxed) {
                tell_at = TELL_SECONDS;
                self.set_current(true);
                let kept = kept.clone();
                // A copy that cannot be touched could not be written either, which the log has been told.
                drop(blocking(move || kept.confirm()).await);
                continue;
            }
            let (epoch, confirmed) = (in_force.borrow().epoch, self.confirmed());
            let age_seconds = unix_now().saturating_sub(confirmed);
            if confirmed != 0 && age_seconds >= tell_at {
                tell_at = age_seconds.saturating_mul(2);
                tracing::warn!(epoch, age_seconds, "no control confirms the policy in force; it stays");
            }
        }
    }
}

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(30);
/// Age at which the log is told for the first time.
const TELL_SECONDS: i64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_old_as_the_last_word_of_a_control() {
        let age = PolicyAge::default();
        assert_eq!(age.confirmed(), 0);
        age.of_copy(1_000);
        age.set_current(false);
        assert_eq!(age.confirmed(), 1_000, "a control that cannot be reached confirms nothing");
        age.set_current(true);
        age.of_copy(1_000);
        assert!(age.confirmed() > 1_000, "now, while it is attached");
        age.set_current(false);
        assert!(age.confirmed() > 1_000, "until it went away");
    }
}
