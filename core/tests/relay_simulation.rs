//! Simulates flows under the relay's state machine, seed by seed: readers and writers that take what they like, ends and resets
//! at any moment. No byte may be lost or doubled, no leg may be shut down before its direction is drained, every flow ends.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use std::collections::VecDeque;

use penstock_core::flow::{Direction, Leg};
use penstock_core::limits::{HALF_CLOSE_DEADLINE_MS, IDLE_DEADLINE_MS};
use penstock_core::relay::{Expiry, HalfState, Relay, Step};

const SEEDS: u64 = 5_000;

/// SplitMix64: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.next() % bound).unwrap()
    }
}

/// One direction's world: what its source still has to send, what the relay holds, what arrived.
struct Pipe {
    to_send: VecDeque<u8>,
    held: VecDeque<u8>,
    arrived: Vec<u8>,
    sent: Vec<u8>,
    is_shut_down: bool,
}

impl Pipe {
    fn new(random: &mut Random) -> Self {
        let bytes = random.below(400);
        let sent: Vec<u8> = (0..bytes).map(|_| random.next().to_le_bytes()[0]).collect();
        Self {
            to_send: sent.iter().copied().collect(),
            held: VecDeque::new(),
            arrived: vec![],
            sent,
            is_shut_down: false,
        }
    }
}

struct World {
    relay: Relay,
    /// Egress, ingress.
    pipes: [Pipe; 2],
    now_ms: u64,
    random: Random,
    /// Chance in 10,000 per step that a leg resets.
    reset_chance: usize,
}

/// How a flow came to its end.
#[derive(Debug, PartialEq)]
enum End {
    Finished,
    Reset,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let pipes = [Pipe::new(&mut random), Pipe::new(&mut random)];
        let reset_chance = if seed.is_multiple_of(4) { 200 } else { 0 };
        Self { relay: Relay::new(0), pipes, now_ms: 0, random, reset_chance }
    }

    fn run(&mut self) -> End {
        for _ in 0..100_000 {
            self.now_ms += self.random.next() % 50;
            assert_eq!(self.relay.poll_expiry(self.now_ms), None, "a busy flow never expires");
            let direction = if self.random.below(2) == 0 { Direction::Egress } else { Direction::Ingress };
            let step = match self.random.below(3) {
                _ if self.random.below(10_000) < self.reset_chance => return self.reset(),
                0 => self.read(direction),
                1 => self.write(direction),
                _ => self.end(direction),
            };
            match step {
                Step::Continue => assert!(!self.relay.is_finished()),
                Step::ShutdownWrite(leg) => self.shut_down(leg),
                Step::Finish => return self.finish(),
                Step::Reset(leg) => panic!("reset of {leg} without one"),
            }
        }
        panic!("the flow never ends");
    }

    fn pipe(&mut self, direction: Direction) -> &mut Pipe {
        &mut self.pipes[direction as usize]
    }

    fn read(&mut self, direction: Direction) -> Step {
        let wanted = 1 + self.random.below(64);
        let now_ms = self.now_ms;
        if self.relay.state(direction) == HalfState::Open {
            let pipe = self.pipe(direction);
            let bytes = wanted.min(pipe.to_send.len());
            pipe.held.extend(pipe.to_send.drain(..bytes));
            if bytes > 0 {
                self.relay.handle_read(direction, bytes, now_ms);
            }
        }
        Step::Continue
    }

    fn write(&mut self, direction: Direction) -> Step {
        let wanted = 1 + self.random.below(64);
        let now_ms = self.now_ms;
        let pipe = self.pipe(direction);
        let bytes = wanted.min(pipe.held.len());
        assert!(bytes == 0 || !pipe.is_shut_down, "a byte after the shutdown");
        pipe.arrived.extend(pipe.held.drain(..bytes));
        let held = pipe.held.len() as u64;
        let step = if bytes > 0 { self.relay.handle_written(direction, bytes, now_ms) } else { Step::Continue };
        assert_eq!(self.relay.in_flight_bytes(direction), held);
        step
    }

    /// The source's end is seen once it has sent all; like a socket, it is seen again when it is read again.
    fn end(&mut self, direction: Direction) -> Step {
        if !self.pipe(direction).to_send.is_empty() {
            return Step::Continue;
        }
        self.relay.handle_end(direction, self.now_ms)
    }

    fn shut_down(&mut self, leg: Leg) {
        let direction = if leg == Leg::Upstream { Direction::Egress } else { Direction::Ingress };
        assert_eq!(self.relay.state(direction), HalfState::Ended);
        let pipe = self.pipe(direction);
        assert!(!pipe.is_shut_down, "shut down twice");
        assert_eq!(pipe.arrived, pipe.sent, "shut down before it was drained");
        pipe.is_shut_down = true;
    }

    fn finish(&self) -> End {
        for (pipe, direction) in self.pipes.iter().zip([Direction::Egress, Direction::Ingress]) {
            assert_eq!(pipe.arrived, pipe.sent);
            assert_eq!(self.relay.written_bytes(direction), pipe.sent.len() as u64);
            assert_eq!(self.relay.state(direction), HalfState::Ended);
        }
        // The last direction to drain is closed with the sockets; the other was shut down before.
        assert_eq!(self.pipes.iter().filter(|pipe| pipe.is_shut_down).count(), 1);
        assert!(self.relay.is_finished());
        End::Finished
    }

    fn reset(&mut self) -> End {
        let (leg, other) = match self.random.below(2) {
            0 => (Leg::Downstream, Leg::Upstream),
            _ => (Leg::Upstream, Leg::Downstream),
        };
        assert_eq!(self.relay.handle_reset(leg), Step::Reset(other));
        assert!(self.relay.is_finished());
        for direction in [Direction::Egress, Direction::Ingress] {
            assert_eq!(self.relay.handle_end(direction, self.now_ms), Step::Continue, "nothing comes after a reset");
        }
        End::Reset
    }
}

#[test]
fn every_flow_delivers_every_byte_and_ends_once() {
    let mut resets = 0;
    for seed in 0..SEEDS {
        let outcome = std::panic::catch_unwind(|| World::new(seed).run());
        let end = outcome.unwrap_or_else(|_| panic!("seed {seed}"));
        resets += u64::from(end == End::Reset);
    }
    assert!(resets > SEEDS / 20, "too few resets to tell: {resets}");
    assert!(resets < SEEDS / 2, "too few ends to tell: {resets}");
}

#[test]
fn a_flow_that_stalls_anywhere_expires_at_its_deadline() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        let stalls_after = world.random.below(300);
        for _ in 0..stalls_after {
            world.now_ms += 1;
            let direction = if world.random.below(2) == 0 { Direction::Egress } else { Direction::Ingress };
            let step = match world.random.below(3) {
                0 => world.read(direction),
                1 => world.write(direction),
                _ => world.end(direction),
            };
            if step == Step::Finish {
                break;
            }
        }
        let deadline_ms = world.relay.deadline_ms();
        assert!(deadline_ms <= world.now_ms + IDLE_DEADLINE_MS.max(HALF_CLOSE_DEADLINE_MS));
        assert_eq!(world.relay.poll_expiry(deadline_ms - 1), None);
        let both_open =
            [Direction::Egress, Direction::Ingress].iter().all(|way| world.relay.state(*way) == HalfState::Open);
        let expected = if both_open { Expiry::Idle } else { Expiry::HalfClosed };
        assert_eq!(world.relay.poll_expiry(deadline_ms), Some(expected), "seed {seed}");
    }
}
