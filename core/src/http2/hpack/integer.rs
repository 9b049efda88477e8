//! Integers with a prefix (RFC 7541 section 5.1).

use alloc::vec::Vec;

use super::HpackFault;
use crate::bytes::Reader;
use crate::limits::HTTP2_INTEGER_OCTETS_MAX;

/// Reads the integer whose prefix is the low `prefix_bits` (1 to 8) of `first`; the reader stands behind that byte.
pub(super) fn decode(first: u8, prefix_bits: u8, reader: &mut Reader<'_>) -> Result<usize, HpackFault> {
    let prefix_max = prefix_mask(prefix_bits);
    let prefix = first & prefix_max;
    if prefix < prefix_max {
        return Ok(usize::from(prefix));
    }
    // Four groups of seven bits above eight: far from overflow, also where `usize` has 32 bits.
    let mut value = usize::from(prefix_max);
    for octet in 0..HTTP2_INTEGER_OCTETS_MAX {
        let byte = reader.u8().ok_or(HpackFault::Truncated)?;
        value += usize::from(byte & 0x7f) << (7 * octet);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(HpackFault::IntegerOverflow)
}

/// Appends `value` with a prefix of `prefix_bits`, under the bits of `flags`.
pub(super) fn encode(value: usize, prefix_bits: u8, flags: u8, out: &mut Vec<u8>) {
    let prefix_max = prefix_mask(prefix_bits);
    match u8::try_from(value) {
        Ok(small) if small < prefix_max => out.push(flags | small),
        _ => {
            out.push(flags | prefix_max);
            let mut rest = value.saturating_sub(usize::from(prefix_max));
            while rest >= 0x80 {
                out.push(0x80 | low_bits(rest));
                rest >>= 7;
            }
            out.push(low_bits(rest));
        }
    }
}

const fn prefix_mask(prefix_bits: u8) -> u8 {
    0xff >> (8 - prefix_bits)
}

/// The low seven bits.
const fn low_bits(value: usize) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn examples_of_rfc_7541_c_1() {
        for (value, prefix_bits, expected) in [(10, 5, &[10][..]), (1337, 5, &[31, 154, 10]), (42, 8, &[42])] {
            let mut out = vec![];
            encode(value, prefix_bits, 0, &mut out);
            assert_eq!(out, expected);
            let mut reader = Reader::new(&out[1..]);
            assert_eq!(decode(out[0], prefix_bits, &mut reader), Ok(value));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn every_prefix_and_every_power() {
        for prefix_bits in 1..=8 {
            for power in 0..28 {
                for value in [(1usize << power) - 1, 1 << power, (1 << power) + 1] {
                    let mut out = vec![];
                    encode(value, prefix_bits, 0, &mut out);
                    assert_eq!(decode(out[0], prefix_bits, &mut Reader::new(&out[1..])), Ok(value));
                    for end in 1..out.len() {
                        let cut = decode(out[0], prefix_bits, &mut Reader::new(&out[1..end]));
                        assert_eq!(cut, Err(HpackFault::Truncated));
                    }
                }
            }
        }
    }

    #[test]
    fn h089_an_integer_over_its_bound_is_refused() {
        let overflow = Err(HpackFault::IntegerOverflow);
        assert_eq!(decode(0x7f, 7, &mut Reader::new(&[0xff; 16])), overflow);
        // Past 2^32, and a small value drawn out over more bytes than any needs.
        assert_eq!(decode(0x7f, 7, &mut Reader::new(&[0x80, 0xff, 0xff, 0xff, 0x0f])), overflow);
        assert_eq!(decode(0x7f, 7, &mut Reader::new(&[0x80, 0x80, 0x80, 0x80, 0x00])), overflow);
        assert_eq!(decode(0x7f, 7, &mut Reader::new(&[0x80, 0x80, 0x80, 0x00])), Ok(127));
        assert_eq!(decode(0xff, 8, &mut Reader::new(&[0xff, 0xff, 0xff, 0x7f])), Ok(0x0fff_ffff + 255));
    }
}
