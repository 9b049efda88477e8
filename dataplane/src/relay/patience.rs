//! How long an inspected flow may wait, by what it waits for.
//!
//! Owns the deadlines of one relay. Bytes of either side put off the idle deadline alone: those of a request head and of a stall
//! stand until what they watch has moved on, that of a request's body too while nothing but the client holds it up. Long polls,
//! event streams and quiet WebSockets are idle, never stalled.

use std::cell::Cell;
use std::time::Duration;

use penstock_core::flow::{Fault, FaultKind, Leg, Phase};
use penstock_core::http::Stall;

use super::transport::Transport;
use crate::config::Deadlines;
use crate::flow::FlowControl;

/// The deadlines of one relay.
#[derive(Default)]
pub(super) struct Patience {
    /// A request head that has begun and not ended, by its number.
    head: Watch,
    /// A request's body that the client owes, by how much of all bodies has come.
    body: Watch,
    /// The exchange stands still in the middle of something, by what has moved on.
    stall: Watch,
    /// The side that is to go on.
    stalled: Cell<Option<Leg>>,
}

/// A deadline that begins when a mark appears, anew when it changes, and ends when it is gone.
#[derive(Default)]
pub(super) struct Watch {
    since: Cell<Option<(u64, u64)>>,
}

/// What the exchange waits for.
pub(super) struct Waits {
    pub(super) head: Option<u64>,
    pub(super) body: Option<u64>,
    pub(super) stall: Option<Stall>,
    /// The client sends no more.
    pub(super) half_closed: bool,
}

impl Patience {
    /// Something has happened on either leg: sets the earliest deadline of those that stand.
    pub(super) fn touch(&self, control: &FlowControl, deadlines: &Deadlines, waits: &Waits, legs: [&Transport<'_>; 2]) {
        let rest = control.after(if waits.half_closed { deadlines.half_close } else { deadlines.idle });
        let head = self.head.deadline_ms(waits.head, control, deadlines.request_head);
        let stall = self.stall.deadline_ms(waits.stall.map(|stall| stall.progress), control, deadlines.stall);
        // Whoever is not read, or waits for one who does not read, owes nothing meanwhile.
        let body = waits.body.filter(|_| legs.iter().all(|leg| leg.stalls_at_ms().is_none()));
        let body = self.body.deadline_ms(body, control, deadlines.request_body);
        self.stalled.set(waits.stall.map(|stall| stall.leg));
        let unread = legs.into_iter().filter_map(Transport::stalls_at_ms);
        control.set_deadline_at([head, body, stall].into_iter().flatten().chain(unread).fold(rest, u64::min));
    }

    /// Whose fault it is that a deadline has passed; `None` when nobody owed anything.
    pub(super) fn blame(&self, now_ms: u64, legs: [&Transport<'_>; 2]) -> Option<Fault> {
        let is_late = |deadline_ms: Option<u64>| deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms);
        let stalled = |leg| Fault { leg, phase: Phase::Relay, kind: FaultKind::Stalled };
        if let Some(unread) = legs.into_iter().find(|leg| is_late(leg.stalls_at_ms())) {
            return Some(stalled(unread.leg));
        }
        if is_late(self.head.standing_ms()) {
            return Some(Fault::downstream(Phase::Edit, FaultKind::Deadline));
        }
        if self.body.is_late(now_ms) {
            return Some(TOO_SLOW);
        }
        // Who does not read holds up the other side too.
        let unread = legs.into_iter().find(|leg| leg.stalls_at_ms().is_some()).map(|leg| leg.leg);
        self.stalled.get().filter(|_| is_late(self.stall.standing_ms())).map(|late| stalled(unread.unwrap_or(late)))
    }
}

/// A request's body has not come in time.
pub(super) const TOO_SLOW: Fault = Fault::downstream(Phase::Edit, FaultKind::TooSlow);

impl Watch {
    /// When what `mark` stands for must have moved on, if it is not `None`: `span` from its first sight.
    pub(super) fn deadline_ms(&self, mark: Option<u64>, control: &FlowControl, span: Duration) -> Option<u64> {
        let since = mark.map(|mark| match self.since.get() {
            Some((known, deadline_ms)) if known == mark => (mark, deadline_ms),
            _ => (mark, control.after(span)),
        });
        self.since.set(since);
        self.standing_ms()
    }

    pub(super) fn is_late(&self, now_ms: u64) -> bool {
        self.standing_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms)
    }

    fn standing_ms(&self) -> Option<u64> {
        self.since.get().map(|(_, deadline_ms)| deadline_ms)
    }
}
