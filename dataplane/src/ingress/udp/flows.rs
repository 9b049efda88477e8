//! The flows that a shard remembers, what waits in them, and their end.
//!
//! Owns bounds and times. A full table takes no new flows: their clients use TCP.

use std::collections::HashMap;
use std::net::SocketAddr;

use penstock_core::limits;
use penstock_core::quic::InitialReader;
use penstock_core::sni::Sni;

/// Source and destination of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

/// The flows of one shard.
#[derive(Default)]
pub(crate) struct UdpFlows {
    flows: HashMap<Ends, UdpFlow>,
    /// Flows that there ever were.
    count: u64,
    /// Answers in the present second, and when that began.
    answers: u32,
    answers_since_ms: u64,
    is_closed: bool,
}

/// One flow.
pub(super) struct UdpFlow {
    /// Unique in its shard.
    pub(super) number: u64,
    pub(super) reader: InitialReader,
    pub(super) state: State,
    /// The name that was decided last.
    pub(super) name: Option<Sni>,
    held: Vec<Vec<u8>>,
    held_bytes: usize,
    until_ms: u64,
}

/// What becomes of a flow's datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// They are sent on unread.
    Open,
    /// They are read, and sent on.
    Passed,
    /// They are dropped; the first few are answered.
    Refused { answer: Option<Vec<u8>>, answers: usize },
    /// They are read, and held.
    Waiting,
}

impl UdpFlows {
    /// The flow between `ends`, a new one if need be; `None` when there is no room for one.
    pub(super) fn enter(&mut self, ends: Ends, now_ms: u64) -> Option<&mut UdpFlow> {
        if self.flows.len() >= limits::UDP_FLOWS_PER_SHARD_MAX && !self.flows.contains_key(&ends) {
            return None;
        }
        Some(self.flows.entry(ends).or_insert_with(|| {
            self.count += 1;
            UdpFlow {
                number: self.count,
                reader: InitialReader::new(),
                state: State::Waiting,
                name: None,
                held: Vec::new(),
                held_bytes: 0,
                until_ms: now_ms + limits::UDP_SNIFF_DEADLINE_MS,
            }
        }))
    }

    /// Whether one more answer may be sent in this second.
    pub(super) fn may_answer(&mut self, now_ms: u64) -> bool {
        if now_ms >= self.answers_since_ms + 1_000 {
            (self.answers, self.answers_since_ms) = (0, now_ms);
        }
        self.answers += 1;
        self.answers <= limits::UDP_ANSWERS_PER_SECOND_MAX
    }

    /// Forgets what is over. Gives how many flows ended unread.
    pub(crate) fn reap(&mut self, now_ms: u64) -> u64 {
        let mut unread = 0;
        self.flows.retain(|_, flow| {
            let stays = now_ms < flow.until_ms;
            unread += u64::from(!stays && flow.state == State::Waiting);
            stays
        });
        unread
    }

    /// Whether no flow waits for the rest of its hello.
    pub(super) fn are_decided(&self) -> bool {
        self.flows.values().all(|flow| flow.state != State::Waiting)
    }

    /// Takes note that no datagram is read any more.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// How many flows are remembered.
    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }
}

impl UdpFlow {
    /// Keeps a datagram until the flow is decided; says whether there was room.
    pub(super) fn hold(&mut self, datagram: &[u8]) -> bool {
        let has_room = self.held.len() < limits::UDP_HELD_DATAGRAMS_MAX
            && self.held_bytes + datagram.len() <= limits::UDP_HELD_BYTES_MAX;
        if has_room {
            self.held_bytes += datagram.len();
            self.held.push(datagram.to_vec());
        }
        has_room
    }

    /// What was held, in the order of arrival.
    pub(super) fn release(&mut self) -> Vec<Vec<u8>> {
        self.held_bytes = 0;
        std::mem::take(&mut self.held)
    }

    /// Remembers a decided flow for a while longer.
    pub(super) fn touch(&mut self, now_ms: u64) {
        if self.state != State::Waiting {
            self.until_ms = now_ms + limits::UDP_FLOW_SECONDS * 1_000;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(port: u16) -> Ends {
        Ends { source: ([10, 0, 0, 1], port).into(), destination: ([192, 0, 2, 1], 443).into() }
    }

    #[test]
    fn h118_flows_and_what_they_hold_are_bounded() {
        let mut flows = UdpFlows::default();
        let sources = (0..=u16::MAX).take(limits::UDP_FLOWS_PER_SHARD_MAX);
        assert!(sources.clone().all(|port| flows.enter(ends(port), 0).is_some()));
        assert!(flows.enter(ends(u16::MAX), 0).is_none());
        let flow = flows.enter(ends(0), 0).unwrap();
        let taken = (0..1_000).take_while(|_| flow.hold(&[0; 1_300])).count();
        assert!(taken <= limits::UDP_HELD_DATAGRAMS_MAX && taken * 1_300 <= limits::UDP_HELD_BYTES_MAX);
        assert!(!flow.hold(&[0; 1_300]));
        assert_eq!((flow.release().len(), flow.hold(&[0; 1_300])), (taken, true));
        assert_eq!(flows.reap(limits::UDP_SNIFF_DEADLINE_MS), sources.len() as u64);
        assert_eq!(flows.len(), 0);
    }

    #[test]
    fn a_flow_is_forgotten_some_time_after_its_last_datagram() {
        let mut flows = UdpFlows::default();
        let flow = flows.enter(ends(1), 0).unwrap();
        flow.touch(1_000);
        assert_eq!(flow.until_ms, limits::UDP_SNIFF_DEADLINE_MS, "what waits cannot extend its time");
        flow.state = State::Passed;
        flow.touch(1_000);
        assert_eq!(flows.reap(limits::UDP_FLOW_SECONDS * 1_000), 0);
        assert_eq!(flows.len(), 1);
        flows.reap(limits::UDP_FLOW_SECONDS * 1_000 + 1_000);
        assert_eq!(flows.len(), 0);
    }

    #[test]
    fn h118_answers_are_bounded() {
        let mut flows = UdpFlows::default();
        let answers = (0..100_000).filter(|_| flows.may_answer(5_000)).count();
        assert_eq!(answers, limits::UDP_ANSWERS_PER_SECOND_MAX as usize);
        assert!(flows.may_answer(6_000));
    }
}
