//! Relaying an inspected flow: plaintext goes through the exchange, which edits requests and reads answers.
//!
//! Two pumps, one per direction, share both engines and the exchange. Each pulls plaintext from its engine, offers it
//! to the exchange, and encrypts the pieces that come back for the other leg, before anything is awaited: order on the
//! wire is the order in which the exchange spoke. What the exchange has to say itself, to either leg, goes out right
//! behind. What it did not take yet stays in the pump's buffer, and an idle flow has none.
//!
//! ```text
//! downstream socket ─▶ engine ─▶ plain ─▶ Exchange::handle(egress)  ─▶ pieces ─▶ engine ─▶ upstream socket
//! downstream socket ◀─ engine ◀─ pieces ◀─ Exchange::handle(ingress) ◀─ plain ◀─ engine ◀─ upstream socket
//!                         ◀─ own frames ◀─ Exchange::poll_transmit   ─▶ own frames ─▶
//! ```

use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::pin::pin;

use penstock_core::flow::{Direction, Fault, FaultKind, Leg, Phase, RelayPath};
use penstock_core::http::{EditFault, Gather};
use penstock_core::limits;
use penstock_core::proxy;
use tokio::sync::Notify;

use super::exchange::Exchange;
use super::patience::{Patience, Waits};
use super::transport::Transport;
use crate::flow::{Flow, Requests, Stop};
use crate::metrics::Http;
use crate::tls::PlainRead;

/// Both legs of an inspected flow and what stands between them.
pub(crate) struct EditRelay<'a> {
    flow: &'a Flow,
    downstream: Transport<'a>,
    upstream: Transport<'a>,
    exchange: RefCell<Exchange>,
    requests: RefCell<Requests<'a>>,
    /// Wakes the egress pump when the exchange takes requests again.
    unblocked: Notify,
    finished: Cell<bool>,
    /// The direction whose pump met a refusal and says goodbye.
    refused: Cell<Option<Direction>>,
    /// The client sends no more; it may still wait for answers.
    egress_ended: Cell<bool>,
    /// The exchange knows that the shard drains.
    drained: Cell<bool>,
    patience: Patience,
}

/// How many bytes the exchange took.
type Offered = Result<usize, EditFault>;

/// What a pump does next.
enum Next {
    Again,
    End,
    Wait,
}

impl<'a> EditRelay<'a> {
    pub(crate) fn new(
        flow: &'a Flow,
        downstream: Transport<'a>,
        upstream: Transport<'a>,
        exchange: Exchange,
        requests: Requests<'a>,
    ) -> Self {
        Self {
            flow,
            downstream,
            upstream,
            exchange: RefCell::new(exchange),
            requests: RefCell::new(requests),
            unblocked: Notify::new(),
            finished: Cell::new(false),
            refused: Cell::new(None),
            egress_ended: Cell::new(false),
            drained: Cell::new(false),
            patience: Patience::default(),
        }
    }

    /// Relays until the exchange is over, and says goodbye on both legs.
    pub(crate) async fn run(self) -> Result<(), Fault> {
        self.touch();
        self.flow.control.wake_for_drain();
        let (egress, ingress) = tokio::join!(self.run_pump(Direction::Egress), self.run_pump(Direction::Ingress));
        self.exchange.borrow_mut().handle_abort();
        self.record();
        let finished = self.finished.get();
        match (egress, ingress) {
            _ if finished => Ok(()),
            // The half that was only told to stop is not the cause.
            (Err(Fault { kind: FaultKind::Closed, .. }), Err(cause)) | (Err(cause), _) | (Ok(()), Err(cause)) => {
                Err(self.explain(cause))
            }
            (Ok(()), Ok(())) => Ok(()),
        }
    }

    async fn run_pump(&self, direction: Direction) -> Result<(), Fault> {
        match self.pump(direction).await {
            // The other pump is saying goodbye, and is not to be disturbed.
            Err(_fault) if self.is_left_to_other(direction) => Ok(()),
            outcome => outcome.inspect_err(|_fault| self.stop()),
        }
    }

    /// Whether the pump of `direction` has nothing more to do: the exchange is over, or the other pump ends it.
    fn is_left_to_other(&self, direction: Direction) -> bool {
        self.finished.get() || self.refused.get().is_some_and(|refusing| refusing != direction)
    }

    /// Ends both pumps.
    fn stop(&self) {
        self.flow.control.stop(Stop::Aborted);
    }

    /// The exchange is over: goodbye on both legs, then both pumps end.
    async fn finish(&self) {
        self.finished.set(true);
        self.exchange.borrow_mut().handle_close();
        self.transmit();
        self.upstream.close(self.flow).await;
        self.downstream.close(self.flow).await;
        // What the client sent behind its last request is read and dropped: closing on it would send a reset, which may
        // overtake the answer.
        crate::flow::linger(self.flow).await;
        self.stop();
    }

    async fn pump(&self, direction: Direction) -> Result<(), Fault> {
        let (from, _) = self.legs(direction);
        let mut plain = Vec::new();
        let mut turns = 0_usize;
        loop {
            turns = turns.wrapping_add(1);
            // A leg that is faster than this core never has to be waited for.
            if turns.is_multiple_of(TURNS_MAX) {
                tokio::task::yield_now().await;
            }
            if self.is_left_to_other(direction) {
                return Ok(());
            }
            match self.turn(direction, &mut plain).await? {
                Next::Again => continue,
                Next::End => return Ok(()),
                Next::Wait => {}
            }
            if direction == Direction::Egress && self.exchange.borrow().egress_blocked() {
                self.flow.control.notified(&self.unblocked).await.map_err(|stop| fault(from.leg, stop.kind()))?;
                continue;
            }
            if plain.len() >= limits::INSPECT_BUFFER_BYTES_MAX {
                return Err(fault(from.leg, FaultKind::TooLarge));
            }
            if plain.is_empty() {
                plain = Vec::new();
            }
            if self.receive(direction).await? {
                return Ok(());
            }
        }
    }

    /// Waits for ciphertext and has it digested; whether the exchange was over instead.
    async fn receive(&self, direction: Direction) -> Result<bool, Fault> {
        let (from, _) = self.legs(direction);
        let fault = |kind| fault(from.leg, kind);
        loop {
            // Who says goodbye drops ciphertext that comes: what is left of it is no whole records.
            if self.is_left_to_other(direction) || self.drain().await? {
                return Ok(true);
            }
            if from.receive().map_err(fault)? {
                break;
            }
            self.flow.control.readable(from.socket).await.map_err(|stop| fault(stop.kind()))?;
        }
        from.process(self.flow).await.map_err(fault)?;
        from.flush(self.flow).await.map_err(fault)?;
        Ok(false)
    }

    /// Tells the exchange once that the shard drains; whether that was the end of it.
    async fn drain(&self) -> Result<bool, Fault> {
        if !self.flow.control.is_draining() || self.drained.replace(true) {
            return Ok(false);
        }
        self.exchange.borrow_mut().handle_drain();
        if self.transmit() {
            self.downstream.finish(self.flow).await.map_err(|kind| fault(Leg::Downstream, kind))?;
        }
        if self.is_over() {
            self.finish().await;
            return Ok(true);
        }
        Ok(false)
    }

    /// Pulls what the engine has decrypted, offers it to the exchange and writes what comes out.
    async fn turn(&self, direction: Direction, plain: &mut Vec<u8>) -> Result<Next, Fault> {
        let (from, to) = self.legs(direction);
        let (pulled, offered) = self.pull_and_offer(direction, plain);
        let answered = self.transmit();
        let taken = match offered {
            Ok(taken) => {
                self.write(to).await?;
                if answered {
                    self.write(from).await?;
                }
                taken
            }
            Err(refused) => {
                self.refused.set(Some(direction));
                self.record();
                self.refuse(refused).await;
                return Err(refused.fault());
            }
        };
        self.record();
        self.touch();
        if direction == Direction::Ingress {
            self.unblocked.notify_one();
        }
        if self.is_over() {
            self.finish().await;
            return Ok(Next::End);
        }
        match pulled {
            _ if taken > 0 => Ok(Next::Again),
            PlainRead::Bytes(_) => Ok(Next::Again),
            PlainRead::WouldBlock => Ok(Next::Wait),
            PlainRead::Closed | PlainRead::Truncated => {
                let clean = matches!(pulled, PlainRead::Closed);
                self.end(direction, clean, to).await?;
                Ok(Next::End)
            }
        }
    }

    /// Writes all that waits for `to`. While that one does not read, the side that it holds up owes nothing.
    async fn write(&self, to: &Transport<'_>) -> Result<(), Fault> {
        let mut finishing = pin!(to.finish(self.flow));
        let mut is_held_up = false;
        let finished = poll_fn(|context| {
            let polled = finishing.as_mut().poll(context);
            if polled.is_pending() && !std::mem::replace(&mut is_held_up, true) {
                self.touch();
            }
            polled
        });
        finished.await.map_err(|kind| fault(to.leg, kind))
    }

    /// Decrypts into the shard's scratch buffer and offers that, behind what waits in `plain` already; only what the
    /// exchange does not take is kept there.
    fn pull_and_offer(&self, direction: Direction, plain: &mut Vec<u8>) -> (PlainRead, Offered) {
        let (from, _) = self.legs(direction);
        let mut scratch = self.flow.shard.scratch.borrow_mut();
        let pulled = from.engine.borrow_mut().read_plain(&mut scratch);
        let count = if let PlainRead::Bytes(count) = pulled { count } else { 0 };
        let fresh = scratch.get(..count).unwrap_or_default();
        if plain.is_empty() {
            let offered = self.offer(direction, fresh);
            let taken = offered.as_ref().map_or(count, |taken| *taken);
            plain.extend_from_slice(fresh.get(taken..).unwrap_or_default());
            return (pulled, offered);
        }
        plain.extend_from_slice(fresh);
        let offered = self.offer(direction, plain);
        if let Ok(taken) = &offered {
            plain.drain(..*taken);
        }
        (pulled, offered)
    }

    /// The exchange takes what it can of `bytes`; its pieces are encrypted before anything is awaited.
    fn offer(&self, direction: Direction, bytes: &[u8]) -> Offered {
        if bytes.is_empty() {
            return Ok(0);
        }
        let (_, to) = self.legs(direction);
        let mut exchange = self.exchange.borrow_mut();
        let mut gather = Gather::new();
        let taken = exchange.handle(direction, bytes, &mut gather)?;
        self.flow.shard.cells.relay_bytes.add((direction, RelayPath::Edit), gather.bytes() as u64);
        if !gather.pieces().is_empty() {
            to.encrypt(gather.pieces());
        }
        Ok(taken)
    }

    /// Encrypts what the exchange itself has to say to either leg, behind what it let pass; whether there was any.
    fn transmit(&self) -> bool {
        let mut exchange = self.exchange.borrow_mut();
        let mut any = false;
        for direction in Direction::ALL {
            let (_, to) = self.legs(*direction);
            while let Some(bytes) = exchange.poll_transmit(*direction) {
                to.encrypt(&[&bytes]);
                any = true;
            }
        }
        any
    }

    /// Ends a connection whose request or answer is refused: over HTTP/2 with what the exchange has queued, over HTTP/1.1
    /// with an answer, when no other is on its way. Nothing of what was refused went on.
    async fn refuse(&self, refused: EditFault) {
        self.requests.borrow().refuse(refused);
        let version = self.exchange.borrow().version();
        if version == Http::One {
            if !self.exchange.borrow().may_answer() {
                return;
            }
            let answer = proxy::response(refused.status(), refused.label(), &self.flow.control.id.to_string());
            self.downstream.encrypt(&[answer.as_slice()]);
        }
        self.farewell(version).await;
    }

    /// Writes what waits for the client, for an origin that was told something too, and says goodbye to the client.
    async fn farewell(&self, version: Http) {
        self.flow.control.set_deadline(FAREWELL);
        if version == Http::Two && self.upstream.finish(self.flow).await.is_ok() {
            self.upstream.close(self.flow).await;
        }
        if self.downstream.finish(self.flow).await.is_ok() {
            self.downstream.close(self.flow).await;
            crate::flow::linger(self.flow).await;
        }
    }

    /// One leg will send no more.
    async fn end(&self, direction: Direction, clean: bool, to: &Transport<'_>) -> Result<(), Fault> {
        let ended = self.exchange.borrow_mut().handle_end(direction);
        self.record();
        if let Err(refused) = ended {
            self.refused.set(Some(direction));
            if self.transmit() {
                self.farewell(Http::Two).await;
            }
            return Err(refused.fault());
        }
        let upgraded = self.exchange.borrow().is_upgraded();
        match direction {
            Direction::Egress if upgraded => to.close(self.flow).await,
            // The answers that are still due go on to a client that has only ended its own side.
            Direction::Egress if !self.exchange.borrow().is_idle() => {
                self.egress_ended.set(true);
                self.touch();
            }
            Direction::Ingress if !clean => {
                // A stream cut short is passed on as one: no close_notify.
                self.finished.set(true);
                self.stop();
            }
            Direction::Egress | Direction::Ingress => self.finish().await,
        }
        Ok(())
    }

    /// Whether nothing more may or can follow on this connection.
    fn is_over(&self) -> bool {
        let exchange = self.exchange.borrow();
        exchange.is_idle() && (exchange.must_close() || self.egress_ended.get())
    }

    /// Something has happened: puts the deadline off as far as it may be.
    fn touch(&self) {
        let exchange = self.exchange.borrow();
        let waits = Waits {
            head: exchange.request_in_head(),
            body: exchange.body_due(),
            stall: exchange.stall(),
            half_closed: self.egress_ended.get(),
        };
        let deadlines = &self.flow.shard.config.deadlines;
        self.patience.touch(&self.flow.control, deadlines, &waits, [&self.downstream, &self.upstream]);
    }

    /// A deadline that has passed is the fault of the side that was to go on, where there is one.
    fn explain(&self, fault: Fault) -> Fault {
        let late = (fault.kind == FaultKind::Deadline)
            .then(|| self.patience.blame(self.flow.control.now_ms(), [&self.downstream, &self.upstream]));
        late.flatten().unwrap_or(fault)
    }

    /// Hands what the exchange has seen to metrics and audit.
    fn record(&self) {
        let mut exchange = self.exchange.borrow_mut();
        let mut requests = self.requests.borrow_mut();
        while let Some(event) = exchange.poll_event() {
            requests.handle_event(event);
        }
    }

    const fn legs(&self, direction: Direction) -> (&Transport<'a>, &Transport<'a>) {
        match direction {
            Direction::Egress => (&self.downstream, &self.upstream),
            Direction::Ingress => (&self.upstream, &self.downstream),
        }
    }
}

/// Turns of a pump, 32 KiB each at most, until the other flows of the shard get theirs.
const TURNS_MAX: usize = 32;
/// How long a leg that does not read is given to take its last words.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(2);

const fn fault(leg: Leg, kind: FaultKind) -> Fault {
    Fault { leg, phase: Phase::Relay, kind }
}
