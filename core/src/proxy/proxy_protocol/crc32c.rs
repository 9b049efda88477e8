//! CRC-32C (Castagnoli; RFC 3720 appendix B.4), with which a sender may protect a header of version 2.

/// The checksum of pieces that stand one behind the other.
pub(super) fn crc32c<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    !pieces.into_iter().flatten().fold(u32::MAX, |sum, &byte| step(sum ^ u32::from(byte)))
}

/// Divides eight bits. A header is short and most carry no checksum: a table would cost more than it saves.
const fn step(mut sum: u32) -> u32 {
    let mut bit = 0;
    while bit < 8 {
        sum = if sum & 1 == 1 { (sum >> 1) ^ REVERSED_POLYNOMIAL } else { sum >> 1 };
        bit += 1;
    }
    sum
}

const REVERSED_POLYNOMIAL: u32 = 0x82f6_3b78;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3720_examples() {
        let ascending: [u8; 32] = core::array::from_fn(|index| u8::try_from(index).unwrap());
        let mut descending = ascending;
        descending.reverse();
        assert_eq!(crc32c([&[0; 32][..]]), 0x8a91_36aa);
        assert_eq!(crc32c([&[0xff; 32][..]]), 0x62a8_ab43);
        assert_eq!(crc32c([&ascending[..]]), 0x46dd_794e);
        assert_eq!(crc32c([&descending[..]]), 0x113f_db5c);
        assert_eq!(crc32c([&b"1234"[..], b"", b"56789"]), 0xe306_9283);
    }
}
