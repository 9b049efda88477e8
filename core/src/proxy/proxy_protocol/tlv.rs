//! The TLVs of version 2: kept as they came, checked for what is known of them.

use alloc::vec::Vec;

use super::crc32c::crc32c;
use super::v2::{FIXED_BYTES, INET6_BYTES};
use crate::bytes::Reader;
use crate::limits::{PROXY_HEADER_BYTES_MAX, PROXY_UNIQUE_ID_BYTES_MAX};

/// The TLVs of one header, in its order. None stands twice but [`TlvKind::NOOP`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tlvs {
    block: Vec<u8>,
}

/// The type of a TLV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlvKind(pub u8);

/// What is wrong with TLVs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlvReject {
    /// The checksum is not four bytes, or not that of the header.
    Checksum,
    /// A type stands twice.
    Duplicate,
    /// A value, or the start of a TLV, goes past the end.
    Overrun,
    /// A value that is not of its type's form.
    Value,
}

/// What a sender says of the client's TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ssl<'a> {
    /// Whether the client gave a certificate, on this connection or on the session's first, that the sender verified.
    pub is_verified: bool,
    /// Sub-TLVs, well-formed.
    subs: &'a [u8],
}

impl Tlvs {
    /// None.
    pub const fn new() -> Self {
        Self { block: Vec::new() }
    }

    /// Reads the TLVs in `block`, the end of the header `whole`, over which a checksum goes.
    pub(super) fn read(block: &[u8], whole: &[u8]) -> Result<Self, TlvReject> {
        let mut seen = [false; 256];
        let mut reader = Reader::new(block);
        while let Some((kind, value)) = next(&mut reader)? {
            let was_seen = seen.get_mut(usize::from(kind.0)).map(|seen| core::mem::replace(seen, true));
            if was_seen == Some(true) && kind != TlvKind::NOOP {
                return Err(TlvReject::Duplicate);
            }
            if kind == TlvKind::CRC32C {
                check_sum(value, whole, reader.len())?;
            }
            check_value(kind, value)?;
        }
        Ok(Self { block: block.to_vec() })
    }

    /// Adds one; `false`, and nothing is added, when it is there already, is malformed or does not fit. The checksum's
    /// value is computed when the header is encoded; four bytes of any value hold its place.
    pub fn push(&mut self, kind: TlvKind, value: &[u8]) -> bool {
        let room = PROXY_HEADER_BYTES_MAX - FIXED_BYTES - INET6_BYTES - self.block.len();
        let Ok(length) = u16::try_from(value.len()) else { return false };
        let is_right = check_value(kind, value).is_ok() && (kind != TlvKind::CRC32C || value.len() == CRC32C_BYTES);
        let is_new = kind == TlvKind::NOOP || self.find(kind).is_none();
        if !is_right || !is_new || TLV_BYTES + value.len() > room {
            return false;
        }
        self.block.push(kind.0);
        self.block.extend_from_slice(&length.to_be_bytes());
        self.block.extend_from_slice(value);
        true
    }

    /// The types and values.
    pub fn iter(&self) -> impl Iterator<Item = (TlvKind, &[u8])> {
        let mut reader = Reader::new(&self.block);
        core::iter::from_fn(move || next(&mut reader).ok().flatten())
    }

    /// The value of a type.
    pub fn find(&self, kind: TlvKind) -> Option<&[u8]> {
        self.iter().find(|(known, _)| *known == kind).map(|(_, value)| value)
    }

    /// What the sender says of the client's TLS, if anything.
    pub fn ssl(&self) -> Option<Ssl<'_>> {
        Ssl::read(self.find(TlvKind::SSL)?)
    }

    pub(super) fn block(&self) -> &[u8] {
        &self.block
    }

    /// Writes the TLVs behind the rest of the header, with the checksum where there is one.
    pub(super) fn encode_behind(&self, header: &mut Vec<u8>) {
        let start = header.len();
        header.extend_from_slice(&self.block);
        let mut reader = Reader::new(&self.block);
        while let Ok(Some((kind, value))) = next(&mut reader) {
            if kind == TlvKind::CRC32C {
                let at = start + self.block.len() - reader.len() - value.len();
                let sum = sum_without(header, at).to_be_bytes();
                if let Some(place) = header.get_mut(at..at + CRC32C_BYTES) {
                    place.copy_from_slice(&sum);
                }
            }
        }
    }
}

impl TlvKind {
    /// The protocol that the client chose, as in TLS ALPN.
    pub const ALPN: Self = Self(0x01);
    /// The host name that the client asked the sender for.
    pub const AUTHORITY: Self = Self(0x02);
    /// The checksum.
    pub const CRC32C: Self = Self(0x03);
    /// Padding.
    pub const NOOP: Self = Self(0x04);
    /// An id that the sender gave the connection.
    pub const UNIQUE_ID: Self = Self(0x05);
    /// The client's TLS, see [`Ssl`].
    pub const SSL: Self = Self(0x20);
    /// The name of a network namespace.
    pub const NETNS: Self = Self(0x30);

    /// Whether the type is for applications to define (`PP2_TYPE_MIN_CUSTOM` and up, experiments and the reserved ones).
    pub const fn is_custom(self) -> bool {
        self.0 >= 0xe0
    }
}

impl<'a> Ssl<'a> {
    fn read(value: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(value);
        let client = reader.u8()?;
        let verify = reader.take(4)?;
        let subs = reader.rest();
        while next(&mut reader).ok()?.is_some() {}
        Some(Self { is_verified: client & CLIENT_CERTIFICATE != 0 && verify == [0; 4], subs })
    }

    /// The common name of the client's certificate, which means nothing unless it was verified.
    pub fn common_name(&self) -> Option<&'a str> {
        let mut reader = Reader::new(self.subs);
        while let Ok(Some((kind, value))) = next(&mut reader) {
            if kind == COMMON_NAME {
                return core::str::from_utf8(value).ok();
            }
        }
        None
    }
}

impl TlvReject {
    /// The word for it in messages.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Checksum => "checksum",
            Self::Duplicate => "tlv_duplicate",
            Self::Overrun => "tlv_overrun",
            Self::Value => "tlv_value",
        }
    }
}

/// The next TLV; `None` at the end.
fn next<'a>(reader: &mut Reader<'a>) -> Result<Option<(TlvKind, &'a [u8])>, TlvReject> {
    let Some(kind) = reader.u8() else { return Ok(None) };
    let value = reader.vector_u16().ok_or(TlvReject::Overrun)?;
    Ok(Some((TlvKind(kind), value)))
}

fn check_value(kind: TlvKind, value: &[u8]) -> Result<(), TlvReject> {
    let is_right = match kind {
        TlvKind::UNIQUE_ID => value.len() <= PROXY_UNIQUE_ID_BYTES_MAX,
        TlvKind::AUTHORITY => core::str::from_utf8(value).is_ok(),
        TlvKind::NETNS => value.is_ascii(),
        TlvKind::SSL => Ssl::read(value).is_some(),
        _ => true,
    };
    if is_right { Ok(()) } else { Err(TlvReject::Value) }
}

/// `behind` bytes follow the checksum in the header.
fn check_sum(value: &[u8], whole: &[u8], behind: usize) -> Result<(), TlvReject> {
    let told: [u8; CRC32C_BYTES] = value.try_into().map_err(|_| TlvReject::Checksum)?;
    let at = whole.len().checked_sub(behind + CRC32C_BYTES).ok_or(TlvReject::Checksum)?;
    if sum_without(whole, at) == u32::from_be_bytes(told) { Ok(()) } else { Err(TlvReject::Checksum) }
}

/// The checksum of a header in which the four bytes at `at` count as zero.
fn sum_without(header: &[u8], at: usize) -> u32 {
    let before = header.get(..at).unwrap_or_default();
    let behind = header.get(at + CRC32C_BYTES..).unwrap_or_default();
    crc32c([before, &[0; CRC32C_BYTES], behind])
}

/// A type and a length.
const TLV_BYTES: usize = 3;
const CRC32C_BYTES: usize = 4;
/// `PP2_CLIENT_CERT_CONN | PP2_CLIENT_CERT_SESS`.
const CLIENT_CERTIFICATE: u8 = 0x02 | 0x04;
/// `PP2_SUBTYPE_SSL_CN`.
const COMMON_NAME: TlvKind = TlvKind(0x22);
