//! How an issuer's key crosses the link and lies on a disk: sealed for the one process that signs with it. Secrets of ticket
//! keys cross it likewise, sealed with their names for another key pair, that of the data plane.
//!
//! Hybrid public key encryption in base mode (RFC 9180), DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM. The issuer's
//! certificate is bound to it as associated data, so the key cannot be opened beside another one. Control seals, the signer
//! opens; the data plane between them carries it.
//!
//! ```text
//! sealed key: [encapsulated key 32][ciphertext and tag]        key pair: [secret 32][public 32]
//! ```

use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_128 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey, HpkePublicKey};
use zeroize::Zeroizing;

/// Bytes of a public key.
pub const SEALING_KEY_BYTES: usize = 32;

/// Seals `key` with its `certificate` (DER) for the holder of `sealing_key`; `None` when that is no key.
pub fn seal(sealing_key: &[u8], certificate: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    if sealing_key.len() != SEALING_KEY_BYTES {
        return None;
    }
    let (encapsulated, ciphertext) = SUITE.seal(INFO, certificate, key, &HpkePublicKey(sealing_key.to_vec())).ok()?;
    Some([encapsulated.0, ciphertext].concat())
}

/// A key pair that opens what [`seal`] has sealed for its public half. Wiped when it goes.
pub struct SealingPair {
    secret: HpkePrivateKey,
    public: Vec<u8>,
}

impl SealingPair {
    /// A fresh pair; `None` when the system gives no random bytes.
    pub fn generate() -> Option<Self> {
        let (public, secret) = SUITE.generate_key_pair().ok()?;
        Some(Self { secret, public: public.0 })
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` when the halves are not of one pair.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (secret, public) = bytes.split_at_checked(SEALING_KEY_BYTES)?;
        let pair = Self { secret: HpkePrivateKey::from(secret.to_vec()), public: public.to_vec() };
        let proof = seal(&pair.public, INFO, INFO)?;
        pair.open(INFO, &proof).map(|_| pair)
    }

    /// Both halves.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.secret.secret_bytes(), &self.public].concat())
    }

    /// What others seal for.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The key that was sealed with `certificate`; `None` when it was sealed for another pair, with another certificate, or
    /// changed.
    pub fn open(&self, certificate: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (encapsulated, ciphertext) = sealed.split_at_checked(SEALING_KEY_BYTES)?;
        let encapsulated = EncapsulatedSecret(encapsulated.to_vec());
        SUITE.open(&encapsulated, INFO, certificate, ciphertext, &self.secret).ok().map(Zeroizing::new)
    }
}

/// Names the purpose and the form.
const INFO: &[u8] = b"penstock issuer key v1";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn only_the_pair_opens_and_only_with_the_certificate() {
        let (pair, other) = (SealingPair::generate().unwrap(), SealingPair::generate().unwrap());
        let sealed = seal(pair.public(), b"certificate", b"key").unwrap();
        assert_eq!(&**pair.open(b"certificate", &sealed).unwrap(), b"key");
        assert!(pair.open(b"another", &sealed).is_none());
        assert!(other.open(b"certificate", &sealed).is_none());
        assert_ne!(sealed, seal(pair.public(), b"certificate", b"key").unwrap(), "each time another secret");
        assert!(seal(&pair.public()[1..], b"certificate", b"key").is_none());
        assert!(seal(&[0; SEALING_KEY_BYTES], b"certificate", b"key").is_none(), "a point of small order");
    }

    #[test]
    fn damage_at_any_byte_and_every_prefix_are_refused() {
        let pair = SealingPair::generate().unwrap();
        let sealed = seal(pair.public(), b"certificate", b"key").unwrap();
        for index in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[index] ^= 1;
            assert!(pair.open(b"certificate", &damaged).is_none(), "byte {index}");
            assert!(pair.open(b"certificate", &sealed[..index]).is_none(), "cut at {index}");
        }
    }

    #[test]
    fn a_pair_reads_back_and_halves_of_two_do_not() {
        let (pair, other) = (SealingPair::generate().unwrap(), SealingPair::generate().unwrap());
        let sealed = seal(pair.public(), b"certificate", b"key").unwrap();
        let again = SealingPair::from_bytes(&pair.to_bytes()).unwrap();
        assert!(again.public() == pair.public() && again.open(b"certificate", &sealed).is_some());
        let mixed = [&pair.to_bytes()[..SEALING_KEY_BYTES], other.public()].concat();
        assert!(SealingPair::from_bytes(&mixed).is_none());
        for length in 0..2 * SEALING_KEY_BYTES {
            assert!(SealingPair::from_bytes(&pair.to_bytes()[..length]).is_none(), "{length} bytes");
        }
    }
}
