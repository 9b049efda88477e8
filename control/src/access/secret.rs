//! Random secrets, and what is kept of them.

use aws_lc_rs::digest;
use zeroize::Zeroizing;

/// 256 random bits as hex.
pub(crate) fn random() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    getrandom::fill(bytes.as_mut_slice())?;
    Ok(Zeroizing::new(hex(bytes.as_slice())))
}

/// What the store keeps of a secret. It has 256 bits, so no salt and no slow hash are needed.
pub(crate) fn hash(secret: &str) -> String {
    hex(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref())
}

/// The word that a session's forms carry: known to who has the cookie, and telling nothing of it.
pub(super) fn csrf(cookie: &str) -> String {
    hash(&format!("csrf {cookie}"))
}

/// A password that people can type: 20 characters of 31, 99 bits, without those that look alike.
pub(super) fn password() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut password = Zeroizing::new(String::new());
    while password.len() < GENERATED_CHARACTERS {
        let byte = usize::try_from(getrandom::u32()? & 0x1f).unwrap_or_default();
        // 31 of 32 values: the last is drawn again, so that all are as likely.
        if let Some(letter) = LETTERS.get(byte) {
            password.push(char::from(*letter));
        }
    }
    Ok(password)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const LETTERS: &[u8; 31] = b"abcdefghijkmnpqrstuvwxyz2345678";
const GENERATED_CHARACTERS: usize = 20;
