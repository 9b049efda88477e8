//! Relaying one request for plain HTTP and its answer: both legs in the clear, the exchange between them.
//!
//! Two pumps, one per direction, as for an inspected flow; here neither has an engine, and both end with the answer. Then
//! the connections may serve another request, which is looked at before it goes anywhere.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, IoSlice};

use penstock_core::flow::{Direction, Fault, FaultKind, Leg, Phase, RelayPath};
use penstock_core::http::{EditFault, Gather};
use penstock_core::http1::Exchange;
use penstock_core::limits;
use penstock_core::proxy;
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::patience::{TOO_SLOW, Watch};
use crate::flow::{Flow, Requests, Stop};
use crate::ring::Socket;

/// One request on its way.
pub(crate) struct PlainRelay<'a> {
    flow: &'a Flow,
    upstream: &'a Socket,
    exchange: RefCell<Exchange>,
    /// For the audit, when the host is inspected.
    requests: RefCell<Option<Requests<'a>>>,
    /// Wakes the egress pump when it waits for the answer.
    answered: Notify,
    finished: Cell<bool>,
    /// The request's body, when the host is inspected.
    body: Watch,
    /// The origin does not read.
    is_held_up: Cell<bool>,
}

/// What is left of the connections when the answer has gone downstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Both may serve another request.
    Both,
    /// The client's alone: the origin's holds bytes that nobody asked for.
    Downstream,
    /// Neither.
    Nothing,
}

/// Why a pump ended before its time.
enum Broken {
    Fault(Fault),
    Refused(EditFault),
}

impl<'a> PlainRelay<'a> {
    pub(crate) fn new(
        flow: &'a Flow,
        upstream: &'a Socket,
        exchange: Exchange,
        requests: Option<Requests<'a>>,
    ) -> Self {
        Self {
            flow,
            upstream,
            exchange: RefCell::new(exchange),
            requests: RefCell::new(requests),
            answered: Notify::new(),
            finished: Cell::new(false),
            body: Watch::default(),
            is_held_up: Cell::new(false),
        }
    }

    /// Relays the request that `received` begins with, and its answer; what is left in `received` is the next request's.
    pub(crate) async fn run(self, received: &mut Vec<u8>) -> Result<Left, Fault> {
        self.touch();
        let egress = async {
            let ended = self.egress(received).await;
            if ended.is_err() {
                self.finish();
            }
            ended
        };
        let ingress = async {
            let ended = self.ingress().await;
            self.finish();
            ended
        };
        let (egress, ingress) = tokio::join!(egress, ingress);
        // Asked before the exchange is told that there will be no answer.
        let may_answer = self.exchange.borrow().may_answer();
        self.exchange.borrow_mut().handle_abort();
        self.record();
        match (egress, ingress) {
            (Ok(()), Ok(left)) => Ok(left),
            (Err(broken), _) | (Ok(()), Err(broken)) => Err(self.answer(self.explain(broken), may_answer).await),
        }
    }

    /// Ends both pumps; a wait on either leg is woken, and the connections stay open.
    fn finish(&self) {
        self.finished.set(true);
        self.flow.control.downstream.cancel();
        self.upstream.cancel();
        self.answered.notify_one();
    }

    async fn egress(&self, received: &mut Vec<u8>) -> Result<(), Broken> {
        let downstream = &*self.flow.control.downstream;
        loop {
            while !received.is_empty() {
                let (taken, rest) = self.offer(Direction::Egress, received)?;
                received.drain(..taken);
                if self.send(self.upstream, Leg::Upstream, &rest).await.is_err() {
                    // An origin that has answered already need not take the rest; the answer tells.
                    return Ok(());
                }
                if taken == 0 {
                    break;
                }
            }
            self.touch();
            if self.finished.get() {
                return Ok(());
            }
            if received.len() >= limits::INSPECT_BUFFER_BYTES_MAX {
                self.wait_for_answer().await?;
                continue;
            }
            self.wait(downstream, Leg::Downstream).await?;
            if self.finished.get() {
                return Ok(());
            }
            received.reserve(READ_BYTES);
            match downstream.try_recv_spare(received) {
                Ok(0) => return self.end_egress().await,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Err(fault(Leg::Downstream, FaultKind::ConnectionReset)),
            }
        }
    }

    /// The client sends no more; it may still wait for its answer.
    async fn end_egress(&self) -> Result<(), Broken> {
        let ended = self.exchange.borrow_mut().handle_egress_end();
        ended.map_err(Broken::Refused)?;
        if self.exchange.borrow().is_upgraded() {
            self.upstream.shutdown_write();
        }
        self.flow.control.set_deadline(self.flow.shard.config.deadlines.half_close);
        while !self.finished.get() {
            self.wait_for_answer().await?;
        }
        Ok(())
    }

    async fn ingress(&self) -> Result<Left, Broken> {
        let mut answer = Vec::new();
        loop {
            while !answer.is_empty() {
                let (taken, rest) = self.offer(Direction::Ingress, &answer)?;
                answer.drain(..taken);
                self.send(&self.flow.control.downstream, Leg::Downstream, &rest).await?;
                if taken == 0 {
                    break;
                }
            }
            self.touch();
            if let Some(left) = self.left(&answer) {
                return Ok(left);
            }
            if answer.len() >= limits::INSPECT_BUFFER_BYTES_MAX {
                return Err(fault(Leg::Upstream, FaultKind::TooLarge));
            }
            self.wait(self.upstream, Leg::Upstream).await?;
            if self.finished.get() {
                return Ok(Left::Nothing);
            }
            answer.reserve(READ_BYTES);
            match self.upstream.try_recv_spare(&mut answer) {
                Ok(0) => {
                    let ended = self.exchange.borrow_mut().handle_ingress_end();
                    return ended.map(|()| Left::Nothing).map_err(Broken::Refused);
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Err(fault(Leg::Upstream, FaultKind::ConnectionReset)),
            }
        }
    }

    /// What is left, once the answer is whole.
    fn left(&self, answer: &[u8]) -> Option<Left> {
        let exchange = self.exchange.borrow();
        if exchange.is_served() {
            return Some(if answer.is_empty() { Left::Both } else { Left::Downstream });
        }
        if exchange.is_upgraded() {
            // What the client sent behind its request may go on now.
            self.flow.control.downstream.cancel();
        }
        (exchange.is_idle() && exchange.must_close()).then_some(Left::Nothing)
    }

    /// The exchange takes what it can of `bytes`; its pieces are written as far as there is room, the rest comes back.
    fn offer(&self, direction: Direction, bytes: &[u8]) -> Result<(usize, Vec<u8>), Broken> {
        let to = match direction {
            Direction::Egress => self.upstream,
            Direction::Ingress => &*self.flow.control.downstream,
        };
        let mut exchange = self.exchange.borrow_mut();
        let mut gather = Gather::new();
        let taken = match direction {
            Direction::Egress => exchange.handle_egress(bytes, &mut gather),
            Direction::Ingress => exchange.handle_ingress(bytes, &mut gather),
        };
        let taken = taken.map_err(Broken::Refused)?;
        self.flow.shard.cells.relay_bytes.add((direction, RelayPath::Edit), gather.bytes() as u64);
        let rest = write(to, gather.pieces());
        drop(gather);
        drop(exchange);
        self.record();
        Ok((taken, rest))
    }

    async fn send(&self, to: &Socket, leg: Leg, mut rest: &[u8]) -> Result<(), Broken> {
        while !rest.is_empty() {
            match to.try_send(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.finished.get() {
                        return Ok(());
                    }
                    self.hold_up(leg, true);
                    let waited = self.flow.control.writable(to).await;
                    self.hold_up(leg, false);
                    waited.map_err(|stop| fault(leg, stop.kind()))?;
                }
                Err(_) => return Err(fault(leg, FaultKind::ConnectionReset)),
            }
        }
        Ok(())
    }

    /// `leg` does not read, or does again. Where it is the origin, the client owes nothing meanwhile.
    fn hold_up(&self, leg: Leg, is_held_up: bool) {
        if leg == Leg::Upstream {
            self.is_held_up.set(is_held_up);
            self.touch();
        }
    }

    async fn wait(&self, socket: &Socket, leg: Leg) -> Result<(), Broken> {
        self.flow.control.readable(socket).await.map_err(|stop| fault(leg, Stop::kind(stop)))
    }

    async fn wait_for_answer(&self) -> Result<(), Broken> {
        let waited = self.flow.control.notified(&self.answered).await;
        waited.map_err(|stop| fault(Leg::Downstream, stop.kind()))
    }

    /// Tells the client what went wrong, where that can still be told.
    async fn answer(&self, broken: Broken, may_answer: bool) -> Fault {
        let (status, reason, fault) = match broken {
            Broken::Fault(fault) if fault.leg == Leg::Upstream => {
                (if fault.kind == FaultKind::Deadline { 504 } else { 502 }, fault.kind.label(), fault)
            }
            Broken::Fault(fault) => return fault,
            Broken::Refused(refused) => {
                if let Some(requests) = &*self.requests.borrow() {
                    requests.refuse(refused);
                }
                (refused.status(), refused.label(), refused.fault())
            }
        };
        if may_answer {
            let answer = proxy::response(status, reason, &self.flow.control.id.to_string());
            if self.flow.control.downstream.try_send(&answer).is_ok() {
                self.flow.control.downstream.shutdown_write();
                crate::flow::linger(self.flow).await;
            }
        }
        fault
    }

    fn touch(&self) {
        let (control, deadlines) = (&self.flow.control, &self.flow.shard.config.deadlines);
        let is_watched = self.requests.borrow().is_some() && !self.is_held_up.get();
        let due = self.exchange.borrow().body_due().filter(|_| is_watched);
        let body = self.body.deadline_ms(due, control, deadlines.request_body);
        let rest = control.after(deadlines.idle);
        control.set_deadline_at(body.map_or(rest, |body| rest.min(body)));
    }

    /// A body that has not come in time is the client's fault, whichever wait it ended.
    fn explain(&self, broken: Broken) -> Broken {
        match broken {
            Broken::Fault(Fault { kind: FaultKind::Deadline, .. }) if self.body.is_late(self.flow.control.now_ms()) => {
                Broken::Fault(TOO_SLOW)
            }
            other => other,
        }
    }

    /// Hands what the exchange has seen to metrics and audit.
    fn record(&self) {
        let mut exchange = self.exchange.borrow_mut();
        let mut requests = self.requests.borrow_mut();
        while let Some(event) = exchange.poll_event() {
            if let Some(requests) = &mut *requests {
                requests.handle_event(event);
            }
        }
    }
}

/// Writes what there is room for at once, and gives back a copy of the rest.
fn write(to: &Socket, pieces: &[&[u8]]) -> Vec<u8> {
    let slices: SmallVec<[IoSlice<'_>; PIECES_MAX]> =
        pieces.iter().take(PIECES_MAX).map(|piece| IoSlice::new(piece)).collect();
    // An error shows again, with its meaning, when the rest is written.
    let mut taken = if slices.is_empty() { 0 } else { to.try_send_pieces(&slices).unwrap_or(0) };
    let mut rest = Vec::new();
    for piece in pieces {
        rest.extend_from_slice(piece.get(taken..).unwrap_or_default());
        taken = taken.saturating_sub(piece.len());
    }
    rest
}

const fn fault(leg: Leg, kind: FaultKind) -> Broken {
    Broken::Fault(Fault { leg, phase: Phase::Relay, kind })
}

const READ_BYTES: usize = 16 * 1024;
/// Pieces that one call writes; more are copied.
const PIECES_MAX: usize = 64;
