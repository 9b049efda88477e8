//! The leaf profile: everything that is the same in all leaves of an issuer is encoded once.
//!
//! Called by `crate::signer`; what is left per leaf is a few hundred bytes of copying and one signature.

use alloc::vec::Vec;

use super::authority::{
    Critical, KEY_USAGE_DIGITAL_SIGNATURE, OID_COMMON_NAME, OID_SERVER_AUTH, OID_SUBJECT_ALTERNATIVE_NAME, VERSION_3,
    attribute, authority_key_id, extended_key_usage, extension, key_usage, positive_serial, signed, subject_key_id,
};
use super::der::{self, Writer};
use super::facts::{self, CertificateFacts};
use super::names::PermittedNames;
use super::signer::{MintError, Signer};
use super::validity::Validity;
use crate::sni::Sni;

/// Longest common name (`ub-common-name`, RFC 5280 appendix A.1). A longer host name leaves the subject empty.
const COMMON_NAME_BYTES_MAX: usize = 64;
/// A leaf for a short name is about 480 bytes.
const LEAF_BYTES_TYPICAL: usize = 640;

/// All that the leaves of one issuer and one leaf key have in common, as DER.
#[derive(Clone, Debug)]
pub struct LeafTemplate {
    /// `issuer`.
    issuer: Vec<u8>,
    /// `subjectPublicKeyInfo`.
    public_key: Vec<u8>,
    /// All extensions but the name.
    extensions: Vec<u8>,
    issuer_validity: Validity,
    permitted: Option<PermittedNames>,
}

impl LeafTemplate {
    /// Prepares leaves of `issuer` for the key with the DER `SubjectPublicKeyInfo` `public_key`.
    ///
    /// # Errors
    ///
    /// [`MintError::Issuer`] when `issuer` is no CA, [`MintError::PublicKey`] when the key cannot be read.
    pub fn new(issuer: &CertificateFacts, public_key: &[u8]) -> Result<Self, MintError> {
        if !issuer.is_authority() {
            return Err(MintError::Issuer);
        }
        let key_id = facts::key_id(public_key).ok_or(MintError::PublicKey)?;
        let mut extensions = Writer::with_capacity(160);
        key_usage(&mut extensions, KEY_USAGE_DIGITAL_SIGNATURE);
        extended_key_usage(&mut extensions, OID_SERVER_AUTH);
        authority_key_id(&mut extensions, issuer.key_id());
        subject_key_id(&mut extensions, &key_id);
        Ok(Self {
            issuer: issuer.subject().into(),
            public_key: public_key.into(),
            extensions: extensions.into_bytes(),
            issuer_validity: issuer.validity(),
            permitted: issuer.permitted().cloned(),
        })
    }

    /// The DER `SubjectPublicKeyInfo` of its leaves.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Encodes and signs the leaf for `name`. Two bits of the random `serial` are fixed, so that it is positive and
    /// never zero.
    ///
    /// # Errors
    ///
    /// [`MintError::Validity`] when the period reaches outside the issuer's, [`MintError::Name`] when the issuer may not
    /// certify the name (clients would refuse it), [`MintError::Signature`].
    pub fn encode(
        &self,
        name: &Sni,
        serial: [u8; 16],
        validity: Validity,
        signer: &dyn Signer,
    ) -> Result<Vec<u8>, MintError> {
        if !validity.fits(&self.issuer_validity) {
            return Err(MintError::Validity);
        }
        if self.permitted.as_ref().is_some_and(|permitted| !permitted.permits(name.as_str())) {
            return Err(MintError::Name);
        }
        signed(self.to_be_signed(name.as_str(), serial, validity, signer), signer)
    }

    fn to_be_signed(&self, name: &str, serial: [u8; 16], validity: Validity, signer: &dyn Signer) -> Vec<u8> {
        let named = name.len() <= COMMON_NAME_BYTES_MAX;
        // With an empty subject the alternative name must be critical (RFC 5280 section 4.2.1.6).
        let critical = if named { Critical::No } else { Critical::Yes };
        let mut writer = Writer::with_capacity(LEAF_BYTES_TYPICAL);
        writer.nested(der::SEQUENCE, |writer| {
            writer.raw(VERSION_3);
            writer.unsigned_integer(&positive_serial(serial));
            writer.raw(signer.algorithm().identifier());
            writer.raw(&self.issuer);
            validity.write(writer);
            writer.nested(der::SEQUENCE, |writer| {
                if named {
                    attribute(writer, OID_COMMON_NAME, name);
                }
            });
            writer.raw(&self.public_key);
            writer.nested(der::context_constructed(3), |writer| {
                writer.nested(der::SEQUENCE, |writer| {
                    writer.raw(&self.extensions);
                    extension(writer, OID_SUBJECT_ALTERNATIVE_NAME, critical, |writer| {
                        writer.nested(der::SEQUENCE, |writer| writer.element(der::context(2), name.as_bytes()));
                    });
                });
            });
        });
        writer.into_bytes()
    }
}
