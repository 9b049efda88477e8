//! The nine bytes that every frame begins with (RFC 9113 section 4.1), and the frames that the editor makes itself.
//!
//! Owns types, flags and the layout of headers; knows no state.

use alloc::vec::Vec;

use crate::limits::HTTP2_FRAME_BYTES_MAX;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Of the payload.
    pub(super) length: usize,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    /// Without the reserved bit.
    pub(super) stream: u32,
}

/// Types of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// ALTSVC (RFC 7838) and ORIGIN (RFC 8336): where else a client may go with its requests.
    Alternative,
    Continuation,
    Data,
    Goaway,
    Headers,
    Ping,
    Priority,
    /// PRIORITY_UPDATE (RFC 9218).
    PriorityUpdate,
    PushPromise,
    RstStream,
    Settings,
    Unknown,
    WindowUpdate,
}

impl FrameHeader {
    /// Reads the header that `input` begins with, once it is whole.
    pub(super) fn read(input: &[u8]) -> Option<Self> {
        let &[high, middle, low, kind, flags, a, b, c, d] = input.first_chunk::<FRAME_HEADER_BYTES>()?;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        Some(Self { length, kind: Kind::of(kind), flags, stream: u32::from_be_bytes([a & 0x7f, b, c, d]) })
    }

    pub(super) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Header and payload.
    pub(super) const fn bytes(self) -> usize {
        FRAME_HEADER_BYTES + self.length
    }
}

impl Kind {
    const fn of(byte: u8) -> Self {
        match byte {
            0x0 => Self::Data,
            0x1 => Self::Headers,
            0x2 => Self::Priority,
            0x3 => Self::RstStream,
            0x4 => Self::Settings,
            0x5 => Self::PushPromise,
            0x6 => Self::Ping,
            0x7 => Self::Goaway,
            0x8 => Self::WindowUpdate,
            0x9 => Self::Continuation,
            0xa | 0xc => Self::Alternative,
            0x10 => Self::PriorityUpdate,
            _ => Self::Unknown,
        }
    }
}

/// A header for a payload of `length` bytes, which is at most [`HTTP2_FRAME_BYTES_MAX`].
pub(super) fn header(length: usize, kind: u8, flags: u8, stream: u32) -> [u8; FRAME_HEADER_BYTES] {
    let length = u32::try_from(length.min(HTTP2_FRAME_BYTES_MAX)).unwrap_or_default();
    let [_, high, middle, low] = length.to_be_bytes();
    let [a, b, c, d] = stream.to_be_bytes();
    [high, middle, low, kind, flags, a, b, c, d]
}

/// Appends a whole frame.
pub(super) fn push(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[&[u8]]) {
    let length = payload.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&header(length, kind, flags, stream));
    for part in payload {
        out.extend_from_slice(part);
    }
}

/// The big-endian number that `payload` is or begins with.
pub(super) fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |&bytes| u32::from_be_bytes(bytes))
}

pub(super) const FRAME_HEADER_BYTES: usize = 9;

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const WINDOW_UPDATE: u8 = 0x8;
pub(super) const CONTINUATION: u8 = 0x9;

/// On SETTINGS and PING.
pub(super) const ACK: u8 = 0x1;
/// On DATA and HEADERS.
pub(super) const END_STREAM: u8 = 0x1;
/// On HEADERS and CONTINUATION.
pub(super) const END_HEADERS: u8 = 0x4;
/// On DATA and HEADERS.
pub(super) const PADDED: u8 = 0x8;
/// On HEADERS.
pub(super) const PRIORITY: u8 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn headers_are_read_as_written() {
        let bytes = header(0x1234, HEADERS, END_STREAM | PRIORITY, 0x7fff_ffff);
        let expected =
            FrameHeader { length: 0x1234, kind: Kind::Headers, flags: END_STREAM | PRIORITY, stream: 0x7fff_ffff };
        assert_eq!(FrameHeader::read(&bytes), Some(expected));
        for length in 0..FRAME_HEADER_BYTES {
            assert_eq!(FrameHeader::read(&bytes[..length]), None);
        }
        // The reserved bit has no meaning.
        let mut bytes = bytes;
        bytes[5] |= 0x80;
        assert_eq!(FrameHeader::read(&bytes), Some(expected));
    }

    #[test]
    fn a_frame_is_its_header_and_payload() {
        let mut out = vec![];
        push(&mut out, WINDOW_UPDATE, 0, 0, &[&5u32.to_be_bytes()]);
        assert_eq!(out, [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(number(&out[9..]), 5);
    }
}
