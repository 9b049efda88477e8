//! Classes of bytes in heads, and field names compared.
//!
//! Owns what a token, a value and a name are; knows nothing of lines. Called by the readers of both versions.

/// Whether `byte` may stand in a token (RFC 9110 section 5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'z' | b'|' | b'~')
}

/// How many bytes of `bytes`, from its start, are token bytes.
pub(crate) fn token_length(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|&byte| !TOKEN.get(usize::from(byte)).is_some_and(|&is_token| is_token))
        .unwrap_or(bytes.len())
}

/// Whether `bytes` is a token.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_length(bytes) == bytes.len()
}

/// How many bytes of `bytes`, from its start, may stand in a field value: visible ASCII, space, tab and bytes over 0x7f
/// (RFC 9110 section 5.5). Every control byte is out, so are CR, LF and NUL.
pub(crate) fn value_length(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let breaks = value_breaks(u64::from_le_bytes(*word));
        if breaks != 0 {
            return index * 8 + (breaks.trailing_zeros() / 8) as usize;
        }
    }
    let breaks = |byte: &u8| *byte != b'\t' && (*byte < b' ' || *byte == 0x7f);
    words.len() * 8 + rest.iter().position(breaks).unwrap_or(rest.len())
}

/// Whether `bytes` may stand in a field value.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    value_length(bytes) == bytes.len()
}

/// The high bit of each byte of `word` that may not stand in a value. Eight bytes at a time: values are most of a head. No step
/// carries from one byte into the next.
const fn value_breaks(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    const LOW: u64 = 0x7f * EACH;
    /// The high bit of each byte that is not zero.
    const fn nonzero(word: u64) -> u64 {
        ((word & LOW) + LOW) | word
    }
    let is_control = !(((word & LOW) + 0x60 * EACH) | word);
    let not_tab = nonzero(word ^ (0x09 * EACH));
    let not_delete = nonzero(word ^ (0x7f * EACH));
    ((is_control & not_tab) | !not_delete) & HIGH
}

/// Whether `name` is the field name `lower`, which is given in lower case, in any case.
#[inline]
pub(crate) fn is_name(name: &[u8], lower: &[u8]) -> bool {
    // Names of one length mostly differ in their first byte.
    name.first().map(u8::to_ascii_lowercase).as_ref() == lower.first() && name.eq_ignore_ascii_case(lower)
}

/// Whether `name` is `lower` once case, `_` and `.` are folded: a gateway interface that makes variables of names
/// (RFC 3875 section 4.1.18) cannot tell the two apart.
pub(crate) fn folds_to(name: &[u8], lower: &[u8]) -> bool {
    name.len() == lower.len() && name.iter().zip(lower).all(|(&byte, &wanted)| fold(byte) == wanted)
}

/// `value` without spaces and tabs at both ends (OWS, RFC 9110 section 5.6.3).
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(*byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

/// The elements of a comma-separated list, without surrounding space; empty ones are left out (RFC 9110 section 5.6.1.2).
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// A length in plain digits: no sign, no space, no leading zero, within 63 bits.
pub(crate) fn plain_length(digits: &[u8]) -> Option<u64> {
    let is_plain = digits == b"0" || matches!(digits, [b'1'..=b'9', ..]);
    if !is_plain || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(digits).ok()?.parse::<i64>().ok().map(i64::unsigned_abs)
}

const fn fold(byte: u8) -> u8 {
    match byte {
        b'_' | b'.' => b'-',
        _ => byte.to_ascii_lowercase(),
    }
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, and a byte below 128 is within 256")]
        {
            table[byte as usize] = is_token_byte(byte);
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_bytes_are_those_of_the_grammar() {
        for byte in 0..=255u8 {
            let listed = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token_byte(byte), listed, "{byte:#x}");
            assert_eq!(is_token(&[byte]), listed, "{byte:#x}");
        }
        assert!(!is_token(b""));
        assert_eq!(token_length(b"Host: x"), 4);
    }

    #[test]
    fn values_hold_no_control_byte() {
        for byte in 0..=255u8 {
            let allowed = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
            assert_eq!(is_value(&[b'a', byte, b'b']), allowed, "{byte:#x}");
            for length in 1..40 {
                for place in 0..length {
                    for filler in [b'a', 0xff, b'\t', b' ', 0x80] {
                        let mut value = std::vec![filler; length];
                        value[place] = byte;
                        let until = if allowed { length } else { place };
                        assert_eq!(value_length(&value), until, "{byte:#x} at {place} of {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn names_fold_and_lists_split() {
        assert!(folds_to(b"Content_Length", b"content-length"));
        assert!(folds_to(b"CONTENT.length", b"content-length"));
        assert!(!folds_to(b"Content-Lengths", b"content-length"));
        assert!(elements(b" a ,, b\t,").eq([&b"a"[..], b"b"]));
        assert_eq!(trim(b"\t  "), b"");
        assert_eq!(trim(b" x y "), b"x y");
    }
}
