//! The frames that an Initial packet may hold (RFC 9000 sections 12.4 and 19).
//!
//! Owns their framing. All but CRYPTO are walked over.

use super::packet::varint;
use crate::bytes::Reader;

/// A piece of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crypto<'a> {
    /// Where it stands in the handshake's bytes.
    pub(super) offset: u64,
    pub(super) data: &'a [u8],
}

const PADDING: u8 = 0x00;
const PING: u8 = 0x01;
const ACK: u8 = 0x02;
const ACK_ECN: u8 = 0x03;
const CRYPTO: u8 = 0x06;
pub(super) const CONNECTION_CLOSE: u8 = 0x1c;

/// The next CRYPTO frame; `Ok(None)` at the end, `Err` where another frame, or a broken one, stands.
pub(super) fn next_crypto<'a>(frames: &mut Reader<'a>) -> Result<Option<Crypto<'a>>, ()> {
    // Types are encoded in as few bytes as they need (RFC 9000 section 12.4), so that these are one byte each.
    while let Some(kind) = frames.u8() {
        let walked = match kind {
            PADDING | PING => Some(()),
            ACK => walk_ack(frames, 0),
            ACK_ECN => walk_ack(frames, 3),
            CONNECTION_CLOSE => walk_close(frames),
            CRYPTO => return crypto(frames).map(Some).ok_or(()),
            _ => None,
        };
        walked.ok_or(())?;
    }
    Ok(None)
}

fn crypto<'a>(frames: &mut Reader<'a>) -> Option<Crypto<'a>> {
    let offset = varint(frames)?;
    let length = usize::try_from(varint(frames)?).ok()?;
    Some(Crypto { offset, data: frames.take(length)? })
}

/// Largest acknowledged, delay, number of ranges, first range, two numbers for each other range, counts.
fn walk_ack(frames: &mut Reader<'_>, counts: u64) -> Option<()> {
    varint(frames)?;
    varint(frames)?;
    let ranges = varint(frames)?;
    // Each range has two bytes at least: a larger number ends the walk early.
    for _ in 0..ranges.checked_mul(2)?.checked_add(1 + counts)? {
        varint(frames)?;
    }
    Some(())
}

/// Error, frame type, reason.
fn walk_close(frames: &mut Reader<'_>) -> Option<()> {
    varint(frames)?;
    varint(frames)?;
    let reason_bytes = usize::try_from(varint(frames)?).ok()?;
    frames.take(reason_bytes).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn read(frames: &[u8]) -> Result<Vec<(u64, &[u8])>, ()> {
        let mut reader = Reader::new(frames);
        let mut pieces = Vec::new();
        while let Some(Crypto { offset, data }) = next_crypto(&mut reader)? {
            pieces.push((offset, data));
        }
        Ok(pieces)
    }

    #[test]
    fn other_frames_are_walked_over() {
        let frames =
            [0, 0, 1, 2, 9, 0, 1, 0, 3, 4, 6, 5, 2, 7, 8, 3, 9, 0, 0, 0, 1, 2, 3, 0x1c, 2, 0, 1, b'x', 6, 0x40, 64, 0];
        assert_eq!(read(&frames), Ok([(5, &[7, 8][..]), (64, &[][..])].to_vec()));
    }

    #[test]
    fn frames_that_cannot_be_there_and_broken_ones_are_refused() {
        for frames in [&[4, 0][..], &[8, 0], &[0x1d, 0, 0], &[0x40, 6], &[6, 0, 2, 1], &[6, 0xff], &[2, 0, 0, 0xc0]] {
            assert_eq!(read(frames), Err(()), "{frames:?}");
        }
        let endless = [2, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
        assert_eq!(read(&endless), Err(()));
    }
}
