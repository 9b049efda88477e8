//! Waiting for a condition. The limit is only there so that a broken product ends the test; nothing asserts on time.

use std::thread;
use std::time::{Duration, Instant};

/// Far beyond what any wait takes on a slow machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Calls `probe` until it answers, and panics with `what` when it never does.
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(LIMIT, probe).unwrap_or_else(|| panic!("waited {} s in vain: {what}", LIMIT.as_secs()))
}

/// Calls `probe` until it answers or `limit` has passed.
pub fn within<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = probe() {
            return Some(value);
        }
        if Instant::now() > end {
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
