//! JA4: the TLS client fingerprint of FoxIO (technical_details/JA4.md in FoxIO-LLC/ja4; BSD-3-Clause).
//!
//! ```text
//! t13d1516h2_8daaf6152771_e5627efa2ab1
//! |||  | | |       |            `- hash of the sorted extension types and the signature schemes in order
//! |||  | | |       `- hash of the sorted cipher suites
//! |||  | | `- first and last character of the first ALPN name
//! |||  | `- number of extensions
//! |||  `- number of cipher suites
//! ||`- d: there is a server_name extension, i: there is none
//! |`- highest version
//! `- over TCP
//! ```
//! Reserved values (RFC 8701) are left out everywhere. Hashes are the first 12 hexadecimal digits of SHA-256.

use alloc::string::String;
use core::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use smallvec::SmallVec;

use super::hello::{ClientHello, extension, is_grease};

/// Digits kept of each hash.
const HASH_DIGITS: usize = 12;
/// Largest number that the two digits of a count can show.
const COUNT_MAX: usize = 99;

/// The fingerprint of `hello`.
pub(super) fn fingerprint(hello: &ClientHello<'_>) -> String {
    let mut suites: Words = hello.cipher_suites().filter(|&suite| !is_grease(suite)).collect();
    let kinds = || hello.extensions().map(|(kind, _)| kind).filter(|&kind| !is_grease(kind));
    let mut types: Words = kinds().filter(|&kind| kind != extension::SERVER_NAME && kind != extension::ALPN).collect();
    suites.sort_unstable();
    types.sort_unstable();

    let mut text = String::with_capacity(36);
    text.push('t');
    text.push_str(version(hello));
    text.push(if kinds().any(|kind| kind == extension::SERVER_NAME) { 'd' } else { 'i' });
    // Writing to a String cannot fail.
    let _ = write!(text, "{:02}{:02}", suites.len().min(COUNT_MAX), kinds().count().min(COUNT_MAX));
    text.extend(alpn_ends(hello.alpn().next().unwrap_or_default()));
    text.push('_');
    push_hash(&mut text, &suites, None);
    text.push('_');
    let schemes = hello.signature_algorithms().filter(|&scheme| !is_grease(scheme)).collect();
    push_hash(&mut text, &types, Some(schemes));
    text
}

/// Numbers of one list; browsers stay within the inline capacity.
type Words = SmallVec<[u16; 64]>;

fn version(hello: &ClientHello<'_>) -> &'static str {
    match hello.supported_versions().max() {
        Some(0x0304) => "13",
        Some(0x0303) => "12",
        Some(0x0302) => "11",
        Some(0x0301) => "10",
        Some(0x0300) => "s3",
        Some(0x0002) => "s2",
        _ => "00",
    }
}

/// First and last character of the name; of its hexadecimal form when either is not alphanumeric; zeros when there is none.
fn alpn_ends(name: &[u8]) -> [char; 2] {
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
        return ['0', '0'];
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        [char::from(first), char::from(last)]
    } else {
        [char::from(hex_digit(first >> 4)), char::from(hex_digit(last))]
    }
}

/// The digit of the low four bits.
fn hex_digit(byte: u8) -> u8 {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    DIGITS.get(usize::from(byte & 0x0f)).copied().unwrap_or(b'0')
}

/// Appends the hash of `sorted`, joined by commas, and of `ordered` behind an underscore; zeros when `sorted` is empty.
fn push_hash(text: &mut String, sorted: &[u16], ordered: Option<Words>) {
    if sorted.is_empty() {
        text.extend([const { "0" }; HASH_DIGITS]);
        return;
    }
    let mut listed = Listed::new();
    push_list(&mut listed, sorted);
    if let Some(ordered) = ordered.filter(|list| !list.is_empty()) {
        listed.push(b'_');
        push_list(&mut listed, &ordered);
    }
    for byte in Sha256::digest(&listed).iter().take(HASH_DIGITS / 2) {
        text.extend([byte >> 4, *byte].map(hex_digit).map(char::from));
    }
}

/// Numbers spelt out; browsers stay within the inline capacity.
type Listed = SmallVec<[u8; 512]>;

fn push_list(listed: &mut Listed, list: &[u16]) {
    for (index, word) in list.iter().enumerate() {
        if index > 0 {
            listed.push(b',');
        }
        let [high, low] = word.to_be_bytes();
        listed.extend([high >> 4, high, low >> 4, low].map(hex_digit));
    }
}
