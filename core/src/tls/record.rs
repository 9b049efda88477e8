//! The record header in front of everything that TLS sends (RFC 8446 section 5.1).
//!
//! Owns the five bytes and the bounds on them. What a record holds belongs to its reader.
//!
//! ```text
//!  0        1        2        3        4        5
//! +--------+--------+--------+--------+--------+----------------
//! |  type  | 0x03   | minor  |     length      | payload ...
//! +--------+--------+--------+--------+--------+----------------
//! ```

use crate::bytes::Reader;

/// Bytes of a record header.
pub const HEADER_BYTES: usize = 5;

/// Type of a ChangeCipherSpec record.
pub const CHANGE_CIPHER_SPEC: u8 = 20;
/// Type of an alert record.
pub const ALERT: u8 = 21;
/// Type of a handshake record.
pub const HANDSHAKE: u8 = 22;

/// A record header as it stands on the wire; nothing about it has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// What the payload is.
    pub content_type: u8,
    /// First byte of the version: 3 since SSL 3.0.
    pub version_major: u8,
    /// Second byte of the version, which readers ignore.
    pub version_minor: u8,
    /// Length of the payload.
    pub payload_bytes: usize,
}

impl RecordHeader {
    /// Reads a header; `None` when fewer than five bytes are there.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut ahead = *reader;
        let header = Self {
            content_type: ahead.u8()?,
            version_major: ahead.u8()?,
            version_minor: ahead.u8()?,
            payload_bytes: usize::from(ahead.u16()?),
        };
        *reader = ahead;
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_five_bytes_and_a_prefix_is_none() {
        let wire = [22, 3, 1, 0x02, 0x00, 1];
        for end in 0..HEADER_BYTES {
            let mut reader = Reader::new(&wire[..end]);
            assert_eq!(RecordHeader::read(&mut reader), None);
            assert_eq!(reader.len(), end);
        }
        let mut reader = Reader::new(&wire);
        let header = RecordHeader { content_type: HANDSHAKE, version_major: 3, version_minor: 1, payload_bytes: 512 };
        assert_eq!(RecordHeader::read(&mut reader), Some(header));
        assert_eq!(reader.rest(), &[1]);
    }
}
