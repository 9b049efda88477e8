//! One connection's keys and ClientHellos.
//!
//! Owns what the packets of one connection have in common: the id from which its keys follow, and its handshake bytes. Does
//! not own which packets those are (`reader`).

use alloc::vec::Vec;

use smallvec::SmallVec;

use super::crypto_stream::CryptoStream;
use super::frame::next_crypto;
use super::packet::{ConnectionId, Packet, Version};
use super::protect::{InitialCipher, PacketKeys, Side};
use super::reject::QuicReject;
use crate::bytes::Reader;
use crate::limits::{QUIC_CRYPTO_BYTES_MAX, QUIC_DATAGRAMS_MAX};
use crate::sni::Sni;
use crate::tls::ClientHello;

/// A connection that a client has begun.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    /// Destination id of the first Initial, which the client chose, or a Retry did (RFC 9001 section 5.2).
    pub(super) original: ConnectionId,
    /// One for each version in which the client has spoken: the version may change once (RFC 9368 section 4.1).
    keys: SmallVec<[PacketKeys; 1]>,
    /// The version of the last packet that was opened.
    pub(super) version: Version,
    /// The largest packet number so far.
    largest: Option<u64>,
    stream: CryptoStream,
    /// Where the ClientHello begins that has not been read.
    message_start: usize,
    /// ClientHellos that have been read.
    hellos: usize,
    /// The name in the first of them.
    name: Option<Sni>,
    /// Datagrams that came before the first of them.
    datagrams: usize,
}

/// A second ClientHello follows a HelloRetryRequest, which there is one of at most (RFC 8446 section 4.1.4).
const HELLOS_MAX: usize = 2;
const MESSAGE_HEADER_BYTES: usize = 4;
const CLIENT_HELLO: u8 = 1;

impl Connection {
    /// A connection whose first Initial goes to `original`.
    pub(super) fn new(original: ConnectionId, version: Version) -> Self {
        Self {
            original,
            keys: SmallVec::new(),
            version,
            largest: None,
            stream: CryptoStream::default(),
            message_start: 0,
            hellos: 0,
            name: None,
            datagrams: 0,
        }
    }

    /// Whether its first ClientHello has been read.
    pub(super) const fn is_read(&self) -> bool {
        self.hellos > 0
    }

    /// Bytes of the handshake that are kept.
    pub(super) fn kept_bytes(&self) -> usize {
        self.stream.furthest()
    }

    /// Opens `packet` into `plain` and gives the frames in it; `None` when it is not of this connection.
    pub(super) fn open<'plain>(
        &mut self,
        cipher: &impl InitialCipher,
        packet: &Packet<'_>,
        plain: &'plain mut Vec<u8>,
    ) -> Option<&'plain [u8]> {
        let known = self.keys.iter().position(|keys| keys.version == packet.version);
        let place = known.unwrap_or_else(|| {
            self.keys.push(PacketKeys::derive(cipher, packet.version, &self.original, Side::Client));
            self.keys.len() - 1
        });
        let opened = self.keys.get(place)?.open(cipher, packet, self.largest, plain)?;
        self.largest = self.largest.max(Some(opened.number));
        self.version = packet.version;
        plain.get(..opened.payload_bytes)
    }

    /// Takes the frames of one packet.
    pub(super) fn handle_frames(&mut self, frames: &[u8]) -> Result<(), QuicReject> {
        let mut reader = Reader::new(frames);
        while let Some(piece) = next_crypto(&mut reader).map_err(|()| QuicReject::Frame)? {
            self.stream.insert(piece.offset, piece.data)?;
        }
        Ok(())
    }

    /// Takes note of the end of a datagram. Gives whether a ClientHello has become whole, which is then
    /// [`hello`](Self::hello).
    pub(super) fn handle_end(&mut self) -> Result<bool, QuicReject> {
        let Some(end) = self.message_end()? else {
            if self.stream.furthest() > self.message_start && !self.is_read() {
                self.datagrams += 1;
            }
            return if self.datagrams > QUIC_DATAGRAMS_MAX { Err(QuicReject::TooMany) } else { Ok(false) };
        };
        // Nothing may follow before the server has answered, and only one ClientHello after that.
        if self.hellos == HELLOS_MAX || self.stream.furthest() > end {
            return Err(QuicReject::Hello);
        }
        self.hellos += 1;
        Ok(true)
    }

    /// Reads the ClientHello that has just become whole.
    pub(super) fn hello(&mut self) -> Result<ClientHello<'_>, QuicReject> {
        let prefix = self.stream.prefix();
        let body = prefix.get(self.message_start + MESSAGE_HEADER_BYTES..).unwrap_or_default();
        self.message_start = prefix.len();
        let hello = ClientHello::parse(body)?;
        if self.hellos == 1 {
            self.name.clone_from(&hello.sni);
        } else if self.name != hello.sni {
            return Err(QuicReject::NameChanged);
        }
        Ok(hello)
    }

    /// Where the ClientHello that is being read ends, once all of it is there.
    fn message_end(&self) -> Result<Option<usize>, QuicReject> {
        let mut reader = Reader::new(self.stream.prefix().get(self.message_start..).unwrap_or_default());
        match reader.u8() {
            None => return Ok(None),
            Some(CLIENT_HELLO) => {}
            Some(_) => return Err(QuicReject::Hello),
        }
        let Some(length) = reader.u24().and_then(|length| usize::try_from(length).ok()) else {
            return Ok(None);
        };
        let end = self.message_start + MESSAGE_HEADER_BYTES + length;
        if end > QUIC_CRYPTO_BYTES_MAX {
            return Err(QuicReject::TooLong);
        }
        Ok((reader.len() >= length).then_some(end))
    }
}
