//! Packet headers, and where one packet of a datagram ends (RFC 9000 section 17, RFC 9369 section 3.2).
//!
//! Owns what stands in the clear. Packet numbers and payloads belong to `protect`.
//!
//! ```text
//! | 1 F T T x x x x | version (4) | n | destination id (n) | n | source id (n) |            long header
//!     Initial:          | token length (varint) | token | length (varint) | packet number, payload |
//!     0-RTT, Handshake: | length (varint) | packet number, payload |
//!     Retry:            | all that follows |
//! | 0 F ... all that follows |                                                             short header
//! ```
//! The bit `F` is 1, unless a client clears it for a server that is known to bear it (RFC 9287): it is not looked at.

use super::reject::QuicReject;
use crate::bytes::Reader;

/// A version whose Initial packets are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 9000.
    V1,
    /// RFC 9369.
    V2,
}

/// What a packet with a long header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// Under the handshake's keys.
    Handshake,
    /// Under keys that everybody can derive.
    Initial,
    /// A server's demand to begin again with a token.
    Retry,
    /// Data before the handshake.
    ZeroRtt,
}

/// A connection id of at most 20 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId {
    bytes: [u8; CONNECTION_ID_BYTES_MAX],
    len: u8,
}

/// One packet with a long header, as it stands in its datagram.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Its version.
    pub version: Version,
    /// What it is.
    pub kind: PacketKind,
    /// The id by which the receiver knows the connection.
    pub destination: ConnectionId,
    /// The id by which the sender wants to be answered.
    pub source: ConnectionId,
    /// The packet, from its first byte to its last.
    pub bytes: &'a [u8],
    /// Where the packet number begins, still protected.
    pub number_offset: usize,
}

/// What stands next in a datagram.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit<'a> {
    /// A packet with a long header.
    Long(Packet<'a>),
    /// A packet with a short header, or what else has the highest bit clear; it ends with the datagram.
    Short {
        /// Its first byte.
        first: u8,
    },
    /// A long header of a version whose packets cannot be read.
    UnknownVersion { destination: &'a [u8], source: &'a [u8] },
    /// A long header that ends too early or has lengths that do not fit. Every receiver drops it.
    Broken,
}

/// Longest connection id of versions 1 and 2 (RFC 9000 section 17.2).
const CONNECTION_ID_BYTES_MAX: usize = 20;
const LONG_HEADER_BIT: u8 = 0x80;

/// Whether a datagram begins with a long header, as all do that open a connection.
pub fn starts_long_header(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & LONG_HEADER_BIT != 0)
}

impl Version {
    const V1_WIRE: u32 = 0x0000_0001;
    const V2_WIRE: u32 = 0x6b33_43cf;
    /// Every version that is read.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// Its number on the wire.
    pub const fn wire(self) -> u32 {
        match self {
            Self::V1 => Self::V1_WIRE,
            Self::V2 => Self::V2_WIRE,
        }
    }

    const fn of_wire(wire: u32) -> Option<Self> {
        match wire {
            Self::V1_WIRE => Some(Self::V1),
            Self::V2_WIRE => Some(Self::V2),
            _ => None,
        }
    }

    /// What the two type bits mean (RFC 9000 section 17.2, RFC 9369 section 3.2).
    const fn kind(self, first: u8) -> PacketKind {
        match (self, (first >> 4) & 3) {
            (Self::V1, 0) | (Self::V2, 1) => PacketKind::Initial,
            (Self::V1, 1) | (Self::V2, 2) => PacketKind::ZeroRtt,
            (Self::V1, 2) | (Self::V2, 3) => PacketKind::Handshake,
            _ => PacketKind::Retry,
        }
    }

    /// The first byte of an Initial packet with a packet number of one byte, before header protection.
    pub(super) const fn initial_first_byte(self) -> u8 {
        match self {
            Self::V1 => 0xc0,
            Self::V2 => 0xd0,
        }
    }
}

impl ConnectionId {
    /// The id of `bytes`; `None` when there are more than 20.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut id = Self { bytes: [0; CONNECTION_ID_BYTES_MAX], len: u8::try_from(bytes.len()).ok()? };
        id.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(id)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Takes the next packet off a datagram; `None` at its end.
pub(super) fn next<'a>(datagram: &mut Reader<'a>) -> Option<Unit<'a>> {
    let start = *datagram;
    let first = datagram.u8()?;
    if first & LONG_HEADER_BIT == 0 {
        *datagram = Reader::new(&[]);
        return Some(Unit::Short { first });
    }
    Some(long(start, first, datagram).unwrap_or_else(|| {
        *datagram = Reader::new(&[]);
        Unit::Broken
    }))
}

fn long<'a>(start: Reader<'a>, first: u8, reader: &mut Reader<'a>) -> Option<Unit<'a>> {
    let version = u32::from_be_bytes(*reader.take(4)?.first_chunk()?);
    let (destination, source) = (reader.vector_u8()?, reader.vector_u8()?);
    let Some(version) = Version::of_wire(version) else {
        *reader = Reader::new(&[]);
        // Version 0 is Version Negotiation, which only servers send (RFC 9000 section 17.2.1).
        return (version != 0).then_some(Unit::UnknownVersion { destination, source });
    };
    let (destination, source) = (ConnectionId::new(destination)?, ConnectionId::new(source)?);
    let kind = version.kind(first);
    if kind == PacketKind::Initial {
        let token_bytes = usize::try_from(varint(reader)?).ok()?;
        reader.take(token_bytes)?;
    }
    let payload_bytes = match kind {
        PacketKind::Retry => reader.len(),
        _ => usize::try_from(varint(reader)?).ok()?,
    };
    let number_offset = start.len() - reader.len();
    reader.take(payload_bytes)?;
    let bytes = start.rest().get(..number_offset + payload_bytes)?;
    Some(Unit::Long(Packet { version, kind, destination, source, bytes, number_offset }))
}

/// A variable-length integer (RFC 9000 section 16).
pub(super) fn varint(reader: &mut Reader<'_>) -> Option<u64> {
    let mut ahead = *reader;
    let first = ahead.u8()?;
    let mut value = u64::from(first & 0x3f);
    for &byte in ahead.take((1 << (first >> 6)) - 1)? {
        value = value << 8 | u64::from(byte);
    }
    *reader = ahead;
    Some(value)
}

/// What a datagram that opens nothing is, by its first byte (RFC 9443 section 2).
pub(super) const fn judge_short(first: u8) -> QuicReject {
    if first & 0x40 == 0 { QuicReject::NotQuic } else { QuicReject::UnknownConnection }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn units(datagram: &[u8]) -> Vec<Unit<'_>> {
        let mut reader = Reader::new(datagram);
        core::iter::from_fn(|| next(&mut reader)).collect()
    }

    #[test]
    fn integers_of_the_rfc() {
        let read = |bytes: &[u8]| varint(&mut Reader::new(bytes));
        assert_eq!(read(&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]), Some(151_288_809_941_952_652));
        assert_eq!(read(&[0x9d, 0x7f, 0x3e, 0x7d]), Some(494_878_333));
        assert_eq!(read(&[0x7b, 0xbd]), Some(15_293));
        assert_eq!(read(&[0x25]), Some(37));
        assert_eq!(read(&[0x40, 0x25]), Some(37));
        assert_eq!(read(&[0xc0; 7]), None);
    }

    #[test]
    fn coalesced_packets_are_told_apart() {
        let mut datagram = vec![0xc0, 0, 0, 0, 1, 1, 7, 0, 2, 9, 9, 3, 1, 2, 3];
        datagram.extend([0xe0, 0, 0, 0, 1, 1, 7, 0, 2, 5, 6]);
        datagram.extend([0x40, 1, 2, 3]);
        let units = units(&datagram);
        let [Unit::Long(initial), Unit::Long(handshake), Unit::Short { first: 0x40 }] = units.as_slice() else {
            panic!("{units:?}");
        };
        assert_eq!((initial.kind, initial.number_offset, initial.bytes), (PacketKind::Initial, 12, &datagram[..15]));
        assert_eq!((handshake.kind, handshake.bytes), (PacketKind::Handshake, &datagram[15..26]));
        assert_eq!(initial.destination.as_bytes(), [7]);
    }

    #[test]
    fn every_prefix_of_a_packet_is_broken() {
        let packet = [0xc0, 0, 0, 0, 1, 1, 7, 1, 8, 2, 9, 9, 3, 1, 2, 3];
        for end in 1..packet.len() {
            assert!(matches!(units(&packet[..end])[..], [Unit::Broken]), "{end}");
        }
        assert!(matches!(units(&packet)[..], [Unit::Long(_)]));
    }

    #[test]
    fn types_differ_between_versions() {
        let kinds = |version: Version| [0xc0, 0xd0, 0xe0, 0xf0].map(|first| version.kind(first));
        use PacketKind::{Handshake, Initial, Retry, ZeroRtt};
        assert_eq!(kinds(Version::V1), [Initial, ZeroRtt, Handshake, Retry]);
        assert_eq!(kinds(Version::V2), [Retry, Initial, ZeroRtt, Handshake]);
    }

    #[test]
    fn ids_longer_than_20_bytes_belong_to_other_versions() {
        for (version, known) in [([0, 0, 0, 1], true), ([0xfa, 0xfa, 0xfa, 0xfa], false)] {
            let mut datagram = vec![0xc0];
            datagram.extend(version);
            datagram.push(21);
            datagram.extend([1; 21]);
            datagram.extend([0, 0, 1, 0]);
            let units = units(&datagram);
            assert_eq!(matches!(units[..], [Unit::Broken]), known);
            assert_eq!(matches!(units[..], [Unit::UnknownVersion { .. }]), !known);
        }
        assert!(matches!(units(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])[..], [Unit::Broken]), "Version Negotiation");
    }
}
