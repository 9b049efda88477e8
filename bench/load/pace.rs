//! Says when operations are due in an open loop.
//!
//! Tokio's timer counts milliseconds, so a thread of its own sleeps on the kernel's timer and hands out permits. Workers
//! take a permit, then the next number: its due time is fixed by the number, so an operation that had to wait for a free
//! worker counts that wait as latency (no coordinated omission).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// The running clock of an open loop; stops its thread when dropped.
pub(crate) struct Schedule {
    permits: Arc<Semaphore>,
    stopped: Arc<AtomicBool>,
    start: Instant,
    interval: Duration,
}

impl Schedule {
    /// Starts now, one permit each `1 / rate` seconds, `count` in all, and then one for each of `workers`, so that none
    /// waits for an operation that will not come.
    pub(crate) fn start(rate: f64, count: u64, workers: u32) -> Self {
        let schedule = Self {
            permits: Arc::new(Semaphore::new(0)),
            stopped: Arc::default(),
            start: Instant::now(),
            interval: Duration::from_secs_f64(1.0 / rate),
        };
        let (permits, stopped) = (Arc::clone(&schedule.permits), Arc::clone(&schedule.stopped));
        let (start, interval) = (schedule.start, schedule.interval);
        std::thread::spawn(move || {
            for number in 0..count {
                let due = due(start, interval, number);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                permits.add_permits(1);
            }
            permits.add_permits(usize::try_from(workers).unwrap_or_default());
        });
        schedule
    }

    /// Waits until some operation is due.
    pub(crate) async fn wait(&self) {
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
    }

    /// When operation `number` is due.
    pub(crate) fn due(&self, number: u64) -> Instant {
        due(self.start, self.interval, number)
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

fn due(start: Instant, interval: Duration, number: u64) -> Instant {
    let nanoseconds = interval.as_nanos().saturating_mul(u128::from(number));
    start + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn as_many_permits_as_operations_are_handed_out_and_no_earlier_than_due() {
        let schedule = Schedule::start(1_000.0, 5, 2);
        for number in 0..5 {
            schedule.wait().await;
            assert!(Instant::now() >= schedule.due(number));
        }
        schedule.wait().await;
        schedule.wait().await;
        assert!(schedule.permits.try_acquire().is_err());
    }

    #[test]
    fn due_times_do_not_drift() {
        let start = Instant::now();
        let interval = Duration::from_nanos(333);
        assert_eq!(due(start, interval, 3_000_000) - start, Duration::from_nanos(999_000_000));
    }
}
