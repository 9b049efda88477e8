//! CRYPTO frames to handshake bytes, in any order and over any number of datagrams (RFC 9000 section 19.6).
//!
//! Bounded in bytes and in pieces: out-of-order data that is kept without bound has exhausted the memory of other stacks
//! (RUSTSEC-2026-0185). Two pieces must agree wherever they overlap, since a server may keep the other one.
//!
//! ```text
//! bytes:    | c l i e n t h | . . . . . | l l o . . | . . . | ...
//! ranges:   | 0 ......... 7 |           |12 ... 17 |
//!           `- prefix: what can be read
//! ```

use alloc::vec::Vec;
use core::ops::Range;

use smallvec::SmallVec;

use super::reject::QuicReject;
use crate::limits::{QUIC_CRYPTO_BYTES_MAX, QUIC_CRYPTO_PIECES_MAX};

/// The handshake bytes of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct CryptoStream {
    /// As long as the furthest piece reaches; zeros where nothing has come.
    bytes: Vec<u8>,
    /// Where something has come: ordered, apart from each other.
    ranges: SmallVec<[Range<usize>; 4]>,
}

impl CryptoStream {
    /// Takes a piece; after a refusal the stream is of no further use.
    pub(super) fn insert(&mut self, offset: u64, data: &[u8]) -> Result<(), QuicReject> {
        let start = usize::try_from(offset).map_err(|_| QuicReject::TooLong)?;
        let end =
            start.checked_add(data.len()).filter(|&end| end <= QUIC_CRYPTO_BYTES_MAX).ok_or(QuicReject::TooLong)?;
        if data.is_empty() {
            return Ok(());
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        // The ranges that touch the piece: those become one with it.
        let first = self.ranges.partition_point(|range| range.end < start);
        let behind = self.ranges.partition_point(|range| range.start <= end);
        let mut merged = start..end;
        for range in self.ranges.get(first..behind).unwrap_or_default() {
            let common = range.start.max(start)..range.end.min(end);
            if common.start < common.end {
                let ours = self.bytes.get(common.clone());
                let theirs = data.get(common.start - start..common.end - start);
                if ours != theirs {
                    return Err(QuicReject::ConflictingCrypto);
                }
            }
            merged = merged.start.min(range.start)..merged.end.max(range.end);
        }
        if let Some(place) = self.bytes.get_mut(start..end) {
            place.copy_from_slice(data);
        }
        self.ranges.drain(first..behind);
        self.ranges.insert(first, merged);
        if self.ranges.len() > QUIC_CRYPTO_PIECES_MAX { Err(QuicReject::TooMany) } else { Ok(()) }
    }

    /// The bytes from the first on, as far as they have come.
    pub(super) fn prefix(&self) -> &[u8] {
        match self.ranges.first() {
            Some(range) if range.start == 0 => self.bytes.get(range.clone()).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Where the furthest piece ends.
    pub(super) fn furthest(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_in_any_order_make_the_same_bytes(
            message in proptest::collection::vec(any::<u8>(), 1..400),
            cuts in proptest::collection::vec((any::<prop::sample::Index>(), 1_usize..60), 0..60),
        ) {
            let mut stream = CryptoStream::default();
            let mut seen = vec![false; message.len()];
            for (place, bytes) in cuts {
                let start = place.index(message.len());
                let end = message.len().min(start + bytes);
                prop_assert_eq!(stream.insert(start as u64, &message[start..end]), Ok(()));
                seen[start..end].fill(true);
                let whole = seen.iter().take_while(|&&seen| seen).count();
                prop_assert_eq!(stream.prefix(), &message[..whole]);
            }
        }

        #[test]
        fn a_byte_that_changes_is_noticed(at in 0_usize..100, start in 0_usize..100, bytes in 1_usize..100) {
            let mut stream = CryptoStream::default();
            let mut message = [7; 200];
            stream.insert(0, &message[..100]).unwrap();
            message[at] = 8;
            let answer = stream.insert(start as u64, &message[start..start + bytes]);
            prop_assert_eq!(answer.is_err(), (start..start + bytes).contains(&at));
        }
    }

    #[test]
    fn bounds_hold() {
        let mut stream = CryptoStream::default();
        for offset in [QUIC_CRYPTO_BYTES_MAX as u64, (1 << 62) - 1, u64::MAX] {
            assert_eq!(stream.insert(offset, &[1]), Err(QuicReject::TooLong));
        }
        assert_eq!(stream.furthest(), 0);
        for piece in 0..QUIC_CRYPTO_PIECES_MAX as u64 {
            assert_eq!(stream.insert(2 * piece, &[1]), Ok(()));
        }
        assert_eq!(stream.insert(2 * QUIC_CRYPTO_PIECES_MAX as u64, &[1]), Err(QuicReject::TooMany));
    }
}
