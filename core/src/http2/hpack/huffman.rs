//! Huffman-coded strings (RFC 7541 section 5.2), strictly.

use alloc::vec::Vec;

use super::HpackFault;
use super::huffman_code::{CODES, END, LONG, SHORT, SYMBOLS};

/// Appends what `encoded` says to `out`.
///
/// Bits stand at the left of a 64-bit window, refilled by four bytes at a time:
/// ```text
/// window  | code | code | cod.......... | zeros |
///         '---------- `held` bits ------'
/// ```
pub(super) fn decode(encoded: &[u8], out: &mut Vec<u8>) -> Result<(), HpackFault> {
    // The shortest code is of five bits.
    out.reserve(encoded.len().saturating_mul(8) / 5);
    let (mut window, mut held, mut rest) = (0u64, 0u32, encoded);
    loop {
        if held < 32 {
            if let Some((head, tail)) = rest.split_first_chunk::<4>() {
                window |= u64::from(u32::from_be_bytes(*head)) << (32 - held);
                held += 32;
                rest = tail;
            } else if let Some((&byte, tail)) = rest.split_first() {
                window |= u64::from(byte) << (56 - held);
                held += 8;
                rest = tail;
                continue;
            } else {
                return decode_end(window, held, out);
            }
        }
        let (symbol, length) = next(window);
        if symbol == END {
            return Err(HpackFault::HuffmanEnd);
        }
        out.push(symbol.to_le_bytes()[0]);
        window <<= length;
        held -= length;
    }
}

/// The rest of a string when no byte is left to fetch: at most 32 bits, the last of which are padding.
fn decode_end(mut window: u64, mut held: u32, out: &mut Vec<u8>) -> Result<(), HpackFault> {
    loop {
        // Ones behind the end: what is cut short reads as padding, or as a code that is longer than what is held.
        let (symbol, length) = next(window | (u64::MAX >> held));
        if length > held {
            let is_ones = window | (u64::MAX >> held) == u64::MAX;
            return if held <= 7 && is_ones { Ok(()) } else { Err(HpackFault::HuffmanPadding) };
        }
        if symbol == END {
            return Err(HpackFault::HuffmanEnd);
        }
        out.push(symbol.to_le_bytes()[0]);
        window <<= length;
        held -= length;
    }
}

/// The symbol whose code begins the window, and the code's length.
fn next(window: u64) -> (u16, u32) {
    let first = window.to_be_bytes()[0];
    match SHORT.get(usize::from(first)) {
        Some(&(symbol, length)) if length > 0 => (u16::from(symbol), u32::from(length)),
        _ => next_long(window >> 32),
    }
}

/// The same for codes of more than eight bits, at the left of 32 bits.
fn next_long(window: u64) -> (u16, u32) {
    for (&(longer, subtract), length) in LONG.iter().zip(9u32..) {
        if window < longer {
            let place = usize::try_from((window >> (32 - length)) - u64::from(subtract)).unwrap_or(usize::MAX);
            return (SYMBOLS.get(place).copied().unwrap_or(END), length);
        }
    }
    // Not reached: the code is complete.
    (END, 30)
}

/// Bytes that `plain` takes when coded.
pub(super) fn encoded_len(plain: &[u8]) -> usize {
    let bits: usize = plain.iter().map(|&byte| usize::from(code(byte).1)).sum();
    bits.div_ceil(8)
}

/// Appends the code of `plain` to `out`.
pub(super) fn encode(plain: &[u8], out: &mut Vec<u8>) {
    let (mut window, mut held) = (0u64, 0u32);
    for &byte in plain {
        let (code, length) = code(byte);
        window |= u64::from(code) << (64 - held - u32::from(length));
        held += u32::from(length);
        while held >= 8 {
            out.push(window.to_be_bytes()[0]);
            window <<= 8;
            held -= 8;
        }
    }
    if held > 0 {
        out.push((window | (u64::MAX >> held)).to_be_bytes()[0]);
    }
}

fn code(byte: u8) -> (u32, u8) {
    CODES.get(usize::from(byte)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn decoded(encoded: &[u8]) -> Result<Vec<u8>, HpackFault> {
        let mut out = vec![];
        decode(encoded, &mut out).map(|()| out)
    }

    #[test]
    fn examples_of_rfc_7541_c_4_and_c_6() {
        let cases: [(&str, &[u8]); 3] = [
            ("www.example.com", &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff]),
            ("no-cache", &[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]),
            ("private", &[0xae, 0xc3, 0x77, 0x1a, 0x4b]),
        ];
        for (plain, coded) in cases {
            let mut out = vec![];
            encode(plain.as_bytes(), &mut out);
            assert_eq!(out, coded);
            assert_eq!(encoded_len(plain.as_bytes()), coded.len());
            assert_eq!(decoded(coded).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn every_pair_of_bytes_at_every_place_in_the_window() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                let mut plain = vec![b'0'; usize::from(second) % 8];
                plain.extend([first, second]);
                let mut coded = vec![];
                encode(&plain, &mut coded);
                assert_eq!(coded.len(), encoded_len(&plain));
                assert_eq!(decoded(&coded).unwrap(), plain);
            }
        }
    }

    #[test]
    fn h089_padding_is_short_and_of_ones() {
        let padding = Err(HpackFault::HuffmanPadding);
        // `0` is five zeros: three bits of padding.
        assert_eq!(decoded(&[0b0000_0111]).unwrap(), b"0");
        for wrong in 0..7 {
            assert_eq!(decoded(&[wrong]), padding);
        }
        // A whole byte of padding, alone and behind symbols, up to just before EOS.
        for count in 1..=3 {
            assert_eq!(decoded(&[&[0b0000_0111][..], &[0xff; 3][..count]].concat()), padding);
            assert_eq!(decoded(&[0xff; 3][..count]), padding);
        }
        // A code cut short: `\0` has 13 bits, 11111111|11000.
        assert_eq!(decoded(&[0xff, 0xc7]).unwrap(), b"\0");
        assert_eq!(decoded(&[0xff]), padding);
        assert_eq!(decoded(&[]).unwrap(), b"");
    }

    #[test]
    fn h089_the_end_symbol_is_refused() {
        let end = Err(HpackFault::HuffmanEnd);
        assert_eq!(decoded(&[0xff; 4]), end);
        assert_eq!(decoded(&[0xff; 64]), end);
        for zeros in 1..8 {
            // That many `0`, then thirty ones, then anything.
            let mut bits = vec![false; 5 * zeros];
            bits.extend([true; 30]);
            bits.resize(bits.len().next_multiple_of(8) + 64, false);
            let bytes: Vec<u8> =
                bits.chunks(8).map(|byte| byte.iter().fold(0, |sum, &bit| (sum << 1) | u8::from(bit))).collect();
            assert_eq!(decoded(&bytes), end);
        }
    }
}
