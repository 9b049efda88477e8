//! Says when operations are due in an open loop.
//!
//! Tokio's timer counts milliseconds, so a thread of its own sleeps on the kernel's timer and hands out permits. Workers
//! take a permit, then the next number: its due time is fixed by the number, so an operation that had to wait for a free
//! worker counts that wait as latency (no coordinated omission).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// The running clock of an open loop.
pub(crate) struct Schedule {
    permits: Arc<Semaphore>,
    next: AtomicU64,
    times: Times,
}

/// Due times: the rate grows evenly from nothing over `ramp`, then stays.
#[derive(Clone, Copy, Debug)]
struct Times {
    start: Instant,
    ramp: Duration,
    /// Operations a second.
    rate: f64,
}

impl Schedule {
    /// Starts now.
    pub(crate) fn start(rate: f64, ramp: Duration) -> Self {
        let times = Times { start: Instant::now(), ramp, rate };
        let permits = Arc::new(Semaphore::new(0));
        let handed = Arc::clone(&permits);
        std::thread::spawn(move || {
            for number in 0.. {
                std::thread::sleep(times.due(number).saturating_duration_since(Instant::now()));
                if handed.is_closed() {
                    break;
                }
                handed.add_permits(1);
            }
        });
        Self { permits, next: AtomicU64::new(0), times }
    }

    /// Waits until some operation is due and answers when that was; none once the clock has stopped.
    pub(crate) async fn wait(&self) -> Option<Instant> {
        self.permits.acquire().await.ok()?.forget();
        Some(self.times.due(self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// Wakes everyone who waits; nothing is due any more.
    pub(crate) fn stop(&self) {
        self.permits.close();
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Times {
    /// When operation `number` is due. Within the ramp `rate * t^2 / (2 * ramp)` operations are due after `t`.
    fn due(&self, number: u64) -> Instant {
        let (ramp, number) = (self.ramp.as_secs_f64(), number as f64);
        let within = self.rate * ramp / 2.0;
        let seconds = if number < within {
            (2.0 * number * ramp / self.rate).sqrt()
        } else {
            ramp + (number - within) / self.rate
        };
        self.start + Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn operations_are_handed_out_in_order_and_no_earlier_than_due_until_the_stop() {
        let schedule = Schedule::start(1_000.0, Duration::from_millis(4));
        let mut before = schedule.times.start;
        for _ in 0..7 {
            let due = schedule.wait().await.unwrap();
            assert!(Instant::now() >= due && due >= before);
            before = due;
        }
        schedule.stop();
        assert_eq!(schedule.wait().await, None);
    }

    #[test]
    fn the_rate_grows_over_the_ramp_and_does_not_drift_after_it() {
        let start = Instant::now();
        let times = Times { start, ramp: Duration::from_secs(2), rate: 100.0 };
        let at = |number| (times.due(number) - start).as_secs_f64();
        // Half the rate on average while it grows: 100 in two seconds, 25 of them in the first.
        assert!((at(25) - 1.0).abs() < 1e-9 && (at(100) - 2.0).abs() < 1e-9);
        assert!((at(100 + 3_000_000) - 30_002.0).abs() < 1e-6);
        let steady = Times { ramp: Duration::ZERO, ..times };
        assert_eq!(steady.due(50) - start, Duration::from_millis(500));
    }
}
