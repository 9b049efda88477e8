//! One inspected HTTP/1.1 connection pair: plaintext of either leg in, pieces for the other leg out.
//!
//! Owns the state of both directions and nothing else: no socket, no buffer, no clock. Driven by the data plane.
//!
//! How to drive it: present what has come and was not taken yet, write the pieces, poll the events; call again while bytes
//! are taken. A fault comes alone, in a call that takes nothing, so all pieces of earlier calls are to be written.

use alloc::sync::Arc;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::egress::{Egress, Rules};
use super::ingress::Ingress;
use super::ledger::Ledger;
use crate::flow::{Direction, Leg};
use crate::http::authority::Origin;
use crate::http::event::Event;
use crate::http::fault::EditFault;
use crate::http::gather::Gather;
use crate::policy::HeaderEdit;
use crate::proxy::Authority;
use crate::sni::Sni;

/// An inspected HTTP/1.1 connection pair.
///
/// Every request that goes upstream carries each header of its [`HeaderEdit`] exactly once, with exactly the configured value,
/// and no other spelling of any restriction header. In report-only, requests and answers pass unchanged; what is no plain
/// HTTP/1.1 is refused all the same.
#[derive(Debug)]
pub struct Exchange {
    edit: Arc<HeaderEdit>,
    origin: Origin,
    /// Fields for the parent proxy that the requests go to; `None` when they go to the origin.
    parent: Option<Arc<Zeroizing<Vec<u8>>>>,
    egress: Egress,
    ingress: Ingress,
    ledger: Ledger,
    fault: Option<EditFault>,
}

impl Exchange {
    /// Begins a connection to `host`, the name of its ClientHello, on port 443.
    pub fn new(edit: Arc<HeaderEdit>, host: Sni) -> Self {
        Self::with_port(edit, host, HTTPS_PORT)
    }

    /// Begins a connection to `host` on `port`, which `Host` may then name.
    pub fn with_port(edit: Arc<HeaderEdit>, host: Sni, port: u16) -> Self {
        Self {
            edit,
            origin: Origin::new(host, port),
            parent: None,
            egress: Egress::default(),
            ingress: Ingress::default(),
            ledger: Ledger::default(),
            fault: None,
        }
    }

    /// Serves one request for plain HTTP to `authority`, in absolute form, and its answer: the caller looks at each request
    /// before it goes anywhere, so the next one is for the next exchange. The target becomes origin-form; what is between
    /// client and proxy goes, in any mode; restriction headers are set and removed when enforcing.
    pub fn plain(edit: Arc<HeaderEdit>, authority: Authority) -> Self {
        Self {
            edit,
            origin: Origin::plain(authority),
            parent: None,
            egress: Egress::default(),
            ingress: Ingress::default(),
            ledger: Ledger::of_one_request(),
            fault: None,
        }
    }

    /// The same through a parent proxy: the target stays in absolute form, and `fields`, whole lines that are the parent's
    /// alone, are added.
    pub fn through(mut self, fields: Arc<Zeroizing<Vec<u8>>>) -> Self {
        self.parent = Some(fields);
        self
    }

    /// Takes what it can of `input`, plaintext from downstream that was not taken yet, and appends to `out` what is to be
    /// written upstream. How many bytes it took.
    ///
    /// A head, and a line that announces a chunk, are taken when they are whole; a body's bytes as they come.
    pub fn handle_egress<'a>(&'a mut self, input: &'a [u8], out: &mut Gather<'a>) -> Result<usize, EditFault> {
        let Self { edit, origin, parent, egress, ledger, fault, .. } = self;
        let parent = parent.as_ref().map(|fields| fields.as_slice());
        if let Some(fault) = *fault {
            return Err(fault);
        }
        let (taken, outcome) = egress.run(input, out, &Rules { edit, origin, parent }, ledger);
        settle(fault, taken, outcome)
    }

    /// Takes what it can of `input`, plaintext from upstream that was not taken yet, and appends to `out` what is to be
    /// written downstream. How many bytes it took.
    pub fn handle_ingress<'a>(&'a mut self, input: &'a [u8], out: &mut Gather<'a>) -> Result<usize, EditFault> {
        let Self { edit, egress, ingress, ledger, fault, .. } = self;
        if let Some(fault) = *fault {
            return Err(fault);
        }
        let (taken, outcome) = ingress.run(input, out, edit, ledger, egress.is_in_body());
        settle(fault, taken, outcome)
    }

    /// Downstream sends no more.
    pub fn handle_egress_end(&mut self) -> Result<(), EditFault> {
        if self.ledger.is_upgraded() {
            return Ok(());
        }
        if self.egress.is_in_head() || self.egress.is_in_body() {
            return Err(*self.fault.get_or_insert(EditFault::RequestTruncated));
        }
        self.ledger.end_requests();
        Ok(())
    }

    /// Upstream sends no more; that is how a body without length ends.
    pub fn handle_ingress_end(&mut self) -> Result<(), EditFault> {
        if self.ledger.is_upgraded() {
            return Ok(());
        }
        self.ingress.end(&mut self.ledger).map_err(|fault| *self.fault.get_or_insert(fault))
    }

    /// The connection ends for a reason that is not of this object's: requests without a judged answer get their
    /// [`Event::Response`] now, with what is known.
    pub fn handle_abort(&mut self) {
        self.ingress.give_up(&mut self.ledger);
        self.ledger.close();
    }

    /// The flow is to end soon: no request is taken any more but one that has begun or is the first, and once the answers that are due have
    /// ended nothing may come. The head of the last one says so (`Connection: close`) if it has not gone by then; in
    /// report-only answers stay as they are. A WebSocket goes on.
    pub fn handle_drain(&mut self) {
        if !self.ledger.is_upgraded() {
            self.ledger.drain(self.egress.is_in_head());
        }
    }

    /// Bytes of the exchange's own for the leg that `direction` leads to: HTTP/1.1 has none.
    pub const fn poll_transmit(&mut self, _direction: Direction) -> Option<Vec<u8>> {
        None
    }

    /// What the audit is to be told next. To be polled after each call: events are kept until then.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.ledger.poll_event()
    }

    /// Whether no request is taken until an answer has ended: the queue is full, the last request may be answered by an
    /// upgrade, or it was the last.
    pub fn egress_blocked(&self) -> bool {
        !self.ledger.is_upgraded() && !self.egress.is_in_body() && !self.ledger.takes_requests()
    }

    /// Whether both directions are another protocol's since a 101, and pass unread.
    pub const fn is_upgraded(&self) -> bool {
        self.ledger.is_upgraded()
    }

    /// Whether no request waits for an answer, or for the end of one.
    pub fn is_idle(&self) -> bool {
        !self.ledger.is_upgraded() && self.ledger.waiting_count() == 0
    }

    /// Whether the one request of a plain exchange has its whole answer, and the connections live on.
    pub fn is_served(&self) -> bool {
        self.ledger.is_served() && self.fault.is_none()
    }

    /// Whether nothing more may come on this connection: to be closed once all pieces are written.
    pub const fn must_close(&self) -> bool {
        self.ledger.is_closing() || self.fault.is_some()
    }

    /// Which request's head has begun but not ended, by its number.
    pub fn request_in_head(&self) -> Option<u64> {
        self.egress.is_in_head().then(|| self.ledger.count())
    }

    /// How many portions of request content have come, while the client owes more of a body: it is too slow if this does not
    /// change for long. Nothing is owed to an origin that answers already, nor before its word where the client awaits it.
    pub fn body_due(&self) -> Option<u64> {
        let Self { egress, ingress, ledger, .. } = self;
        let is_answered = ledger.waiting_count() <= usize::from(ingress.is_in_answer());
        let is_held = egress.expects_continue() && !ledger.has_word_for_last();
        let is_due = egress.is_in_body() && !is_answered && !is_held && !ledger.is_upgraded();
        is_due.then(|| egress.portions())
    }

    /// Whether an answer made here would be read as what it is: the answer to the request that went wrong, or to the oldest
    /// that waits. Not after part of another answer, and not where it would be taken for the answer to an earlier request.
    pub fn may_answer(&self) -> bool {
        if self.ledger.is_upgraded() || self.ledger.is_closing() || self.ingress.is_in_answer() {
            return false;
        }
        let waiting_count = self.ledger.waiting_count();
        match self.fault.map(EditFault::leg) {
            Some(Leg::Downstream) => waiting_count == usize::from(self.egress.is_in_body()),
            Some(Leg::Upstream) => waiting_count > 0,
            None => true,
        }
    }
}

/// Keeps a fault for the next call when this one took something.
const fn settle(
    kept: &mut Option<EditFault>,
    taken: usize,
    outcome: Result<(), EditFault>,
) -> Result<usize, EditFault> {
    match outcome {
        Ok(()) => Ok(taken),
        Err(fault) => {
            *kept = Some(fault);
            if taken == 0 { Err(fault) } else { Ok(taken) }
        }
    }
}

const HTTPS_PORT: u16 = 443;
