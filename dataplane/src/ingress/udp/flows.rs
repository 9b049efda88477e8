//! The flows that a shard remembers, what waits in them, and their end.
//!
//! Owns bounds and times. Flows that wait for the rest of their hello take half of the table at most; with one more, its
//! client has to use TCP. A decided one makes room for a new one when it has to: read again, it is decided again.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use penstock_core::flow::FaultKind;
use penstock_core::limits;
use penstock_core::quic::InitialReader;
use penstock_core::sni::Sni;
use penstock_core::source::network;

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
    /// Flows that wait for the rest of their hello.
    waiting: usize,
    /// Of each source that has such flows, or began one lately.
    by_source: HashMap<IpAddr, SourceFlows>,
    /// Flows that there ever were.
    count: u64,
    /// Answers in the present second, and when that began.
    answers: u32,
    answers_since_ms: u64,
    is_closed: bool,
}

/// The flows of one source; addresses of one /64 of IPv6 are one source.
#[derive(Default)]
struct SourceFlows {
    waiting: usize,
    /// Those that began in the second since then.
    new: usize,
    since_ms: u64,
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
    /// The flow between `ends`, a new one if need be; an error when there is no room for one, or its source may begin no more
    /// than `per_second` in a second.
    pub(super) fn enter(&mut self, ends: Ends, per_second: usize, now_ms: u64) -> Result<&mut UdpFlow, FaultKind> {
        if !self.flows.contains_key(&ends) {
            self.make_room(ends.source.ip(), per_second, now_ms)?;
        }
        Ok(self.flows.entry(ends).or_insert_with(|| {
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

    /// Takes a place for one more flow of `source`.
    fn make_room(&mut self, source: IpAddr, per_second: usize, now_ms: u64) -> Result<(), FaultKind> {
        let is_known = self.by_source.contains_key(&network(source));
        let has_place = is_known || self.by_source.len() < limits::UDP_FLOWS_PER_SHARD_MAX;
        if self.waiting >= limits::UDP_WAITING_PER_SHARD_MAX || !has_place {
            return Err(FaultKind::TooMany);
        }
        if !self.by_source.entry(network(source)).or_default().enter(per_second, now_ms) {
            return Err(FaultKind::SourceFull);
        }
        self.waiting += 1;
        if self.flows.len() >= limits::UDP_FLOWS_PER_SHARD_MAX {
            self.forget_decided();
        }
        Ok(())
    }

    /// Forgets the older half of the decided flows: seldom, so that it costs little for each.
    fn forget_decided(&mut self) {
        let decided = |flow: &UdpFlow| flow.state != State::Waiting;
        let mut ends_ms: Vec<u64> =
            self.flows.values().filter(|flow| decided(flow)).map(|flow| flow.until_ms).collect();
        let half = ends_ms.len() / 2;
        if half < ends_ms.len() {
            let until_ms = *ends_ms.select_nth_unstable(half).1;
            self.flows.retain(|_, flow| !decided(flow) || flow.until_ms > until_ms);
        }
    }

    /// Takes note that the flow between `ends` waits no more.
    pub(super) fn note_decided(&mut self, ends: Ends) {
        self.waiting = self.waiting.saturating_sub(1);
        if let Some(source) = self.by_source.get_mut(&network(ends.source.ip())) {
            source.waiting = source.waiting.saturating_sub(1);
        }
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
        let unread: Vec<Ends> = self
            .flows
            .extract_if(|_, flow| now_ms >= flow.until_ms)
            .filter_map(|(ends, flow)| (flow.state == State::Waiting).then_some(ends))
            .collect();
        unread.iter().for_each(|ends| self.note_decided(*ends));
        self.by_source.retain(|_, source| source.waiting > 0 || now_ms < source.since_ms + 1_000);
        unread.len() as u64
    }

    /// Whether no flow waits for the rest of its hello.
    pub(super) fn are_decided(&self) -> bool {
        self.waiting == 0
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

impl SourceFlows {
    /// Takes a place for one more flow; says whether there was one.
    const fn enter(&mut self, per_second: usize, now_ms: u64) -> bool {
        if now_ms >= self.since_ms + 1_000 {
            (self.new, self.since_ms) = (0, now_ms);
        }
        let has_room = self.new < per_second && self.waiting < limits::UDP_WAITING_PER_SOURCE_MAX;
        if has_room {
            self.new += 1;
            self.waiting += 1;
        }
        has_room
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

    /// What a refused client is told, the first few times.
    pub(super) fn answer(&mut self) -> Option<Vec<u8>> {
        let State::Refused { answer: Some(answer), answers } = &mut self.state else { return None };
        *answers += 1;
        (*answers <= limits::UDP_ANSWERS_PER_FLOW_MAX).then(|| answer.clone())
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

    const ANY: usize = usize::MAX;

    fn of(host: u8, port: u16) -> Ends {
        Ends { source: ([10, 0, 0, host], port).into(), destination: ([192, 0, 2, 1], 443).into() }
    }

    fn ends(port: u16) -> Ends {
        of(1, port)
    }

    /// A flow of that source that is decided at once.
    fn decide(flows: &mut UdpFlows, ends: Ends, now_ms: u64) {
        let flow = flows.enter(ends, ANY, now_ms).unwrap();
        flow.state = State::Passed;
        flow.touch(now_ms);
        flows.note_decided(ends);
    }

    #[test]
    fn h118_flows_and_what_they_hold_are_bounded() {
        let mut flows = UdpFlows::default();
        let sources = (0..=u16::MAX).take(limits::UDP_WAITING_PER_SHARD_MAX);
        assert!(sources.clone().all(|port| flows.enter(of((port % 4) as u8, port), ANY, 0).is_ok()));
        assert_eq!(flows.enter(of(9, u16::MAX), ANY, 0).err(), Some(FaultKind::TooMany));
        let flow = flows.enter(of(0, 0), ANY, 0).unwrap();
        let taken = (0..1_000).take_while(|_| flow.hold(&[0; 1_300])).count();
        assert!(taken <= limits::UDP_HELD_DATAGRAMS_MAX && taken * 1_300 <= limits::UDP_HELD_BYTES_MAX);
        assert!(!flow.hold(&[0; 1_300]));
        assert_eq!((flow.release().len(), flow.hold(&[0; 1_300])), (taken, true));
        assert_eq!(flows.reap(limits::UDP_SNIFF_DEADLINE_MS), sources.len() as u64);
        assert_eq!((flows.len(), flows.waiting), (0, 0));
        assert!(flows.enter(of(9, u16::MAX), ANY, 0).is_ok());
    }

    #[test]
    fn decided_flows_make_room_for_new_ones_the_oldest_first() {
        let mut flows = UdpFlows::default();
        let waiting = ends(0);
        assert!(flows.enter(waiting, ANY, 0).is_ok());
        for (port, now_ms) in (1..=u16::MAX).zip(0..) {
            decide(&mut flows, of((port % 200) as u8, port), now_ms);
            assert!(flows.len() <= limits::UDP_FLOWS_PER_SHARD_MAX);
        }
        assert!(flows.flows.contains_key(&waiting), "what waits stays");
        let mut newest = (u16::MAX - 1_000..=u16::MAX).map(|port| of((port % 200) as u8, port));
        assert!(newest.all(|ends| flows.flows.contains_key(&ends)));
        assert_eq!(flows.waiting, 1);
    }

    #[test]
    fn h118_sources_are_bounded() {
        let mut flows = UdpFlows::default();
        let source = |number: u32| Ends {
            source: (std::net::Ipv4Addr::from_bits(number), 1).into(),
            destination: ([192, 0, 2, 1], 443).into(),
        };
        let most = limits::UDP_FLOWS_PER_SHARD_MAX as u32;
        (0..most).for_each(|number| decide(&mut flows, source(number), 0));
        assert_eq!(flows.enter(source(most), ANY, 0).err(), Some(FaultKind::TooMany));
        flows.reap(1_000);
        assert!(flows.enter(source(most), ANY, 1_000).is_ok());
    }

    #[test]
    fn a_flow_is_forgotten_some_time_after_its_last_datagram() {
        let mut flows = UdpFlows::default();
        let flow = flows.enter(ends(1), ANY, 0).unwrap();
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
    fn h118_a_source_that_floods_leaves_the_others_their_places() {
        let mut flows = UdpFlows::default();
        let begun = |flows: &mut UdpFlows, host, now_ms| {
            (0..=u16::MAX).filter(|port| flows.enter(of(host, *port), 100, now_ms).is_ok()).count()
        };
        assert_eq!(begun(&mut flows, 1, 0), 100);
        assert_eq!(flows.enter(of(1, u16::MAX), 100, 999).err(), Some(FaultKind::SourceFull));
        assert!(flows.enter(of(1, 0), 100, 999).is_ok(), "a flow that stands goes on");
        assert!(flows.enter(of(2, 0), 100, 999).is_ok(), "another source's begin");
        assert!(flows.enter(of(1, u16::MAX), 100, 1_000).is_ok(), "in the next second more may");
        // However slowly, one source gets no more than its part of the table.
        let mut flows = UdpFlows::default();
        let slow = (0..=u16::MAX).filter(|port| flows.enter(ends(*port), ANY, u64::from(*port)).is_ok()).count();
        assert_eq!(slow, limits::UDP_WAITING_PER_SOURCE_MAX);
        flows.reap(u64::from(u16::MAX) + limits::UDP_SNIFF_DEADLINE_MS);
        assert!(flows.by_source.is_empty(), "sources without a flow are forgotten");
        assert!(flows.enter(ends(0), ANY, 100_000).is_ok());
    }

    #[test]
    fn h118_answers_are_bounded() {
        let mut flows = UdpFlows::default();
        let answers = (0..100_000).filter(|_| flows.may_answer(5_000)).count();
        assert_eq!(answers, limits::UDP_ANSWERS_PER_SECOND_MAX as usize);
        assert!(flows.may_answer(6_000));
    }
}
