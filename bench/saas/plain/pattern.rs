//! The bytes of `/bytes/N`: the same for every process, cheap to send, and telling when one is lost or doubled.
//!
//! A block of pseudo-random bytes is repeated. Its length is prime, so that a relay which drops or repeats a page, a
//! record or a buffer shifts what follows.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use aws_lc_rs::digest;

/// The first `count` bytes, in pieces that borrow the block.
pub(crate) fn pieces(count: u64) -> impl Iterator<Item = &'static [u8]> {
    let mut left = count;
    std::iter::from_fn(move || {
        let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK_BYTES);
        left -= bytes as u64;
        BLOCK.get(..bytes).filter(|piece| !piece.is_empty())
    })
}

/// The digest of the first `count` bytes in hexadecimal; remembered, because it costs as much as a transfer.
pub(crate) fn sha256(count: u64) -> String {
    static KNOWN: LazyLock<Mutex<HashMap<u64, String>>> = LazyLock::new(Mutex::default);
    if let Some(known) = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&count) {
        return known.clone();
    }
    let mut context = digest::Context::new(&digest::SHA256);
    pieces(count).for_each(|piece| context.update(piece));
    let text = super::digest::hexadecimal(context.finish().as_ref());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= DIGESTS_MAX {
        known.clear();
    }
    known.insert(count, text.clone());
    text
}

static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    // xorshift64*: fixed seed, so that every process and every test has the same bytes.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
    };
    (0..BLOCK_BYTES).map(next).collect()
});

/// A prime near 64 KiB.
const BLOCK_BYTES: usize = 65_521;
const DIGESTS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_add_up_and_repeat() {
        let bytes: Vec<u8> = pieces(200_000).flatten().copied().collect();
        assert_eq!(bytes.len(), 200_000);
        assert_eq!(bytes[..BLOCK_BYTES], bytes[BLOCK_BYTES..2 * BLOCK_BYTES]);
        assert_ne!(bytes[..4096], bytes[4096..8192]);
        assert_eq!(pieces(0).count(), 0);
    }

    #[test]
    fn the_digest_is_that_of_the_bytes() {
        let bytes: Vec<u8> = pieces(100_000).flatten().copied().collect();
        let expected = super::super::digest::hexadecimal(digest::digest(&digest::SHA256, &bytes).as_ref());
        assert_eq!(sha256(100_000), expected);
        assert_eq!(sha256(100_000), expected);
    }
}
