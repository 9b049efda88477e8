//! Which engine carries this thread's waits: io_uring, or epoll where the kernel or a container forbids it.
//!
//! Chosen once per thread, before its runtime starts. Both keep the same promise to the rest of the data plane: a wait
//! ends when the descriptor is ready or when it is cancelled, and nothing of ours is in the kernel's hands after that.

use std::cell::Cell;

/// An I/O engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IoEngine {
    /// Plain Tokio on epoll: registers each descriptor, runs everywhere.
    Epoll,
    /// tokio-uring: waits are batched.
    #[default]
    Uring,
}

thread_local! {
    static CURRENT: Cell<IoEngine> = const { Cell::new(IoEngine::Uring) };
}

/// The engine of this thread.
pub(super) fn current() -> IoEngine {
    CURRENT.get()
}

pub(super) fn choose(engine: IoEngine) {
    CURRENT.set(engine);
}
