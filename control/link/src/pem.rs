//! PEM (RFC 7468), with buffers that are wiped: keys pass through here. For control's authorities and a node's own files.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Label of a certificate.
pub const CERTIFICATE: &str = "CERTIFICATE";
/// Label of a PKCS #8 key.
pub const PRIVATE_KEY: &str = "PRIVATE KEY";

/// Appends `der` as a block with `label`.
pub fn write(out: &mut Zeroizing<String>, label: &str, der: &[u8]) {
    const DER_BYTES_PER_LINE: usize = 48;
    // Room for all at once: a string that grows would leave copies of a key behind.
    out.reserve(der.len() * 4 / 3 + der.len() / DER_BYTES_PER_LINE + 2 * label.len() + 48);
    out.extend(["-----BEGIN ", label, "-----\n"]);
    for line in der.chunks(DER_BYTES_PER_LINE) {
        STANDARD.encode_string(line, out);
        out.push('\n');
    }
    out.extend(["-----END ", label, "-----\n"]);
}

/// The first block with `label` in `text`; `None` when there is none or it is broken.
pub fn read(text: &str, label: &str) -> Option<Zeroizing<Vec<u8>>> {
    next(&mut text.lines(), text.len(), label)?
}

/// Every block with `label` in `text`; `None` when one is broken.
pub fn read_all(text: &str, label: &str) -> Option<Vec<Zeroizing<Vec<u8>>>> {
    let mut lines = text.lines();
    std::iter::from_fn(|| next(&mut lines, text.len(), label)).collect()
}

/// The next block in `lines`, itself `None` when it is broken.
fn next<'a>(
    lines: &mut impl Iterator<Item = &'a str>,
    bytes_max: usize,
    label: &str,
) -> Option<Option<Zeroizing<Vec<u8>>>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    lines.find(|line| line.trim() == begin)?;
    // Room for all at once, as above.
    let mut joined = Zeroizing::new(String::with_capacity(bytes_max));
    loop {
        match lines.next().map(str::trim) {
            None => return Some(None),
            Some(line) if line == end => return Some(decode(&joined)),
            Some(line) => joined.push_str(line),
        }
    }
}

fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
    let count = STANDARD.decode_slice(text.as_bytes(), &mut der).ok()?;
    der.truncate(count);
    Some(der)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_block_is_read_back_whatever_its_length() {
        for length in [0, 1, 2, 3, 47, 48, 49, 500] {
            let der = vec![0xa5; length];
            let mut text = Zeroizing::new(String::from("text before\n"));
            write(&mut text, CERTIFICATE, &[1, 2, 3]);
            write(&mut text, PRIVATE_KEY, &der);
            assert_eq!(read(&text, PRIVATE_KEY).as_deref(), Some(&der));
            assert_eq!(read(&text, CERTIFICATE).as_deref(), Some(&vec![1, 2, 3]));
            assert_eq!(read_all(&text, CERTIFICATE).map(|all| all.len()), Some(1));
            assert!(text.lines().all(|line| line.len() <= 64));
            for end in (0..text.rfind("-----END").expect("an end")).step_by(7) {
                assert_eq!(read(&text[..end], PRIVATE_KEY), None);
            }
        }
    }
}
