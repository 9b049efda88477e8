//! The room that each side grants for DATA: as far as it can overflow, and whether an answer is held back for want of it.
//!
//! Flow control stays end to end: what a side grants reaches the other as granted, and DATA that is dropped here is given
//! back at once. Called by `connection`, `egress` and `ingress`.

use super::connection::{Connection, Side};
use super::streams::Place;
use super::transmit::WINDOW_MAX;
use super::violation::Violation;
use crate::flow::Direction;
use crate::limits::HTTP2_ROOM_BYTES_MIN;

impl Connection {
    /// The sender of `direction` grants room for DATA of the other side; whether the other side is to know.
    ///
    /// What would pass 2^31 - 1 is refused here: on a stream, an origin would reset it and go on working for an answer that
    /// nobody gets (CVE-2025-8671).
    pub(super) fn grant(&mut self, direction: Direction, stream: u32, increment: u32) -> Result<bool, Violation> {
        let increment = i64::from(increment);
        if increment == 0 {
            return Err(Violation::FrameMalformed);
        }
        let lowest = self.side(direction).lowest_initial_room();
        let (room, initial) = match self.streams.place(stream) {
            _ if stream == 0 => (&mut self.side(direction).room, 0),
            Place::Idle => return Err(Violation::FrameMalformed),
            Place::Ended(_) | Place::Forgotten => return Ok(false),
            Place::Open(stream) if direction == Direction::Egress => (&mut stream.ingress_room, lowest),
            Place::Open(stream) => (&mut stream.egress_room, lowest),
        };
        *room += increment;
        if WINDOW_INITIAL + initial + *room > i64::from(WINDOW_MAX) { Err(Violation::FlowControl) } else { Ok(true) }
    }

    /// DATA of `direction` goes on and fills room.
    pub(super) fn fill(&mut self, direction: Direction, stream: u32, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let granting = match direction {
            Direction::Egress => &mut self.ingress,
            Direction::Ingress => &mut self.egress,
        };
        granting.room -= bytes;
        if let Place::Open(stream) = self.streams.place(stream) {
            match direction {
                Direction::Egress => stream.egress_room -= bytes,
                Direction::Ingress => stream.ingress_room -= bytes,
            }
        }
    }

    /// Whether the client grants an answer that has begun so little room that the origin cannot go on. One that has not begun
    /// may take its time.
    pub(super) fn holds_an_answer_back(&self) -> bool {
        let mut answers = self.streams.in_answer().peekable();
        answers.peek().is_some()
            && (is_short(self.egress.room)
                || answers.any(|stream| is_short(self.egress.initial_room + stream.ingress_room)))
    }

    /// Whether the client owes content of a request that the origin waits for and gives room to, or of a frame that has begun.
    pub(super) fn owes_content(&self) -> bool {
        let begun = self.egress.payload.filter(|payload| payload.is_forwarded).map(|payload| payload.stream);
        let has_room = |room: i64| !is_short(self.ingress.room) && !is_short(self.ingress.initial_room + room);
        self.streams.in_request().any(|(id, stream)| begun == Some(id) || has_room(stream.egress_room))
    }
}

impl Side {
    /// Room that a stream has at first, whichever of the SETTINGS on their way counts.
    fn lowest_initial_room(&self) -> i64 {
        self.pending.iter().filter_map(|pending| pending.initial_room).fold(self.initial_room, i64::min)
    }
}

/// Whether room that was granted beyond the first, less what was filled, is too little to go on with.
fn is_short(room: i64) -> bool {
    WINDOW_INITIAL + room < i64::from(HTTP2_ROOM_BYTES_MIN)
}

/// The room that there is at first on every connection and, without SETTINGS, every stream (RFC 9113 section 6.9.2).
pub(super) const WINDOW_INITIAL: i64 = 65_535;
