//! A P-256 signing key in memory.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use penstock_core::mint::{SignError, Signer};
use zeroize::Zeroizing;

use super::error::CaError;

/// A private key; AWS-LC wipes it when it is dropped.
pub(super) struct Key {
    pair: EcdsaKeyPair,
    public_key: Vec<u8>,
}

impl Key {
    /// A fresh key.
    pub(super) fn generate() -> Result<Self, CaError> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).ok().and_then(Self::from_pair).ok_or(CaError::Random)
    }

    /// Reads PKCS#8; `None` when it is no P-256 key.
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der).ok().and_then(Self::from_pair)
    }

    /// The secret itself, as PKCS#8.
    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, CaError> {
        let der = self.pair.to_pkcs8v1().map_err(|_| CaError::Random)?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }

    /// DER `SubjectPublicKeyInfo`.
    pub(super) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn from_pair(pair: EcdsaKeyPair) -> Option<Self> {
        let public_key = pair.public_key().as_der().ok()?.as_ref().to_vec();
        Some(Self { pair, public_key })
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| SignError)?;
        Ok(signature.as_ref().to_vec())
    }
}

/// 16 random bytes for a serial number.
pub(super) fn random_serial() -> Result<[u8; 16], CaError> {
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| CaError::Random)?;
    Ok(serial)
}
