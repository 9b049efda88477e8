//! The segments of one direction, in any order, to the first bytes of a connection and the ClientHello in them.
//!
//! Where two segments overlap, what was captured first counts.
//!
//! ```text
//! base                                  base + CLIENT_HELLO_INPUT_BYTES_MAX
//! | received, without a gap |   | ahead |   | ahead |    |
//! ```

use std::collections::BTreeMap;

use penstock_core::bytes::Parsed;
use penstock_core::limits::CLIENT_HELLO_INPUT_BYTES_MAX;
use penstock_core::tls::{ClientHello, ClientHelloReader, HelloReject};

use super::frame::Tcp;

/// The beginning of one connection.
#[derive(Default)]
pub(super) struct Stream {
    /// Sequence number of the first byte, as far as known; `None` before anything was seen.
    base: Option<u32>,
    /// Whether the SYN was seen, so that nothing can stand before `base`.
    opened: bool,
    received: Vec<u8>,
    /// Pieces behind a gap, by their distance from `base`.
    ahead: BTreeMap<usize, Vec<u8>>,
    reader: ClientHelloReader,
    /// What the bytes are instead of a ClientHello.
    rejected: Option<HelloReject>,
}

/// Pieces behind gaps; with one more, the piece is taken for lost.
const PIECES_MAX: usize = 1_024;

impl Stream {
    /// Takes a segment, and says what the bytes are as far as they are there.
    pub(super) fn handle(&mut self, tcp: Tcp, payload: &[u8]) -> Parsed<ClientHello<'_>, HelloReject> {
        // A SYN takes a number of its own; data may come with it (RFC 7413).
        let sequence = tcp.sequence.wrapping_add(u32::from(tcp.opens));
        let (base, was_opened) = (*self.base.get_or_insert(sequence), self.opened);
        self.opened |= tcp.opens;
        let distance = sequence.wrapping_sub(base).cast_signed();
        // Only an earlier beginning can make another thing of it.
        if let Some(reject) = self.rejected.filter(|_| distance >= 0 && !tcp.opens) {
            return Parsed::Reject(reject);
        }
        match usize::try_from(distance) {
            Ok(offset) => self.insert(offset, payload),
            Err(_) if !was_opened => self.begin_earlier(sequence, distance.unsigned_abs(), payload),
            Err(_) => {
                // Retransmitted with a part that is before the first byte, as keep-alives are.
                let before = usize::try_from(distance.unsigned_abs()).unwrap_or(usize::MAX);
                self.insert(0, payload.get(before..).unwrap_or_default());
            }
        }
        let outcome = self.reader.handle_bytes(&self.received);
        if let Parsed::Reject(reject) = &outcome {
            self.rejected = Some(*reject);
        }
        outcome
    }

    /// Whether the connection was captured from its beginning, as far as that can be told.
    pub(super) const fn is_opened(&self) -> bool {
        self.opened
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// Bytes in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.received.len() + self.ahead.values().map(Vec::len).sum::<usize>()
    }

    /// Without a SYN the first segment captured need not be the first one sent.
    fn begin_earlier(&mut self, sequence: u32, distance: u32, payload: &[u8]) {
        let distance = usize::try_from(distance).unwrap_or(usize::MAX);
        if distance >= CLIENT_HELLO_INPUT_BYTES_MAX {
            return;
        }
        self.base = Some(sequence);
        self.rejected = None;
        self.reader = ClientHelloReader::new();
        let later = std::mem::take(&mut self.ahead);
        self.ahead = later.into_iter().map(|(offset, piece)| (offset + distance, piece)).collect();
        let received = std::mem::take(&mut self.received);
        self.keep(distance, received);
        self.insert(0, payload);
    }

    fn insert(&mut self, offset: usize, payload: &[u8]) {
        let room = CLIENT_HELLO_INPUT_BYTES_MAX.saturating_sub(offset);
        let payload = payload.get(..room).unwrap_or(payload);
        if offset > self.received.len() {
            self.keep(offset, payload.to_vec());
            return;
        }
        self.append(offset, payload);
        while let Some(first) = self.ahead.first_entry()
            && *first.key() <= self.received.len()
        {
            let (offset, piece) = first.remove_entry();
            self.append(offset, &piece);
        }
    }

    /// Takes of a piece what goes on where the received bytes end.
    fn append(&mut self, offset: usize, piece: &[u8]) {
        let known = self.received.len().saturating_sub(offset);
        self.received.extend_from_slice(piece.get(known..).unwrap_or_default());
    }

    fn keep(&mut self, offset: usize, piece: Vec<u8>) {
        if piece.is_empty() || self.ahead.len() == PIECES_MAX {
            return;
        }
        let kept = self.ahead.entry(offset).or_default();
        if piece.len() > kept.len() {
            *kept = piece;
        }
    }
}
