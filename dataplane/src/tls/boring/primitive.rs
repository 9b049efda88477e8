//! The two primitives that the trial asks of BoringSSL by themselves.

use boring::sha;
use boring::symm::{Cipher, encrypt_aead};

/// SHA-256.
pub(in crate::tls) fn sha256(message: &[u8]) -> [u8; 32] {
    sha::sha256(message)
}

/// AES-128-GCM without further data: ciphertext, then tag.
pub(in crate::tls) fn seal(key: &[u8; 16], nonce: &[u8; 12], plain: &[u8]) -> Option<Vec<u8>> {
    let mut tag = [0; 16];
    let mut sealed = encrypt_aead(Cipher::aes_128_gcm(), key, Some(nonce), &[], plain, &mut tag).ok()?;
    sealed.extend(tag);
    Some(sealed)
}
