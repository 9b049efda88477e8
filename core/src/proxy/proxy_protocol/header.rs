//! The header as both versions mean it, and the choice between them.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::tlv::{TlvReject, Tlvs};
use super::{v1, v2};
use crate::bytes::Parsed;
use crate::labelled;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// How it was, or is to be, written.
    pub version: Version,
    /// The connection that the sender relays; `None` when the sender speaks for itself (`LOCAL`, a health check) or does not
    /// say (`UNKNOWN`, `AF_UNSPEC`): then the real peer counts.
    pub endpoints: Option<Endpoints>,
    /// None in version 1.
    pub tlvs: Tlvs,
}

/// Both ends of the relayed connection. v4-mapped addresses are v4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Who opened it.
    pub source: SocketAddr,
    /// What was dialled.
    pub destination: SocketAddr,
}

labelled! {
    /// The version of a header.
    pub enum Version {
        /// A line of text.
        One = "v1",
        /// Binary, with TLVs.
        Two = "v2",
    }
}

/// Why bytes are no header that everybody would read the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderReject {
    /// An address is not written as its family is, or the block is too short for it.
    Address,
    /// Neither LOCAL nor PROXY.
    Command,
    /// A family or transport that is not defined.
    Family,
    /// No CRLF within the bytes that a line may have, or not a single space between its fields.
    Line,
    /// Longer than any header needs to be.
    Long,
    /// The bytes do not begin with a header.
    NoHeader,
    /// Defined, but no TCP: UDP, a Unix socket.
    NotTcp,
    /// A port that is zero, too large, or not written in its shortest form.
    Port,
    /// The TLVs.
    Tlv(TlvReject),
    /// A version that is not 2 behind the signature of version 2.
    Version,
}

/// Reads the header that `input` begins with. Nothing is kept between calls: a line has at most 107 bytes, and a block is
/// looked at when it is whole.
pub fn parse(input: &[u8]) -> Parsed<Header, HeaderReject> {
    match input.first() {
        Some(b'P') => v1::parse(input),
        Some(b'\r') => v2::parse(input),
        Some(_) => Parsed::Reject(HeaderReject::NoHeader),
        None => Parsed::Incomplete { more_bytes_min: 1 },
    }
}

/// Whether bytes begin with the whole signature of either version: no protocol that a client speaks does.
pub fn begins_like_header(input: &[u8]) -> bool {
    input.starts_with(v1::SIGNATURE) || input.starts_with(v2::SIGNATURE)
}

/// What to answer while a signature is not there whole: `None` once it is.
pub(super) fn signature<T>(input: &[u8], signature: &[u8]) -> Option<Parsed<T, HeaderReject>> {
    if input.starts_with(signature) {
        return None;
    }
    Some(match signature.starts_with(input) {
        true => Parsed::Incomplete { more_bytes_min: 1 },
        false => Parsed::Reject(HeaderReject::NoHeader),
    })
}

impl Header {
    /// A header without TLVs.
    pub const fn new(version: Version, endpoints: Option<Endpoints>) -> Self {
        Self { version, endpoints, tlvs: Tlvs::new() }
    }

    /// The header as it goes ahead of the connection's bytes. Version 1 leaves TLVs out, and the ends where a port is zero.
    pub fn encode(&self) -> Vec<u8> {
        match self.version {
            Version::One => v1::encode(self.endpoints),
            Version::Two => v2::encode(self.endpoints, &self.tlvs),
        }
    }
}

impl Endpoints {
    /// The ends, v4-mapped addresses unwrapped.
    pub const fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        Self { source: canonical(source), destination: canonical(destination) }
    }
}

const fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl HeaderReject {
    /// The word for it in messages.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Command => "command",
            Self::Family => "family",
            Self::Line => "line",
            Self::Long => "long",
            Self::NoHeader => "no_header",
            Self::NotTcp => "not_tcp",
            Self::Port => "port",
            Self::Tlv(reject) => reject.label(),
            Self::Version => "version",
        }
    }
}
