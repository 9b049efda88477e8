//! The shard's end: a bounded queue that never blocks, and the bell that wakes the writer.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam::queue::ArrayQueue;
use penstock_core::audit::Event;
use penstock_core::limits::AUDIT_RING_EVENTS_MAX;

use crate::metrics::ShardCells;

/// One shard's way to the audit. The queue's slots are pointers, so an idle shard's costs 400 KiB.
pub(crate) struct AuditRing {
    queue: Arc<ArrayQueue<Box<Event>>>,
    bell: Arc<Bell>,
    cells: Arc<ShardCells>,
}

impl AuditRing {
    pub(super) fn new(bell: Arc<Bell>, cells: Arc<ShardCells>) -> Self {
        Self { queue: Arc::new(ArrayQueue::new(AUDIT_RING_EVENTS_MAX)), bell, cells }
    }

    /// Hands over an event; when the ring is full it is dropped and counted.
    pub(crate) fn record(&self, event: Event) {
        match self.queue.push(Box::new(event)) {
            Ok(()) => self.bell.ring(),
            Err(_full) => self.cells.audit_dropped.add((), 1),
        }
    }

    /// A ring without a writer.
    #[cfg(test)]
    pub(crate) fn detached(cells: Arc<ShardCells>) -> Self {
        Self::new(Arc::new(Bell::default()), cells)
    }

    /// The oldest event that nobody has taken.
    #[cfg(test)]
    pub(crate) fn take(&self) -> Option<Event> {
        self.queue.pop().map(|event| *event)
    }

    /// The writer's end.
    pub(super) fn queue(&self) -> Arc<ArrayQueue<Box<Event>>> {
        Arc::clone(&self.queue)
    }
}

/// Wakes the writer when it sleeps. While it is busy it looks by itself, and ringing costs no system call.
#[derive(Default)]
pub(super) struct Bell {
    asleep: AtomicBool,
    sleeper: OnceLock<Thread>,
}

impl Bell {
    /// Called after something was queued.
    pub(super) fn ring(&self) {
        // Pairs with the fence in `sleep`: either the sleeper sees what was queued, or it is seen asleep here.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::Relaxed)
            && let Some(sleeper) = self.sleeper.get()
        {
            sleeper.unpark();
        }
    }

    /// Sleeps on the calling thread, always the same one, until the bell rings or `longest` has passed; not at all when
    /// `is_idle` says that there is work.
    pub(super) fn sleep(&self, longest: Duration, is_idle: impl FnOnce() -> bool) {
        self.sleeper.get_or_init(std::thread::current);
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if is_idle() {
            std::thread::park_timeout(longest);
        }
        self.asleep.store(false, Ordering::Relaxed);
    }
}

/// Milliseconds since 1970, by the system's clock.
pub(crate) fn unix_now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> (AuditRing, Arc<ShardCells>) {
        let cells = Arc::new(ShardCells::new());
        (AuditRing::new(Arc::new(Bell::default()), Arc::clone(&cells)), cells)
    }

    #[test]
    fn a_full_ring_drops_the_newest_and_counts_it() {
        let (ring, cells) = ring();
        for flow in 0..AUDIT_RING_EVENTS_MAX + 3 {
            ring.record(Event { flow: flow.to_string(), ..Event::default() });
        }
        assert_eq!(cells.audit_dropped.value(()), 3);
        let queue = ring.queue();
        assert_eq!(queue.len(), AUDIT_RING_EVENTS_MAX);
        assert_eq!(queue.pop().unwrap().flow, "0", "the oldest stay");
    }

    #[test]
    fn the_bell_wakes_a_sleeper_every_time() {
        let bell = Arc::new(Bell::default());
        let queue = Arc::new(ArrayQueue::new(1));
        let (sleeper_bell, sleeper_queue) = (Arc::clone(&bell), Arc::clone(&queue));
        // Hangs for an hour when a ring goes unheard.
        let sleeper = std::thread::spawn(move || {
            for expected in 0..2_000 {
                while sleeper_queue.is_empty() {
                    sleeper_bell.sleep(Duration::from_secs(3_600), || sleeper_queue.is_empty());
                }
                assert_eq!(sleeper_queue.pop(), Some(expected));
            }
        });
        for number in 0..2_000 {
            while queue.push(number).is_err() {
                std::thread::yield_now();
            }
            bell.ring();
        }
        sleeper.join().unwrap();
    }
}
