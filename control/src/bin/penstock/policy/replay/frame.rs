//! A captured packet to the addresses and the payload of a TCP segment or a UDP datagram.
//!
//! Owns the link types. Headers are read leniently: a capture may have cut packets, and the kernel fills lengths and checksums
//! in after they have been captured. Fragments of IP are not put together: a ClientHello does not come in them.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_parser::Linktype;

use super::capture::Packet;

/// What a packet carries from one end of a flow to the other.
pub(super) struct Segment<'a> {
    pub(super) ends: Ends,
    pub(super) payload: &'a [u8],
    /// `None` for UDP.
    pub(super) tcp: Option<Tcp>,
}

/// Source and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

/// Of a TCP header, what puts segments in order.
#[derive(Clone, Copy)]
pub(super) struct Tcp {
    /// Number of the first byte, or of the SYN.
    pub(super) sequence: u32,
    /// The client's own SYN.
    pub(super) opens: bool,
}

/// Frame check sequences and other flags may stand above the type of a pcap header.
const LINK_TYPE_BITS: i32 = 0xffff;
/// The two numbers that BSDs write for raw IP beside the registered one.
const RAW_BSD: [i32; 2] = [12, 14];
const SLL2: i32 = 276;

/// The segment in a packet; `None` for what is neither TCP nor UDP. Fails on a link type that is not read.
pub(super) fn parse<'a>(packet: &Packet<'a>) -> Result<Option<Segment<'a>>, String> {
    let link = Linktype(packet.link.0 & LINK_TYPE_BITS);
    let bytes = packet.bytes;
    let sliced = match link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(bytes).ok(),
        // | kind, hardware, address (14) | protocol (2) |
        Linktype::LINUX_SLL => cooked(bytes, 14, 16),
        // | protocol (2) | reserved, interface, hardware, kind, address (18) |
        Linktype(SLL2) => cooked(bytes, 0, 20),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => LaxSlicedPacket::from_ip(bytes).ok(),
        Linktype(raw) if RAW_BSD.contains(&raw) => LaxSlicedPacket::from_ip(bytes).ok(),
        // | address family (4), in the order of whoever captured |
        Linktype::NULL | Linktype::LOOP => bytes.get(4..).and_then(|ip| LaxSlicedPacket::from_ip(ip).ok()),
        Linktype(other) => {
            return Err(format!("link type {other} is not read: capture Ethernet, Linux cooked or raw IP packets"));
        }
    };
    Ok(sliced.as_ref().and_then(segment))
}

/// A packet behind one of Linux's own headers.
fn cooked(bytes: &[u8], protocol_offset: usize, header_bytes: usize) -> Option<LaxSlicedPacket<'_>> {
    let protocol = u16::from_be_bytes(*bytes.get(protocol_offset..)?.first_chunk()?);
    Some(LaxSlicedPacket::from_ether_type(EtherType(protocol), bytes.get(header_bytes..)?))
}

fn segment<'a>(packet: &LaxSlicedPacket<'a>) -> Option<Segment<'a>> {
    let (source, destination): (IpAddr, IpAddr) = match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        LaxNetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        LaxNetSlice::Arp(_) => return None,
    };
    let (ports, payload, tcp) = match packet.transport.as_ref()? {
        TransportSlice::Tcp(tcp) => {
            let opens = tcp.syn() && !tcp.ack();
            let order = Tcp { sequence: tcp.sequence_number(), opens };
            ((tcp.source_port(), tcp.destination_port()), tcp.payload(), Some(order))
        }
        TransportSlice::Udp(udp) => ((udp.source_port(), udp.destination_port()), udp.payload(), None),
        TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) | TransportSlice::Igmp(_) => return None,
    };
    let ends = Ends { source: (source, ports.0).into(), destination: (destination, ports.1).into() };
    Some(Segment { ends, payload, tcp })
}
