//! What the signer signs: leaves that it writes itself, from a host name and a public key.

use alloc::vec::Vec;

use super::MintRequest;
use crate::mint::{CertificateFacts, LeafTemplate, MintError, Signer, Validity};

/// A leaf that has been signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// DER.
    pub certificate: Vec<u8>,
    /// From and to, as the certificate says.
    pub validity: Validity,
}

/// What only the signer's world knows at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Unix seconds, on the signer's own clock.
    pub now: i64,
    /// Random bytes.
    pub serial: [u8; 16],
}

/// Mints the leaves of one issuer. A data plane has one leaf key for each issuer, so what depends on it is encoded once.
#[derive(Clone, Debug)]
pub struct LeafMint {
    issuer: CertificateFacts,
    /// For the public key of the last request.
    template: Option<LeafTemplate>,
}

impl LeafMint {
    /// Takes the issuer.
    pub const fn new(issuer: CertificateFacts) -> Self {
        Self { issuer, template: None }
    }

    /// Writes the leaf that `request` asks for, valid from `moment` on, and signs it with the issuer's key.
    ///
    /// # Errors
    ///
    /// [`MintError::Validity`] outside the issuer's time, [`MintError::Name`] outside its name constraints,
    /// [`MintError::PublicKey`] when the leaf's key cannot be read, [`MintError::Issuer`] when the issuer is no CA,
    /// [`MintError::Signature`].
    pub fn mint(&mut self, request: &MintRequest, moment: Moment, signer: &dyn Signer) -> Result<Minted, MintError> {
        let validity = Validity::for_leaf(moment.now, self.issuer.validity());
        if !validity.contains(moment.now) {
            return Err(MintError::Validity);
        }
        let template = match self.template.take().filter(|template| template.public_key() == request.public_key) {
            Some(template) => template,
            None => LeafTemplate::new(&self.issuer, &request.public_key)?,
        };
        let template = self.template.insert(template);
        let certificate = template.encode(&request.name, moment.serial, validity, signer)?;
        Ok(Minted { certificate, validity })
    }
}
