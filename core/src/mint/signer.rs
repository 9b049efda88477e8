//! The seam to a private key, and what can go wrong when a certificate is made.
//!
//! The key may live in this process, in a separate signer or in a PKCS#11 module; `core` only sees signatures.

use alloc::vec::Vec;

use super::der;
use crate::labelled;

/// Signs with a private key: an ECDSA P-256 key unless it says otherwise.
pub trait Signer {
    /// The signature over `message`, in the form of [`Self::algorithm`].
    ///
    /// # Errors
    ///
    /// [`SignError`] when the key is gone or refuses.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;

    /// How it signs.
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaSha256
    }
}

/// What a signature in a certificate is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// ECDSA over SHA-256, a DER `Ecdsa-Sig-Value` (RFC 5480 appendix A).
    EcdsaSha256,
    /// ECDSA over SHA-384, likewise.
    EcdsaSha384,
    /// RSA PKCS #1 version 1.5 over SHA-256 (RFC 8017 section 8.2).
    RsaSha256,
}

impl SignatureAlgorithm {
    /// The DER `AlgorithmIdentifier`: ECDSA has no parameters (RFC 5758 section 3.2), RSA has NULL (RFC 4055 section 5).
    pub(super) const fn identifier(self) -> &'static [u8] {
        match self {
            Self::EcdsaSha256 => &[der::SEQUENCE, 10, der::OBJECT_IDENTIFIER, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2],
            Self::EcdsaSha384 => &[der::SEQUENCE, 10, der::OBJECT_IDENTIFIER, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3],
            Self::RsaSha256 => {
                &[der::SEQUENCE, 13, der::OBJECT_IDENTIFIER, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0]
            }
        }
    }
}

/// The key did not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignError;

labelled! {
    /// Why a certificate was not made.
    pub enum MintError {
        /// The issuing certificate cannot be read, or is no CA.
        Issuer = "issuer",
        /// The name is outside the issuer's name constraints.
        Name = "name",
        /// A host pattern that no name constraint can say.
        Pattern = "pattern",
        /// The public key is not a SubjectPublicKeyInfo.
        PublicKey = "public_key",
        /// The signer failed.
        Signature = "signature",
        /// More permitted names than an issuer may carry.
        TooMany = "too_many",
        /// The validity is empty or reaches outside the issuer's.
        Validity = "validity",
    }
}

impl core::error::Error for MintError {}

impl From<SignError> for MintError {
    fn from(_: SignError) -> Self {
        Self::Signature
    }
}
