//! The primitives of QUIC's Initial packets, from aws-lc.

use aws_lc_rs::aead::quic::{AES_128, HeaderProtectionKey};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use penstock_core::quic::InitialCipher;

pub(super) struct Cipher;

impl InitialCipher for Cipher {
    fn hmac_sha256(&self, key: &[u8], message: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
        // A digest of another length would make keys that open nothing.
        tag.as_ref().try_into().unwrap_or_default()
    }

    fn aes_128_mask(&self, key: &[u8; 16], sample: [u8; 16]) -> [u8; 5] {
        let mask = HeaderProtectionKey::new(&AES_128, key).and_then(|key| key.new_mask(&sample));
        mask.unwrap_or_default()
    }

    fn aes_128_gcm_open(&self, key: &[u8; 16], nonce: [u8; 12], header: &[u8], sealed: &mut [u8]) -> Option<usize> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        gcm(key)?.open_in_place(nonce, Aad::from(header), sealed).ok().map(|plain| plain.len())
    }

    fn aes_128_gcm_seal(&self, key: &[u8; 16], nonce: [u8; 12], header: &[u8], plain: &mut Vec<u8>) -> Option<()> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        gcm(key)?.seal_in_place_append_tag(nonce, Aad::from(header), plain).ok()
    }
}

fn gcm(key: &[u8; 16]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_128_GCM, key).ok().map(LessSafeKey::new)
}
