//! The seam to a private key, and what can go wrong when a certificate is made.
//!
//! The key may live in this process, in a separate signer or in a PKCS#11 module; `core` only sees signatures.

use alloc::vec::Vec;

use crate::labelled;

/// Signs with an ECDSA P-256 key.
pub trait Signer {
    /// The DER `Ecdsa-Sig-Value` (RFC 5480 appendix A) over the SHA-256 digest of `message`.
    ///
    /// # Errors
    ///
    /// [`SignError`] when the key is gone or refuses.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
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
