//! The flows now open on a shard, and the sweep over their deadlines.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use penstock_core::flow::FlowId;
use penstock_core::limits;
use slab::Slab;

use super::Clock;
use crate::flow::{FlowControl, Stop};
use crate::ring::Socket;

/// All flows of one shard, by slot.
pub(crate) struct FlowTable {
    shard: u16,
    clock: Rc<Clock>,
    inner: RefCell<Inner>,
}

struct Inner {
    flows: Slab<Rc<FlowControl>>,
    generation: u32,
}

impl FlowTable {
    pub(crate) fn new(shard: u16, clock: Rc<Clock>) -> Self {
        Self { shard, clock, inner: RefCell::new(Inner { flows: Slab::new(), generation: 0 }) }
    }

    /// Gives the connection a place, or the socket back when the table is full.
    pub(crate) fn insert(&self, source: SocketAddr, downstream: Socket) -> Result<Rc<FlowControl>, Socket> {
        let mut inner = self.inner.borrow_mut();
        if inner.flows.len() >= limits::FLOWS_PER_SHARD_MAX + limits::REFUSALS_PER_SHARD_MAX {
            return Err(downstream);
        }
        inner.generation = inner.generation.wrapping_add(1);
        let generation = inner.generation;
        let entry = inner.flows.vacant_entry();
        let slot = u32::try_from(entry.key()).unwrap_or(u32::MAX);
        let id = FlowId { shard: self.shard, slot, generation };
        let control = Rc::new(FlowControl::new(id, source, Rc::new(downstream), Rc::clone(&self.clock)));
        entry.insert(Rc::clone(&control));
        Ok(control)
    }

    pub(crate) fn remove(&self, id: FlowId) {
        drop(self.inner.borrow_mut().flows.try_remove(id.slot as usize));
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.borrow().flows.len()
    }

    /// Stops the flows whose deadline has passed.
    pub(crate) fn reap(&self, now_ms: u64) {
        for (_, flow) in &self.inner.borrow().flows {
            flow.stop_if_late(now_ms);
        }
    }

    /// Tells every flow that the shard drains.
    pub(crate) fn drain(&self) {
        for (_, flow) in &self.inner.borrow().flows {
            flow.drain();
        }
    }

    /// Stops every flow.
    pub(crate) fn stop_all(&self, why: Stop) {
        for (_, flow) in &self.inner.borrow().flows {
            flow.stop(why);
        }
    }
}
