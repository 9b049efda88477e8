//! One inspected HTTP/2 connection pair: plaintext of either leg in, pieces for the other leg out.
//!
//! Owns the loop over what has come; the state is the connection's: no socket, no buffer, no clock. Driven by the data plane.
//!
//! How to drive it: present what has come and was not taken yet, write the pieces, then what [`Exchange::poll_transmit`] has
//! for either leg, and poll the events; call again while bytes are taken. A fault comes alone, in a call that takes nothing,
//! so all pieces of earlier calls are to be written; what is to be transmitted after a fault says goodbye.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::connection::Connection;
use super::egress::PREFACE;
use super::frame::{FrameHeader, Kind};
use super::pieces::Pieces;
use super::unit::{self, Unit};
use super::violation::{Violation, code};
use crate::flow::{Direction, Leg};
use crate::http::authority::Origin;
use crate::http::{EditFault, Event, Gather, Stall};
use crate::limits::HTTP2_STALL_BYTES;
use crate::policy::HeaderEdit;
use crate::sni::Sni;

/// An inspected HTTP/2 connection pair.
///
/// Every request that goes upstream carries each header of its [`HeaderEdit`] exactly once, with exactly the configured value,
/// and no other spelling of any restriction header. In report-only, requests and answers pass unchanged; what is no plain
/// HTTP/2 is refused all the same.
#[derive(Debug)]
pub struct Exchange {
    connection: Connection,
    egress_pieces: Pieces,
    ingress_pieces: Pieces,
    /// The client's preface has gone on.
    has_preface: bool,
    fault: Option<EditFault>,
}

impl Exchange {
    /// Begins a connection to `host`, the name of its ClientHello, on port 443.
    pub fn new(edit: Arc<HeaderEdit>, host: Sni) -> Self {
        Self::with_port(edit, host, HTTPS_PORT)
    }

    /// Begins a connection to `host` on `port`, which `:authority` may then name.
    pub fn with_port(edit: Arc<HeaderEdit>, host: Sni, port: u16) -> Self {
        Self {
            connection: Connection::new(edit, Origin::new(host, port)),
            egress_pieces: Pieces::default(),
            ingress_pieces: Pieces::default(),
            has_preface: false,
            fault: None,
        }
    }

    /// Takes what it can of `input`, plaintext from downstream that was not taken yet, and appends to `out` what is to be
    /// written upstream. How many bytes it took.
    ///
    /// A frame is taken when it is whole, a header block too; the payload of DATA as it comes.
    pub fn handle_egress<'a>(&'a mut self, input: &'a [u8], out: &mut Gather<'a>) -> Result<usize, EditFault> {
        let taken = self.run(Direction::Egress, input)?;
        self.egress_pieces.gather(input, self.connection.edit.http2_block(), out);
        Ok(taken)
    }

    /// Takes what it can of `input`, plaintext from upstream that was not taken yet, and appends to `out` what is to be
    /// written downstream. How many bytes it took.
    pub fn handle_ingress<'a>(&'a mut self, input: &'a [u8], out: &mut Gather<'a>) -> Result<usize, EditFault> {
        let taken = self.run(Direction::Ingress, input)?;
        self.ingress_pieces.gather(input, &[], out);
        Ok(taken)
    }

    /// Downstream sends no more.
    pub fn handle_egress_end(&mut self) -> Result<(), EditFault> {
        let egress = &self.connection.egress;
        if egress.in_unit || egress.payload.is_some() {
            return Err(*self.fault.get_or_insert(EditFault::RequestTruncated));
        }
        Ok(())
    }

    /// Upstream sends no more.
    pub fn handle_ingress_end(&mut self) -> Result<(), EditFault> {
        let ingress = &self.connection.ingress;
        if ingress.in_unit || ingress.payload.is_some() || !self.connection.streams.are_answered() {
            return Err(*self.fault.get_or_insert(EditFault::ResponseTruncated));
        }
        Ok(())
    }

    /// The connection ends for a reason that is not of this object's: requests without a judged answer get their
    /// [`Event::Response`] now, with what is known.
    pub fn handle_abort(&mut self) {
        (self.connection.is_draining, self.connection.drains_fresh) = (true, false);
        while let Some(mut stream) = self.connection.streams.pop_first() {
            self.connection.events.extend(stream.response().map(Event::Response));
        }
    }

    /// The flow is to end soon: downstream is told to open no more streams (GOAWAY), and those that it opens all the same are
    /// refused. The connection is to be closed once it is idle. One that has had no stream yet, and maybe not a word, is good
    /// for those that were on their way: the request of a new connection is not lost.
    pub fn handle_drain(&mut self) {
        if let Err(violation) = self.connection.drain() {
            self.give_up(Leg::Downstream, violation);
        }
    }

    /// The connection is closed while it is idle: downstream is told which of its streams were heard, so that it may ask again
    /// elsewhere for those that it opens meanwhile, whatever their methods (RFC 9113 section 6.8).
    ///
    /// A connection that was given up has been told why, which is its last word.
    pub fn handle_close(&mut self) {
        if self.fault.is_some() {
            return;
        }
        let Connection { streams, served_last, to_downstream, .. } = &mut self.connection;
        // What the origin has said that it does not serve stays so.
        let last = served_last.map_or(streams.last, |served| served.min(streams.last));
        to_downstream.push_last(last, code::NO_ERROR);
    }

    /// What the audit is to be told next. To be polled after each call: events are kept until then.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.connection.events.pop_front()
    }

    /// Bytes of the exchange's own for the leg that `direction` leads to: `Egress` for upstream, `Ingress` for downstream.
    /// To be polled for both after each call, once its pieces are written, and after a fault. None while that leg is within a
    /// frame.
    pub fn poll_transmit(&mut self, direction: Direction) -> Option<Vec<u8>> {
        let Connection { egress, ingress, to_upstream, to_downstream, .. } = &mut self.connection;
        let (side, transmit) = match direction {
            Direction::Egress => (egress, to_upstream),
            Direction::Ingress => (ingress, to_downstream),
        };
        if side.is_between_frames() { transmit.poll(&mut side.codec) } else { None }
    }

    /// Whether no request is taken until an answer has ended: never, streams are refused one by one.
    pub const fn egress_blocked(&self) -> bool {
        false
    }

    /// Whether both directions are another protocol's: never, a WebSocket is a stream among others.
    pub const fn is_upgraded(&self) -> bool {
        false
    }

    /// Whether no stream is open.
    pub fn is_idle(&self) -> bool {
        self.connection.streams.is_empty()
    }

    /// Whether nothing more may come on this connection once it is idle.
    pub const fn must_close(&self) -> bool {
        let Connection { is_draining, drains_fresh, streams, .. } = &self.connection;
        let awaits_first = *drains_fresh && streams.last == 0;
        (*is_draining && !awaits_first) || self.fault.is_some()
    }

    /// Which of the client's units has begun but not ended, by its number: the preface with the first SETTINGS, a header
    /// block, or another frame than DATA.
    pub const fn request_in_head(&self) -> Option<u64> {
        let egress = &self.connection.egress;
        if !egress.is_begun {
            return Some(0);
        }
        if egress.in_unit { Some(egress.unit_count) } else { None }
    }

    /// Whether one side keeps the other waiting in the middle of something, however much it sends besides.
    pub fn stall(&self) -> Option<Stall> {
        let Connection { egress, ingress, .. } = &self.connection;
        let leg = if egress.payload.is_some() || self.connection.holds_an_answer_back() {
            Leg::Downstream
        } else if ingress.payload.is_some() || ingress.in_unit {
            Leg::Upstream
        } else {
            return None;
        };
        Some(Stall { leg, progress: self.connection.moved_bytes / HTTP2_STALL_BYTES })
    }

    /// How many portions of request content have come, while the client owes more of a body: it is too slow if this does not
    /// change for long. Nothing is owed to an origin that answers already or gives no room, nor on a call of gRPC or a tunnel.
    pub fn body_due(&self) -> Option<u64> {
        self.connection.owes_content().then(|| self.connection.pace.portions())
    }

    /// Whether the caller may write an answer of its own making: never, [`Self::poll_transmit`] has them.
    pub const fn may_answer(&self) -> bool {
        false
    }

    /// Takes what it can of `input`. The fault, if one came up, belongs to the first byte that was not taken; when there were
    /// some before it, it is told in the next call.
    fn run(&mut self, direction: Direction, input: &[u8]) -> Result<usize, EditFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut pieces = core::mem::take(self.pieces(direction));
        pieces.clear();
        let mut at = 0;
        let outcome = loop {
            let rest = input.get(at..).unwrap_or_default();
            let mark = pieces.mark();
            match self.step(direction, rest, at, &mut pieces) {
                Ok(0) => break Ok(()),
                Ok(count) => {
                    at += count;
                    self.connection.side(direction).unit_count += 1;
                }
                Err(violation) => {
                    pieces.restore(mark);
                    break Err(violation);
                }
            }
        };
        *self.pieces(direction) = pieces;
        let side = self.connection.side(direction);
        side.in_unit = at < input.len() && side.payload.is_none();
        if let Err(violation) = outcome {
            let leg = match direction {
                Direction::Egress => Leg::Downstream,
                Direction::Ingress => Leg::Upstream,
            };
            let fault = self.give_up(leg, violation);
            if at == 0 {
                return Err(fault);
            }
        }
        Ok(at)
    }

    const fn pieces(&mut self, direction: Direction) -> &mut Pieces {
        match direction {
            Direction::Egress => &mut self.egress_pieces,
            Direction::Ingress => &mut self.ingress_pieces,
        }
    }

    /// Takes the unit that `rest` begins with, or what there is of a payload. How many bytes it took.
    fn step(&mut self, direction: Direction, rest: &[u8], at: usize, pieces: &mut Pieces) -> Result<usize, Violation> {
        if self.connection.side(direction).payload.is_some() {
            return Ok(self.connection.handle_payload(direction, rest, at, pieces));
        }
        if direction == Direction::Egress && !self.has_preface {
            let taken = Connection::handle_preface(rest, at, pieces)?;
            self.has_preface = taken == PREFACE.len();
            return Ok(taken);
        }
        let side = self.connection.side(direction);
        if !side.is_begun && FrameHeader::read(rest).is_some_and(|first| !is_settings(first)) {
            return Err(Violation::Preface);
        }
        let Some(unit) = unit::read(rest, &mut side.joined)? else { return Ok(0) };
        match (unit, direction) {
            (Unit::Data(data), _) => {
                match direction {
                    Direction::Egress => self.connection.handle_egress_data(data, at, pieces)?,
                    Direction::Ingress => self.connection.handle_ingress_data(data, at, pieces)?,
                }
                let head_end = data.head_bytes;
                // A payload of no bytes has come already.
                let rest = rest.get(head_end..).unwrap_or_default();
                Ok(head_end + self.connection.handle_payload(direction, rest, at + head_end, pieces))
            }
            (Unit::Block(block), Direction::Egress) => {
                self.connection.handle_egress_block(block, (rest, at), pieces).map(|()| block.bytes)
            }
            (Unit::Block(block), Direction::Ingress) => {
                self.connection.handle_ingress_block(block, (rest, at), pieces).map(|()| block.bytes)
            }
            (Unit::Frame(header), _) => {
                let frame = (rest.get(..header.bytes()).unwrap_or_default(), at);
                match direction {
                    Direction::Egress => self.connection.handle_egress_frame(header, frame, pieces)?,
                    Direction::Ingress => self.connection.handle_ingress_frame(header, frame, pieces)?,
                }
                Ok(header.bytes())
            }
        }
    }

    /// Ends the connection: both sides are told why, or that it ends.
    fn give_up(&mut self, leg: Leg, violation: Violation) -> EditFault {
        let fault = violation.fault(leg);
        self.fault = Some(fault);
        let (to_downstream, to_upstream) = match leg {
            Leg::Downstream => (violation.code(), code::NO_ERROR),
            Leg::Upstream => (code::INTERNAL, violation.code()),
        };
        self.connection.to_downstream.push_last(self.connection.streams.last, to_downstream);
        self.connection.to_upstream.push_last(0, to_upstream);
        fault
    }
}

fn is_settings(header: FrameHeader) -> bool {
    header.kind == Kind::Settings && !header.has(super::frame::ACK)
}

const HTTPS_PORT: u16 = 443;
