//! Pipes of a shard: borrowed by a spliced flow while bytes sit in them, and no longer.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use penstock_core::limits;

use crate::metrics::ShardCells;
use crate::ring::Pipe;

/// A bounded pool of empty pipes.
pub(crate) struct PipePool {
    idle: RefCell<Vec<Pipe>>,
    open: Cell<usize>,
    /// So many are large.
    large: usize,
    cells: Arc<ShardCells>,
}

impl PipePool {
    /// Of one of `shards` shards.
    pub(crate) fn new(cells: Arc<ShardCells>, shards: usize) -> Self {
        let large = (limits::LARGE_PIPES / shards.max(1)).max(1);
        Self { idle: RefCell::new(Vec::new()), open: Cell::new(0), large, cells }
    }

    /// An empty pipe; `None` when as many are in use as the shard may have, or the system refuses one.
    pub(crate) fn take(&self) -> Option<Pipe> {
        let pooled = self.idle.borrow_mut().pop();
        let pipe = match pooled {
            Some(pipe) => pipe,
            None if self.open.get() < limits::PIPES_PER_SHARD_MAX => {
                let is_large = self.open.get() < self.large;
                let pipe = Pipe::open(if is_large { limits::LARGE_PIPE_BYTES } else { limits::PIPE_BYTES }).ok()?;
                self.open.set(self.open.get() + 1);
                pipe
            }
            None => return None,
        };
        self.count();
        Some(pipe)
    }

    /// Takes an empty pipe back.
    pub(crate) fn give_back(&self, pipe: Pipe) {
        self.idle.borrow_mut().push(pipe);
        self.count();
    }

    /// Closes a pipe that still holds bytes: they belong to a flow that failed.
    pub(crate) fn discard(&self, pipe: Pipe) {
        drop(pipe);
        self.open.set(self.open.get().saturating_sub(1));
        self.count();
    }

    fn count(&self) {
        let in_use = self.open.get().saturating_sub(self.idle.borrow().len());
        self.cells.pipes_in_use.set((), in_use as u64);
    }
}
