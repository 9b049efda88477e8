//! Whether a server's first message is a HelloRetryRequest: a ServerHello with a random of its own (RFC 8446 section 4.1.3).
//!
//! Fed with the bytes as they are relayed, in any pieces; keeps none of them and answers with the first byte that settles
//! it, which for an ordinary ServerHello is mostly the first of its random.
//!
//! ```text
//! record header | 02 | length (3) | legacy_version (2) | random (32) ...
//!                 ^--- position 0                        ^--- position 6
//! ```

use super::record::{HANDSHAKE, HEADER_BYTES};
use crate::labelled;

labelled! {
    /// What a server answers to a ClientHello.
    pub enum ServerFirst {
        /// Anything else, also what is no TLS.
        Other = "other",
        /// It asks for a second ClientHello.
        Retry = "retry",
    }
}

/// Reads the first bytes of a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerHelloReader {
    /// Bytes of the record header that have been seen.
    header_bytes: usize,
    /// Payload of the record that has not been seen; valid once its header has.
    payload_bytes: usize,
    /// Bytes of the message that have been seen.
    position: usize,
    settled: Option<ServerFirst>,
}

impl ServerHelloReader {
    /// A reader for a server that has not spoken.
    pub const fn new() -> Self {
        Self { header_bytes: 0, payload_bytes: 0, position: 0, settled: None }
    }

    /// Looks at the next bytes. `None` while they could still become a HelloRetryRequest; an answer never changes.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Option<ServerFirst> {
        for &byte in bytes {
            if self.settled.is_some() {
                break;
            }
            self.settled = self.handle_byte(byte);
        }
        self.settled
    }

    fn handle_byte(&mut self, byte: u8) -> Option<ServerFirst> {
        if self.header_bytes < HEADER_BYTES {
            match self.header_bytes {
                0 if byte != HANDSHAKE => return Some(ServerFirst::Other),
                3 => self.payload_bytes = usize::from(byte) << 8,
                4 => self.payload_bytes |= usize::from(byte),
                _ => {}
            }
            self.header_bytes += 1;
            // A record without payload says nothing; the next one goes on.
            if self.header_bytes == HEADER_BYTES && self.payload_bytes == 0 {
                self.header_bytes = 0;
            }
            return None;
        }
        self.payload_bytes -= 1;
        if self.payload_bytes == 0 {
            self.header_bytes = 0;
        }
        let position = self.position;
        self.position += 1;
        let expected = match position {
            0 => Some(&SERVER_HELLO),
            1..RANDOM_AT => None,
            _ => RETRY_RANDOM.get(position - RANDOM_AT),
        };
        match expected {
            Some(&expected) if expected != byte => Some(ServerFirst::Other),
            Some(_) if position == RANDOM_AT + RETRY_RANDOM.len() - 1 => Some(ServerFirst::Retry),
            _ => None,
        }
    }
}

const SERVER_HELLO: u8 = 2;
/// Type, length and version stand before the random.
const RANDOM_AT: usize = 6;
/// SHA-256 of "HelloRetryRequest" (RFC 8446 section 4.1.3).
pub const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use sha2::{Digest as _, Sha256};

    use super::*;

    fn server_hello(random: [u8; 32]) -> Vec<u8> {
        let mut message = Vec::from([2, 0, 0, 44, 3, 3]);
        message.extend(random);
        message.extend([0, 0x13, 0x01, 0, 0, 4, 0, 43, 0, 2]);
        message
    }

    fn in_records(message: &[u8], bytes: usize) -> Vec<u8> {
        let record = |piece: &[u8]| [&[22, 3, 3, 0, u8::try_from(piece.len()).unwrap()][..], piece].concat();
        message.chunks(bytes).flat_map(record).collect()
    }

    #[test]
    fn the_random_is_the_one_of_the_rfc() {
        assert_eq!(RETRY_RANDOM, <[u8; 32]>::from(Sha256::digest(b"HelloRetryRequest")));
    }

    #[test]
    fn a_retry_is_seen_however_it_is_cut() {
        let message = server_hello(RETRY_RANDOM);
        for bytes in 1..=message.len() {
            let wire = in_records(&message, bytes);
            for at in 0..=wire.len() {
                let mut reader = ServerHelloReader::new();
                let first = reader.handle_bytes(&wire[..at]);
                assert!(matches!(first, None | Some(ServerFirst::Retry)));
                assert_eq!(reader.handle_bytes(&wire[at..]), Some(ServerFirst::Retry), "{bytes} {at}");
            }
        }
    }

    #[test]
    fn every_prefix_is_open_until_the_random_is_whole() {
        let wire = in_records(&server_hello(RETRY_RANDOM), 200);
        for end in 0..wire.len() {
            let answer = ServerHelloReader::new().handle_bytes(&wire[..end]);
            assert_eq!(answer, (end >= 5 + 6 + 32).then_some(ServerFirst::Retry), "{end}");
        }
    }

    #[test]
    fn one_other_byte_in_the_random_makes_it_an_ordinary_hello() {
        for index in 0..32 {
            let mut random = RETRY_RANDOM;
            random[index] ^= 1;
            let wire = in_records(&server_hello(random), 200);
            assert_eq!(ServerHelloReader::new().handle_bytes(&wire[..5 + 6 + index]), None);
            assert_eq!(ServerHelloReader::new().handle_bytes(&wire), Some(ServerFirst::Other));
        }
    }

    #[test]
    fn what_is_no_server_hello_is_settled_at_once() {
        for first in [&b"HTTP/1.1 400"[..], &[21], &[20, 3, 3], &[22, 3, 3, 0, 4, 11]] {
            assert_eq!(ServerHelloReader::new().handle_bytes(first), Some(ServerFirst::Other), "{first:?}");
        }
        let empty_first = [&[22, 3, 3, 0, 0][..], &in_records(&server_hello(RETRY_RANDOM), 7)].concat();
        assert_eq!(ServerHelloReader::new().handle_bytes(&empty_first), Some(ServerFirst::Retry));
    }
}
