//! When to shut down, finish or reset a flow whose bytes are moved unchanged: half-close, byte counts and idleness of both
//! directions, without a socket or a clock.
//!
//! Owns the state only. The data plane's relays (copy and splice) move the bytes, tell this machine what happened and do what
//! it answers. Moments are milliseconds of any clock that never goes back.
//!
//! ```text
//!          handle_read, handle_written          handle_end            all read bytes written
//!  Open  <------------------------------>  Open ----------> Draining -------------------------> Ended
//!                                                (at once Ended when nothing is in flight)
//! ```

use crate::flow::{Direction, Leg};
use crate::labelled;
use crate::limits::{HALF_CLOSE_DEADLINE_MS, IDLE_DEADLINE_MS};

labelled! {
    /// How far one direction is.
    pub enum HalfState {
        /// Its source may still send.
        Open = "open",
        /// Its source has ended; bytes read from it wait to be written.
        Draining = "draining",
        /// Its source has ended and every byte has been written.
        Ended = "ended",
    }
}

/// What the relay has to do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Nothing beyond moving bytes.
    Continue,
    /// Shut down writing on this leg: its direction has been drained. The other direction goes on.
    ShutdownWrite(Leg),
    /// Both directions have ended and every byte was written: close both sockets.
    Finish,
    /// The flow was reset from the other side: reset this leg (linger 0) and close both sockets.
    Reset(Leg),
}

labelled! {
    /// Why a flow is closed though neither side ended it.
    pub enum Expiry {
        /// One direction has ended and the other was silent for its deadline.
        HalfClosed = "half_closed",
        /// No byte in either direction for the idle deadline.
        Idle = "idle",
    }
}

/// One flow's two directions.
#[derive(Clone, Copy, Debug)]
pub struct Relay {
    egress: Half,
    ingress: Half,
    last_activity_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Half {
    state: HalfState,
    /// Bytes taken from the source.
    read_bytes: u64,
    /// Bytes given to the destination; never more than were read.
    written_bytes: u64,
}

impl Relay {
    /// A flow whose two legs are connected and open at `now_ms`.
    pub const fn new(now_ms: u64) -> Self {
        Self { egress: Half::new(), ingress: Half::new(), last_activity_ms: now_ms }
    }

    /// `bytes` were taken from the source of `direction`.
    pub const fn handle_read(&mut self, direction: Direction, bytes: usize, now_ms: u64) {
        let half = self.half_mut(direction);
        half.read_bytes = half.read_bytes.saturating_add(bytes as u64);
        self.last_activity_ms = now_ms;
    }

    /// `bytes` of those read were given to the destination of `direction`.
    pub fn handle_written(&mut self, direction: Direction, bytes: usize, now_ms: u64) -> Step {
        let half = self.half_mut(direction);
        half.written_bytes = half.written_bytes.saturating_add(bytes as u64).min(half.read_bytes);
        self.last_activity_ms = now_ms;
        self.settle(direction)
    }

    /// The source of `direction` ended: it will send no more.
    pub fn handle_end(&mut self, direction: Direction, now_ms: u64) -> Step {
        let half = self.half_mut(direction);
        if half.state == HalfState::Open {
            half.state = HalfState::Draining;
            self.last_activity_ms = now_ms;
        }
        self.settle(direction)
    }

    /// `leg` was reset, or cannot be written to any more. Bytes in flight are lost, as they would be without us.
    pub const fn handle_reset(&mut self, leg: Leg) -> Step {
        self.egress.state = HalfState::Ended;
        self.ingress.state = HalfState::Ended;
        Step::Reset(match leg {
            Leg::Downstream => Leg::Upstream,
            Leg::Upstream => Leg::Downstream,
        })
    }

    /// How far `direction` is. Its source is read only while it is open.
    pub const fn state(&self, direction: Direction) -> HalfState {
        self.half(direction).state
    }

    /// Bytes of `direction` that were read but not yet written.
    pub const fn in_flight_bytes(&self, direction: Direction) -> u64 {
        let half = self.half(direction);
        half.read_bytes - half.written_bytes
    }

    /// Bytes of `direction` that reached their destination.
    pub const fn written_bytes(&self, direction: Direction) -> u64 {
        self.half(direction).written_bytes
    }

    /// Whether both directions have ended.
    pub fn is_finished(&self) -> bool {
        self.egress.state == HalfState::Ended && self.ingress.state == HalfState::Ended
    }

    /// The moment at which the flow is to be closed unless something happens before.
    pub fn deadline_ms(&self) -> u64 {
        let patience_ms = match self.expiry() {
            Expiry::HalfClosed => HALF_CLOSE_DEADLINE_MS,
            Expiry::Idle => IDLE_DEADLINE_MS,
        };
        self.last_activity_ms.saturating_add(patience_ms)
    }

    /// Why the flow is to be closed at `now_ms`; `None` when it may go on until [`deadline_ms`](Self::deadline_ms).
    pub fn poll_expiry(&self, now_ms: u64) -> Option<Expiry> {
        (now_ms >= self.deadline_ms()).then(|| self.expiry())
    }

    fn expiry(&self) -> Expiry {
        let is_open = |half: &Half| half.state == HalfState::Open;
        if is_open(&self.egress) && is_open(&self.ingress) { Expiry::Idle } else { Expiry::HalfClosed }
    }

    /// Ends `direction` once it is drained; the shutdown is answered exactly once.
    fn settle(&mut self, direction: Direction) -> Step {
        let half = self.half_mut(direction);
        if half.state != HalfState::Draining || half.written_bytes < half.read_bytes {
            return Step::Continue;
        }
        half.state = HalfState::Ended;
        if self.is_finished() {
            return Step::Finish;
        }
        Step::ShutdownWrite(match direction {
            Direction::Egress => Leg::Upstream,
            Direction::Ingress => Leg::Downstream,
        })
    }

    const fn half(&self, direction: Direction) -> &Half {
        match direction {
            Direction::Egress => &self.egress,
            Direction::Ingress => &self.ingress,
        }
    }

    const fn half_mut(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Egress => &mut self.egress,
            Direction::Ingress => &mut self.ingress,
        }
    }
}

impl Half {
    const fn new() -> Self {
        Self { state: HalfState::Open, read_bytes: 0, written_bytes: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Egress, Ingress};

    #[test]
    fn a_direction_is_shut_down_once_and_only_when_drained() {
        let mut relay = Relay::new(0);
        relay.handle_read(Egress, 10, 1);
        assert_eq!(relay.handle_written(Egress, 4, 2), Step::Continue);
        assert_eq!(relay.handle_end(Egress, 3), Step::Continue);
        assert_eq!(relay.state(Egress), HalfState::Draining);
        assert_eq!(relay.in_flight_bytes(Egress), 6);
        assert_eq!(relay.handle_written(Egress, 6, 4), Step::ShutdownWrite(Leg::Upstream));
        assert_eq!(relay.handle_end(Egress, 5), Step::Continue);
        assert_eq!(relay.state(Ingress), HalfState::Open);
        assert_eq!(relay.handle_end(Ingress, 6), Step::Finish);
        assert!(relay.is_finished());
    }

    #[test]
    fn the_other_direction_goes_on_after_a_half_close() {
        let mut relay = Relay::new(0);
        assert_eq!(relay.handle_end(Ingress, 1), Step::ShutdownWrite(Leg::Downstream));
        relay.handle_read(Egress, 1, 2);
        assert_eq!(relay.handle_end(Egress, 3), Step::Continue);
        assert_eq!(relay.handle_written(Egress, 1, 4), Step::Finish);
    }

    #[test]
    fn bytes_that_were_never_read_do_not_count_as_written() {
        let mut relay = Relay::new(0);
        relay.handle_read(Egress, 5, 1);
        assert_eq!(relay.handle_written(Egress, 9, 2), Step::Continue);
        assert_eq!((relay.written_bytes(Egress), relay.in_flight_bytes(Egress)), (5, 0));
        relay.handle_read(Egress, 4, 3);
        assert_eq!(relay.handle_end(Egress, 4), Step::Continue);
    }

    #[test]
    fn a_reset_goes_to_the_other_leg() {
        assert_eq!(Relay::new(0).handle_reset(Leg::Upstream), Step::Reset(Leg::Downstream));
        let mut relay = Relay::new(0);
        relay.handle_read(Egress, 1, 1);
        assert_eq!(relay.handle_reset(Leg::Downstream), Step::Reset(Leg::Upstream));
        assert!(relay.is_finished());
        assert_eq!(relay.handle_written(Egress, 1, 2), Step::Continue);
    }

    #[test]
    fn silence_ends_a_flow_sooner_once_one_direction_has_ended() {
        let mut relay = Relay::new(1_000);
        assert_eq!(relay.poll_expiry(1_000 + IDLE_DEADLINE_MS - 1), None);
        assert_eq!(relay.poll_expiry(1_000 + IDLE_DEADLINE_MS), Some(Expiry::Idle));
        relay.handle_read(Ingress, 1, 5_000);
        assert_eq!(relay.deadline_ms(), 5_000 + IDLE_DEADLINE_MS);
        assert_eq!(relay.handle_end(Egress, 6_000), Step::ShutdownWrite(Leg::Upstream));
        assert_eq!(relay.poll_expiry(6_000 + HALF_CLOSE_DEADLINE_MS), Some(Expiry::HalfClosed));
        assert_eq!(relay.poll_expiry(6_000 + HALF_CLOSE_DEADLINE_MS - 1), None);
    }
}
