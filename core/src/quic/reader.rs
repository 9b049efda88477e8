//! The datagrams of one flow to the ClientHellos in them.
//!
//! Owns which connection a packet belongs to. A flow (two addresses, two ports) may carry several connections, one after
//! another or side by side: each is read, so that none hides behind another. What is not authentic is ignored, as every
//! server ignores it.
//!
//! An Initial belongs to the connection under whose keys it opens:
//!
//! | destination id | keys |
//! |---|---|
//! | the client's own choice, first flight | from that id: a new connection |
//! | the server's choice, later packets | those of the connection, from its first id |
//! | of a Retry | from that id: a new connection, which begins with the same ClientHello (RFC 9000 section 17.2.5.2) |
//! | of the first flight, other version after an upgrade | from the first id, other salt (RFC 9368 section 4.1) |

use alloc::vec::Vec;

use super::connection::Connection;
use super::packet::{self, ConnectionId, Packet, PacketKind, Unit, Version};
use super::protect::InitialCipher;
use super::reject::QuicReject;
use crate::bytes::Reader;
use crate::limits::{QUIC_CONNECTIONS_MAX, QUIC_FLOW_BYTES_MAX, QUIC_INITIAL_DATAGRAM_BYTES_MIN, QUIC_PACKETS_MAX};
use crate::tls::ClientHello;

/// Reads the ClientHellos of one flow. Holds at most [`QUIC_CONNECTIONS_MAX`] of them.
#[derive(Clone, Debug, Default)]
pub struct InitialReader {
    connections: Vec<Connection>,
}

/// What a datagram is.
#[derive(Clone, Debug)]
pub enum Opening<'a> {
    /// A connection whose ClientHello has been read goes on.
    Follows,
    /// Nothing in it counts: a forged, truncated or short Initial, which servers drop.
    Ignored,
    /// A ClientHello is whole by it: the first of a connection, or the second under the same name.
    Opens {
        /// The ClientHello.
        hello: ClientHello<'a>,
        /// The version in which it came.
        version: Version,
        /// The id from which the connection's keys follow.
        destination: ConnectionId,
        /// The id by which the client wants to be answered.
        source: ConnectionId,
    },
    /// No continuation can be right.
    Refused(QuicReject),
    /// Packets of a connection that began unseen; the flow has none that was seen. They can open nothing.
    Unseen,
    /// A connection whose ClientHello is not whole yet goes on.
    Waits,
}

/// What the Initial packets of one datagram have in common.
#[derive(Clone, Copy)]
struct Found {
    /// Place of their connection.
    connection: usize,
    source: ConnectionId,
}

impl InitialReader {
    /// A reader for a new flow.
    pub const fn new() -> Self {
        Self { connections: Vec::new() }
    }

    /// Looks at the next datagram of the client. Each datagram is given once, in the order of arrival; after a refusal
    /// the reader is of no further use.
    pub fn handle_datagram(&mut self, cipher: &impl InitialCipher, datagram: &[u8]) -> Opening<'_> {
        let found = match self.handle_packets(cipher, datagram) {
            Ok(Some(found)) => found,
            Ok(None) if datagram.is_empty() => return Opening::Refused(QuicReject::NotQuic),
            Ok(None) => return self.without_initial(datagram),
            Err(reject) => return Opening::Refused(reject),
        };
        if self.connections.iter().map(Connection::kept_bytes).sum::<usize>() > QUIC_FLOW_BYTES_MAX {
            return Opening::Refused(QuicReject::TooLong);
        }
        let Some(connection) = self.connections.get_mut(found.connection) else {
            return Opening::Ignored;
        };
        match connection.handle_end() {
            Ok(true) => {}
            Ok(false) if connection.is_read() => return Opening::Follows,
            Ok(false) => return Opening::Waits,
            Err(reject) => return Opening::Refused(reject),
        }
        let (version, destination, source) = (connection.version, connection.original, found.source);
        match connection.hello() {
            Ok(hello) => Opening::Opens { hello, version, destination, source },
            Err(reject) => Opening::Refused(reject),
        }
    }

    /// Opens the Initial packets of a datagram. `None` when none is authentic.
    fn handle_packets(&mut self, cipher: &impl InitialCipher, datagram: &[u8]) -> Result<Option<Found>, QuicReject> {
        let mut rest = Reader::new(datagram);
        let mut plain = Vec::new();
        let mut found: Option<Found> = None;
        let mut packets = 0;
        while let Some(unit) = packet::next(&mut rest) {
            packets += 1;
            if packets > QUIC_PACKETS_MAX {
                return Err(QuicReject::TooMany);
            }
            let packet = match unit {
                Unit::Long(packet) if packet.kind == PacketKind::Initial => packet,
                Unit::Short { first } if packets == 1 && self.connections.is_empty() => {
                    return Err(packet::judge_short(first));
                }
                Unit::UnknownVersion { .. } => return Err(QuicReject::UnknownVersion),
                Unit::Broken | Unit::Long(_) | Unit::Short { .. } => continue,
            };
            // A server drops Initials in datagrams that are shorter (RFC 9000 section 14.1).
            if datagram.len() < QUIC_INITIAL_DATAGRAM_BYTES_MIN {
                continue;
            }
            let Some(connection) = self.handle_initial(cipher, &packet, &mut plain)? else {
                continue;
            };
            // Packets of two connections in one datagram: servers differ in what they do with the second.
            if found.is_some_and(|found| found.connection != connection) {
                return Err(QuicReject::TooMany);
            }
            found = Some(Found { connection, source: packet.source });
        }
        Ok(found)
    }

    /// Opens one Initial packet and takes its frames. Gives the place of its connection, `None` when it is not authentic.
    fn handle_initial(
        &mut self,
        cipher: &impl InitialCipher,
        packet: &Packet<'_>,
        plain: &mut Vec<u8>,
    ) -> Result<Option<usize>, QuicReject> {
        // The connection that the id names comes first, then those to which the server may have given it.
        let named = self.connections.iter().position(|connection| connection.original == packet.destination);
        let others = (0..self.connections.len()).filter(|&place| Some(place) != named);
        for place in named.into_iter().chain(others) {
            let Some(connection) = self.connections.get_mut(place) else { continue };
            if let Some(frames) = connection.open(cipher, packet, plain) {
                return connection.handle_frames(frames).map(|()| Some(place));
            }
        }
        if named.is_some() {
            return Ok(None);
        }
        let mut connection = Connection::new(packet.destination, packet.version);
        let Some(frames) = connection.open(cipher, packet, plain) else {
            return Ok(None);
        };
        if self.connections.len() == QUIC_CONNECTIONS_MAX {
            return Err(QuicReject::TooMany);
        }
        connection.handle_frames(frames)?;
        self.connections.push(connection);
        Ok(Some(self.connections.len() - 1))
    }

    /// What a datagram without an authentic Initial is.
    fn without_initial(&self, datagram: &[u8]) -> Opening<'_> {
        let mut rest = Reader::new(datagram);
        let counts = core::iter::from_fn(|| packet::next(&mut rest)).any(|unit| match unit {
            Unit::Long(packet) => packet.kind != PacketKind::Initial && packet.kind != PacketKind::Retry,
            // Behind a packet that is not authentic, it is nothing.
            Unit::Short { .. } => !packet::starts_long_header(datagram),
            Unit::Broken | Unit::UnknownVersion { .. } => false,
        });
        match counts {
            false => Opening::Ignored,
            true if self.connections.iter().any(Connection::is_read) => Opening::Follows,
            true if self.connections.is_empty() => Opening::Unseen,
            true => Opening::Waits,
        }
    }
}
