//! What a node that joins is handed: a secret that is good for one certificate, and by what the node knows its fleet.
//!
//! ```text
//! penstock-join-SECRET-PIN      SECRET: 32 random bytes as hex    PIN: SHA-256 of the link authority's public key as hex
//! ```
//!
//! Control keeps a hash of the secret. The pin lets the first connection be sure of control, so that the secret is shown to
//! nobody else.

use std::fmt;

use zeroize::Zeroizing;

/// Bytes of the secret.
pub const JOIN_SECRET_BYTES: usize = 32;
/// Bytes of the pin: SHA-256 of a DER `SubjectPublicKeyInfo`.
pub const PIN_BYTES: usize = 32;

/// A token. Its text is what [`fmt::Display`] writes; there is no other form that shows the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Good for one certificate.
    pub secret: Zeroizing<[u8; JOIN_SECRET_BYTES]>,
    /// Of the fleet's authority.
    pub pin: [u8; PIN_BYTES],
}

impl JoinToken {
    /// Reads the text, which may have white space around it; `None` when it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (secret, pin) = text.trim().strip_prefix(HEAD)?.split_once('-')?;
        Some(Self { secret: Zeroizing::new(from_hex(secret)?), pin: from_hex(pin)? })
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        self.secret.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.pin.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").finish_non_exhaustive()
    }
}

fn from_hex<const COUNT: usize>(text: &str) -> Option<[u8; COUNT]> {
    if text.len() != 2 * COUNT || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; COUNT];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

const HEAD: &str = "penstock-join-";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_token_reads_back_and_nothing_else_is_one() {
        let token = JoinToken { secret: Zeroizing::new([0xa5; 32]), pin: [7; 32] };
        let text = token.to_string();
        assert_eq!(JoinToken::parse(&format!(" {text}\n")).unwrap(), token);
        assert!(!format!("{token:?}").contains("a5"), "a log must not have it");
        for end in 0..text.len() {
            assert!(JoinToken::parse(&text[..end]).is_none(), "cut at {end}");
            let mut damaged = text.clone().into_bytes();
            damaged[end] = b'G';
            assert!(JoinToken::parse(std::str::from_utf8(&damaged).unwrap()).is_none(), "byte {end}");
        }
        for other in [format!("{text}0"), text.to_uppercase(), text.replace('-', "+"), format!("{text}-{text}")] {
            assert!(JoinToken::parse(&other).is_none(), "{other}");
        }
    }
}
