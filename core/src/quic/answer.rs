//! What a refused client is told, so that it need not wait for a timeout before it tries TCP.
//!
//! Both answers are much shorter than what they answer, and go to whoever claims to have sent that. Does not own whether to
//! answer.
//!
//! ```text
//! Initial (0) { CONNECTION_CLOSE CONNECTION_REFUSED }           under the server's Initial keys, about 60 bytes
//! Version Negotiation { 1, 2 }                                  in the clear
//! ```

use alloc::vec::Vec;

use super::frame::CONNECTION_CLOSE;
use super::packet::{self, ConnectionId, Unit, Version};
use super::protect::{InitialCipher, PacketKeys, Side};
use crate::bytes::Reader;
use crate::limits::QUIC_INITIAL_DATAGRAM_BYTES_MIN;

/// RFC 9000 section 20.1.
const CONNECTION_REFUSED: u8 = 0x02;
/// The two high bits of a two-byte integer (RFC 9000 section 16).
const TWO_BYTES: u16 = 0x4000;

/// A server's Initial that closes a connection at once (RFC 9000 section 10.2.3). `destination` is the id of the client's first
/// Initial, from which the keys follow, and `source` the one by which the client wants to be answered. `None` when the cipher
/// fails.
pub fn connection_close(
    cipher: &impl InitialCipher,
    version: Version,
    destination: &ConnectionId,
    source: &ConnectionId,
) -> Option<Vec<u8>> {
    // Error, type of the frame at fault (none), length of the reason.
    let payload = [CONNECTION_CLOSE, CONNECTION_REFUSED, 0, 0].to_vec();
    let mut header = [version.initial_first_byte()].to_vec();
    header.extend(version.wire().to_be_bytes());
    push_id(&mut header, source.as_bytes());
    // Any id would do for the server's own; this one needs no randomness.
    push_id(&mut header, destination.as_bytes());
    header.push(0);
    let length = u16::try_from(PacketKeys::sealed_bytes(payload.len())).ok()?;
    header.extend((TWO_BYTES | length).to_be_bytes());
    PacketKeys::derive(cipher, version, destination, Side::Server).seal(cipher, header, payload)
}

/// The answer to a datagram in a version that is not read: which versions are (RFC 9000 section 6.1). `None` when it cannot be
/// answered so.
pub fn version_negotiation(datagram: &[u8]) -> Option<Vec<u8>> {
    let Some(Unit::UnknownVersion { destination, source }) = packet::next(&mut Reader::new(datagram)) else {
        return None;
    };
    if datagram.len() < QUIC_INITIAL_DATAGRAM_BYTES_MIN {
        return None;
    }
    let mut answer = [0xc0, 0, 0, 0, 0].to_vec();
    push_id(&mut answer, source);
    push_id(&mut answer, destination);
    answer.extend(Version::ALL.iter().flat_map(|version| version.wire().to_be_bytes()));
    Some(answer)
}

/// An id that came with a length of one byte goes out in the same way.
fn push_id(out: &mut Vec<u8>, id: &[u8]) {
    out.push(u8::try_from(id.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(id);
}
