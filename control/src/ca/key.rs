//! Signing keys in memory: our own, which are P-256, and an operator's, which may be others.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use penstock_core::mint::{SignError, SignatureAlgorithm, Signer};
use penstock_link::pem;
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

/// The key of an operator's authority; AWS-LC wipes it when it is dropped.
pub(super) enum OperatorKey {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl OperatorKey {
    /// Reads PKCS #8 (`PRIVATE KEY`), SEC 1 (`EC PRIVATE KEY`) or PKCS #1 (`RSA PRIVATE KEY`).
    pub(super) fn from_pem(text: &str) -> Option<Self> {
        let der =
            [pem::PRIVATE_KEY, "EC PRIVATE KEY", "RSA PRIVATE KEY"].iter().find_map(|label| pem::read(text, label))?;
        if let Ok(pair) = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, &der) {
            return Some(Self::P256(pair));
        }
        if let Ok(pair) = EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_ASN1_SIGNING, &der) {
            return Some(Self::P384(pair));
        }
        let pair = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der)).ok()?;
        Some(Self::Rsa(Box::new(pair)))
    }

    /// What stands in the BIT STRING of a certificate's public key.
    pub(super) fn public_bits(&self) -> &[u8] {
        match self {
            Self::P256(pair) | Self::P384(pair) => pair.public_key().as_ref(),
            Self::Rsa(pair) => pair.public_key().as_ref(),
        }
    }
}

impl Signer for OperatorKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let random = SystemRandom::new();
        match self {
            Self::P256(pair) | Self::P384(pair) => {
                Ok(pair.sign(&random, message).map_err(|_| SignError)?.as_ref().to_vec())
            }
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(|_| SignError)?;
                Ok(signature)
            }
        }
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self {
            Self::P256(_) => SignatureAlgorithm::EcdsaSha256,
            Self::P384(_) => SignatureAlgorithm::EcdsaSha384,
            Self::Rsa(_) => SignatureAlgorithm::RsaSha256,
        }
    }
}

/// 16 random bytes for a serial number.
pub(super) fn random_serial() -> Result<[u8; 16], CaError> {
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| CaError::Random)?;
    Ok(serial)
}
