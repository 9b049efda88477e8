//! The flows of a capture: which packets belong together, and when one is judged.
//!
//! Owns the bounds of what is held. Only what a client sends is looked at: packets to one of the ports that are led to the
//! appliance.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ipnet::IpNet;
use penstock_core::bytes::Parsed;
use penstock_core::policy::Snapshot;
use penstock_core::quic::{InitialReader, Opening};
use penstock_core::sni::Sni;
use penstock_core::tls::HelloReject;

use super::cipher::Cipher;
use super::frame::{Ends, Segment, Tcp};
use super::judge;
use super::report::{Flow, Tally, Transport, Unread};
use super::stream::Stream;

/// What of a capture is looked at.
pub(super) struct Filter<'a> {
    /// Ports of destinations.
    pub(super) ports: &'a [u16],
    /// Inside hosts; all when there is none.
    pub(super) sources: &'a [IpNet],
}

/// The flows of a capture so far.
pub(super) struct Flows<'a> {
    snapshot: &'a Snapshot,
    filter: Filter<'a>,
    tcp: HashMap<Ends, TcpFlow>,
    udp: HashMap<Ends, UdpFlow>,
    held_bytes: usize,
    /// What was found.
    pub(super) tally: Tally,
    /// Packets that are none of a client's, or of another port or source.
    pub(super) packets_other: u64,
    /// Packets of flows for which there was no room.
    pub(super) packets_left_out: u64,
}

/// One TCP connection; without a stream once it is judged.
struct TcpFlow {
    stream: Option<Box<Stream>>,
    /// The sequence number of its SYN, where that was seen.
    opened_at: Option<u32>,
}

/// One UDP flow; without a reader once it is refused.
struct UdpFlow {
    reader: Option<Box<InitialReader>>,
    held_bytes: usize,
    /// Those that were judged. As many at the most as the reader remembers connections.
    names: Vec<Option<Sni>>,
}

/// Flows that are remembered, about 150 bytes each.
const FLOWS_MAX: usize = 1 << 20;
/// Bytes of flows that are not judged yet, and of QUIC flows, which go on being read.
const HELD_BYTES_MAX: usize = 256 << 20;

impl<'a> Flows<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, filter: Filter<'a>) -> Self {
        Self {
            snapshot,
            filter,
            tcp: HashMap::new(),
            udp: HashMap::new(),
            held_bytes: 0,
            tally: Tally::default(),
            packets_other: 0,
            packets_left_out: 0,
        }
    }

    /// Looks at the next packet; `None` is one that is neither TCP nor UDP.
    pub(super) fn handle(&mut self, segment: Option<&Segment<'_>>) {
        let Some(segment) = segment.filter(|segment| self.filter.takes(segment.ends)) else {
            self.packets_other += 1;
            return;
        };
        let is_known = match segment.tcp {
            Some(_) => self.tcp.contains_key(&segment.ends),
            None => self.udp.contains_key(&segment.ends),
        };
        if !is_known && self.tcp.len() + self.udp.len() >= FLOWS_MAX {
            self.packets_left_out += 1;
            return;
        }
        match segment.tcp {
            Some(tcp) => self.handle_tcp(segment.ends, tcp, segment.payload),
            None => self.handle_udp(segment.ends, segment.payload),
        }
    }

    /// The capture has ended: what waits stays unread.
    pub(super) fn handle_end(&mut self) {
        for (ends, flow) in self.tcp.drain() {
            if let Some(stream) = flow.stream {
                self.tally.unread(ends, Transport::Tcp, why_unread(&stream));
            }
        }
        for (ends, flow) in self.udp.drain() {
            if flow.reader.is_some() && flow.names.is_empty() {
                self.tally.unread(ends, Transport::Quic, Unread::Unfinished);
            }
        }
    }

    fn handle_tcp(&mut self, ends: Ends, tcp: Tcp, payload: &[u8]) {
        let mut entry = match self.tcp.entry(ends) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => entry.insert_entry(TcpFlow::new()),
        };
        if entry.get().is_followed_by(tcp)
            && let Some(stream) = entry.insert(TcpFlow::new()).stream
        {
            self.held_bytes -= stream.held_bytes();
            self.tally.unread(ends, Transport::Tcp, why_unread(&stream));
        }
        let flow = entry.get_mut();
        if tcp.opens {
            flow.opened_at = Some(tcp.sequence);
        }
        let Some(stream) = &mut flow.stream else { return };
        let before = stream.held_bytes();
        let opened = stream.is_opened() || tcp.opens;
        let (decision, name, reject) = match stream.handle(tcp, payload) {
            Parsed::Complete { value: hello, .. } => {
                (Some(judge::tcp_hello(self.snapshot, ends, &hello)), hello.sni, None)
            }
            // Without its beginning, a connection looks like any other protocol.
            Parsed::Reject(reject) if opened => {
                let told = (reject != HelloReject::NotTls).then(|| reject.label());
                (Some(judge::tcp_reject(self.snapshot, ends, reject)), None, told)
            }
            Parsed::Incomplete { .. } | Parsed::Reject(_) => (None, None, None),
        };
        self.held_bytes = self.held_bytes - before + stream.held_bytes();
        match decision {
            Some(decision) => {
                let told = Flow { ends, transport: Transport::Tcp, name: name.as_ref(), reject };
                self.tally.decided(&told, &decision);
            }
            None if self.held_bytes > HELD_BYTES_MAX => self.tally.unread(ends, Transport::Tcp, Unread::NoRoom),
            None => return,
        }
        self.held_bytes -= stream.held_bytes();
        flow.stream = None;
    }

    fn handle_udp(&mut self, ends: Ends, datagram: &[u8]) {
        let flow = self.udp.entry(ends).or_insert_with(UdpFlow::new);
        let Some(reader) = &mut flow.reader else { return };
        // The reader holds no more than it was given.
        let mut held = 0;
        let (outcome, name, reject) = match reader.handle_datagram(&Cipher, datagram) {
            Opening::Follows | Opening::Ignored => return,
            Opening::Opens { hello, .. } if flow.names.contains(&hello.sni) => return,
            Opening::Opens { hello, .. } => {
                flow.names.push(hello.sni.clone());
                held = datagram.len();
                (Ok(judge::quic_hello(self.snapshot, ends, &hello)), hello.sni, None)
            }
            // What has been judged goes on under keys that are not known.
            Opening::Refused(_) if !flow.names.is_empty() => return,
            Opening::Refused(reject) => (judge::quic_reject(self.snapshot, ends, reject), None, Some(reject.label())),
            Opening::Unseen | Opening::Waits => {
                held = datagram.len();
                (Err(Unread::NoRoom), None, None)
            }
        };
        flow.held_bytes += held;
        self.held_bytes += held;
        let is_full = self.held_bytes > HELD_BYTES_MAX;
        match outcome {
            Ok(decision) => {
                let told = Flow { ends, transport: Transport::Quic, name: name.as_ref(), reject };
                self.tally.decided(&told, &decision);
            }
            Err(Unread::NoRoom) if !is_full => return,
            Err(why) if flow.names.is_empty() => self.tally.unread(ends, Transport::Quic, why),
            Err(_) => {}
        }
        if is_full || flow.names.is_empty() {
            self.held_bytes -= flow.held_bytes;
            flow.reader = None;
        }
    }
}

impl Filter<'_> {
    fn takes(&self, ends: Ends) -> bool {
        let source = ends.source.ip();
        self.ports.contains(&ends.destination.port())
            && (self.sources.is_empty() || self.sources.iter().any(|network| network.contains(&source)))
    }
}

impl TcpFlow {
    fn new() -> Self {
        Self { stream: Some(Box::default()), opened_at: None }
    }

    /// Whether a segment opens another connection between the same ends.
    fn is_followed_by(&self, tcp: Tcp) -> bool {
        tcp.opens && self.opened_at.map_or_else(|| self.stream.is_none(), |opened_at| opened_at != tcp.sequence)
    }
}

impl UdpFlow {
    fn new() -> Self {
        Self { reader: Some(Box::default()), held_bytes: 0, names: Vec::new() }
    }
}

fn why_unread(stream: &Stream) -> Unread {
    match (stream.is_opened(), stream.is_empty()) {
        (true, true) => Unread::Empty,
        (true, false) => Unread::Unfinished,
        (false, _) => Unread::BeginningNotSeen,
    }
}
