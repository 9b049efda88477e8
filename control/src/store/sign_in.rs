//! Which events are sign-ins: a sign-in makes several requests, and the report has one row for it.
//!
//! A request that names a tenant, or that was refused or would have been, belongs to a sign-in; the first one of its flow,
//! application, tenant and outcome stands for it. What was seen before a restart is forgotten, which costs a row at worst.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use penstock_core::audit::{Event, Status};

/// Sign-ins whose further requests are recognised.
const REMEMBERED_MAX: usize = 65_536;

/// What was seen lately.
#[derive(Default)]
pub(super) struct SignIns {
    seen: HashSet<u64>,
    order: VecDeque<u64>,
    /// The last ones, seen in a transaction that may still fail.
    unsettled: usize,
}

impl SignIns {
    /// Whether the event, of one life of a node, is the first of a sign-in.
    pub(super) fn begins(&mut self, boot: &str, event: &Event) -> bool {
        let refused = [Status::Denied.label(), Status::WouldDeny.label()].contains(&event.status.as_str());
        if !refused && (event.target_tenant.is_none() || event.connector.is_none()) {
            return false;
        }
        let mut hasher = DefaultHasher::new();
        let Event { node, flow, application, target_tenant, status, code, .. } = event;
        (boot, node, flow, application, target_tenant, status, code).hash(&mut hasher);
        let key = hasher.finish();
        if !self.seen.insert(key) {
            return false;
        }
        self.order.push_back(key);
        self.unsettled += 1;
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }

    /// How many were seen since the last transaction.
    pub(super) const fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Forgets the last ones down to so many: their events were not recorded, and come again.
    pub(super) fn undo(&mut self, unsettled: usize) {
        while self.unsettled > unsettled {
            self.unsettled -= 1;
            if let Some(key) = self.order.pop_back() {
                self.seen.remove(&key);
            }
        }
    }

    /// The transaction is over: what was seen in it stays, or never was.
    pub(super) fn settle(&mut self, is_committed: bool) {
        if !is_committed {
            self.undo(0);
        }
        self.unsettled = 0;
    }
}
