//! The Huffman code (RFC 7541 appendix B). It is canonical: lengths alone give every code, shorter ones first and equally
//! long ones in the order of their symbols. The compiler derives both directions' tables from them.

/// Shortest code in bits.
const BITS_MIN: usize = 5;
/// Longest code in bits; EOS is one of them.
pub(super) const BITS_MAX: usize = 30;
/// The symbol that ends a string, and must not occur in one.
pub(super) const END: u16 = 256;

/// Code (in the low bits) and length of each byte.
pub(super) static CODES: [(u32, u8); 256] = DERIVED.codes;
/// Symbol and length for each first byte of a code that is whole in it; length 0 where it is not.
pub(super) static SHORT: [(u8, u8); 256] = DERIVED.short;
/// For each length over 8: the first code that is longer, aligned to the left of 32 bits, and what to subtract from a code
/// of this length to have its place in [`SYMBOLS`].
pub(super) static LONG: [(u64, u32); BITS_MAX - 8] = DERIVED.long;
/// Symbols in the order of their codes.
pub(super) static SYMBOLS: [u16; 257] = DERIVED.symbols;

struct Derived {
    codes: [(u32, u8); 256],
    short: [(u8, u8); 256],
    long: [(u64, u32); BITS_MAX - 8],
    symbols: [u16; 257],
}

const DERIVED: Derived = derive();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "the compiler runs it, and refuses a panic"
)]
const fn derive() -> Derived {
    let mut derived =
        Derived { codes: [(0, 0); 256], short: [(0, 0); 256], long: [(0, 0); BITS_MAX - 8], symbols: [0; 257] };
    let (mut code, mut place, mut length) = (0u32, 0usize, BITS_MIN);
    while length <= BITS_MAX {
        let subtract = code - place as u32;
        let mut symbol = 0;
        while symbol <= 256 {
            if LENGTHS[symbol] as usize == length {
                if symbol < 256 {
                    derived.codes[symbol] = (code, length as u8);
                    let mut tail = 0;
                    while length <= 8 && tail < 1 << (8 - length) {
                        derived.short[((code << (8 - length)) | tail) as usize] = (symbol as u8, length as u8);
                        tail += 1;
                    }
                }
                derived.symbols[place] = symbol as u16;
                code += 1;
                place += 1;
            }
            symbol += 1;
        }
        if length > 8 {
            derived.long[length - 9] = ((code as u64) << (32 - length), subtract);
        }
        code <<= 1;
        length += 1;
    }
    // A complete code: the last one is all ones.
    assert!(code == 1 << (BITS_MAX + 1) && place == 257);
    derived
}

/// Bits of the code of each symbol.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0x00
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 0x10
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, // 0x20
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, // 0x30
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // 0x40
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, // 0x50
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, // 0x60
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, // 0x70
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 0x80
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 0x90
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 0xa0
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 0xb0
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 0xc0
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 0xd0
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 0xe0
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 0xf0
    30, // EOS
];
