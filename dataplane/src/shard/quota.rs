//! How many flows may be open: in the process, and of one source on this shard; and to how many connections over these
//! limits the shard says so at the same time.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use penstock_core::flow::FaultKind;
use penstock_core::limits::REFUSALS_PER_SHARD_MAX;
use penstock_core::source::network;

use crate::config::FlowLimits;

/// The flows of all shards.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenFlows(Arc<AtomicUsize>);

/// The limits and what is used of them.
pub(crate) struct Quota {
    limits: FlowLimits,
    open: OpenFlows,
    /// Sources without a flow are not in it, so it has no more entries than the shard has flows.
    by_source: RefCell<HashMap<IpAddr, usize>>,
    refusals: Cell<usize>,
}

impl Quota {
    pub(crate) fn new(limits: FlowLimits, open: OpenFlows) -> Rc<Self> {
        Rc::new(Self { limits, open, by_source: RefCell::default(), refusals: Cell::new(0) })
    }

    /// A place among the flows of the process.
    pub(crate) fn enter(self: &Rc<Self>) -> Option<Ticket> {
        let ticket = Ticket { quota: Rc::clone(self), source: None };
        // Counted first: two shards never take the last place both.
        let before = self.open.0.fetch_add(1, Ordering::Relaxed);
        (before < self.limits.flows).then_some(ticket)
    }

    /// The right to say to a connection that it is refused.
    pub(crate) fn refuse(self: &Rc<Self>) -> Option<Refused> {
        if self.refusals.get() >= REFUSALS_PER_SHARD_MAX {
            return None;
        }
        self.refusals.set(self.refusals.get() + 1);
        Some(Refused { quota: Rc::clone(self) })
    }
}

/// A flow's place, given up when it is dropped.
pub(crate) struct Ticket {
    quota: Rc<Quota>,
    /// Whom the place is charged to, once that is known.
    source: Option<IpAddr>,
}

impl Ticket {
    /// Charges the place to the flow's source. One that has too many gets none, and the place is free again.
    pub(crate) fn charge(mut self, source: IpAddr) -> Result<Self, FaultKind> {
        let source = network(source);
        {
            let mut by_source = self.quota.by_source.borrow_mut();
            let count = by_source.entry(source).or_insert(0);
            if *count >= self.quota.limits.flows_per_source {
                return Err(FaultKind::SourceFull);
            }
            *count += 1;
        }
        self.source = Some(source);
        Ok(self)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.quota.open.0.fetch_sub(1, Ordering::Relaxed);
        let Some(source) = self.source else { return };
        let mut by_source = self.quota.by_source.borrow_mut();
        if let Some(count) = by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                by_source.remove(&source);
            }
        }
    }
}

/// A connection that is being told that it is refused.
pub(crate) struct Refused {
    quota: Rc<Quota>,
}

impl Drop for Refused {
    fn drop(&mut self) {
        self.quota.refusals.set(self.quota.refusals.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(flows: usize, flows_per_source: usize, open: &OpenFlows) -> Rc<Quota> {
        Quota::new(FlowLimits { flows, flows_per_source, memory_bytes: None }, open.clone())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_process_has_one_limit_over_all_shards() {
        let open = OpenFlows::default();
        let (one, other) = (quota(3, 3, &open), quota(3, 3, &open));
        let mut held = vec![one.enter().unwrap(), one.enter().unwrap(), other.enter().unwrap()];
        assert!(one.enter().is_none() && other.enter().is_none() && one.enter().is_none());
        held.pop();
        held.push(one.enter().unwrap());
        assert!(other.enter().is_none());
        held.clear();
        assert_eq!(open.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_source_over_its_limit_leaves_the_others_their_places() {
        let open = OpenFlows::default();
        let quota = quota(10, 2, &open);
        let charge = |source: &str| quota.enter().unwrap().charge(address(source));
        let held = [charge("10.0.0.1").unwrap(), charge("::ffff:10.0.0.1").unwrap()];
        for _ in 0..20 {
            assert_eq!(charge("10.0.0.1").err(), Some(FaultKind::SourceFull));
        }
        assert_eq!(open.0.load(Ordering::Relaxed), 2, "a refused one holds no place");
        let other = charge("10.0.0.2").unwrap();
        drop(held);
        assert!(charge("10.0.0.1").is_ok());
        drop(other);
        assert!(quota.by_source.borrow().is_empty(), "sources without a flow are forgotten");
    }

    #[test]
    fn addresses_of_one_host_are_one_source() {
        let quota = quota(10, 1, &OpenFlows::default());
        let charge = |source: &str| quota.enter().unwrap().charge(address(source));
        let _held = charge("2001:db8::1").unwrap();
        assert!(charge("2001:db8::ffff:ffff:ffff:2").is_err());
        assert!(charge("2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn refusals_are_bounded() {
        let quota = quota(1, 1, &OpenFlows::default());
        let mut held: Vec<_> = (0..REFUSALS_PER_SHARD_MAX).map(|_| quota.refuse().unwrap()).collect();
        assert!(quota.refuse().is_none());
        held.pop();
        assert!(quota.refuse().is_some());
    }
}
