//! A connection whose client is sent elsewhere: it is told so when it has asked for something, and no sooner, since clients
//! repeat a request that was not looked at, but give up on a connection that ends before they could ask.

use alloc::vec::Vec;

use super::egress::PREFACE;
use super::frame::{self, FRAME_HEADER_BYTES, FrameHeader, Kind};
use super::violation::code;

/// Reads what such a client sends, for as long as it takes to see a request begin. Keeps nothing but a frame's header.
#[derive(Debug)]
pub struct TurnAway {
    /// Bytes of the preface or of a payload that are still to be skipped.
    skipped_bytes: usize,
    header: Vec<u8>,
}

impl Default for TurnAway {
    fn default() -> Self {
        Self { skipped_bytes: PREFACE.len(), header: Vec::new() }
    }
}

impl TurnAway {
    /// What a server says first on every connection: SETTINGS (RFC 9113 section 3.4), here without any.
    pub fn greeting() -> Vec<u8> {
        let mut out = Vec::new();
        frame::push(&mut out, frame::SETTINGS, 0, 0, &[]);
        out
    }

    /// GOAWAY that names no stream: the client may ask for all of them again on another connection, whatever their methods
    /// (RFC 9113 section 6.8).
    pub fn farewell() -> Vec<u8> {
        let (last, mut out) = (0_u32, Vec::new());
        frame::push(&mut out, frame::GOAWAY, 0, 0, &[&last.to_be_bytes(), &code::NO_ERROR.to_be_bytes()]);
        out
    }

    /// Takes what the client sends; whether a request has begun in it.
    pub fn handle_bytes(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            let skipped = self.skipped_bytes.min(bytes.len());
            self.skipped_bytes -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let wanted = FRAME_HEADER_BYTES.saturating_sub(self.header.len()).min(bytes.len());
            let (part, rest) = bytes.split_at_checked(wanted).unwrap_or_default();
            self.header.extend_from_slice(part);
            bytes = rest;
            let Some(header) = FrameHeader::read(&self.header) else { return false };
            if header.kind == Kind::Headers {
                return true;
            }
            self.skipped_bytes = header.length;
            self.header.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_settings_and_goaway_of_no_stream() {
        assert_eq!(TurnAway::greeting(), b"\0\0\0\x04\0\0\0\0\0");
        assert_eq!(TurnAway::farewell(), b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0");
    }

    #[test]
    fn a_request_is_seen_when_its_header_is_whole_in_whatever_pieces_it_comes() {
        let mut bytes = PREFACE.to_vec();
        // SETTINGS with one entry, WINDOW_UPDATE, PING whose payload looks like HEADERS.
        bytes.extend_from_slice(b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\x60\0\0\0\0\x04\x08\0\0\0\0\0\0\xef\0\x01");
        bytes.extend_from_slice(b"\0\0\x08\x06\0\0\0\0\0\0\0\x01\x01\x05\0\0\0");
        let begins = bytes.len();
        bytes.extend_from_slice(b"\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x87");
        for end in 0..=bytes.len() {
            assert_eq!(TurnAway::default().handle_bytes(&bytes[..end]), end >= begins + FRAME_HEADER_BYTES, "{end}");
            let (mut reader, (first, second)) = (TurnAway::default(), bytes.split_at(end));
            assert!(reader.handle_bytes(first) || reader.handle_bytes(second), "{end}");
        }
        let mut reader = TurnAway::default();
        let seen_at = bytes.iter().position(|byte| reader.handle_bytes(&[*byte]));
        assert_eq!(seen_at, Some(begins + FRAME_HEADER_BYTES - 1));
    }
}
