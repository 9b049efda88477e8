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
