//! QUIC as far as its first packets tell who is wanted: RFC 9000, 9001 (version 1) and 9369 (version 2).
//!
//! The keys of Initial packets come from a connection id that stands in the clear, so whoever sees them may read them. Nothing
//! past them is read. Cryptography comes in as [`InitialCipher`].
//!
//! | file | owns |
//! |---|---|
//! | `packet` | headers, and where one packet of a datagram ends |
//! | `protect` | keys of Initial packets, opening and sealing them |
//! | `frame` | the frames that an Initial packet may hold |
//! | `crypto_stream` | CRYPTO frames to handshake bytes, in any order |
//! | `connection` | one connection's keys and ClientHellos |
//! | `reader` | the datagrams of one flow to the ClientHellos in them |
//! | `answer` | what a refused client is told |
//! | `outcome` | what becomes of a datagram |
//! | `reject` | why a datagram is refused |

mod answer;
mod connection;
mod crypto_stream;
mod frame;
mod outcome;
mod packet;
mod protect;
mod reader;
mod reject;

pub use answer::{connection_close, version_negotiation};
pub use outcome::DatagramOutcome;
pub use packet::{ConnectionId, Packet, PacketKind, Version, starts_long_header};
pub use protect::{InitialCipher, PacketKeys, Side};
pub use reader::{InitialReader, Opening};
pub use reject::QuicReject;
