//! The authority of the link: by its signature controls and data planes of one fleet know each other.
//!
//! It is not the root that clients trust, and neither signs anything for the other. Every control of a fleet has the same one
//! (`DIR/link-authority.pem`, copied by the operator or kept in a common store), so that a node may go from one to another.

use std::path::Path;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use penstock_core::limits::{
    CERTIFICATE_BACKDATE_SECONDS, CONTROL_CERTIFICATE_LIFE_SECONDS, NODE_CERTIFICATE_LIFE_SECONDS, ROOT_LIFE_SECONDS,
};
use penstock_core::mint::{
    AuthorityRequest, CertificateFacts, NodeRequest, Validity, encode_control, encode_node, encode_root, is_node_name,
};
use penstock_link::{CONTROL_HOST_NAME, PIN_BYTES, pem};
use zeroize::Zeroizing;

use super::error::CaError;
use super::files::{self, Access};
use super::hex;
use super::key::{Key, random_serial};
use super::root::Certificate;

/// See the module.
pub struct LinkAuthority {
    certificate: Certificate,
    key: Key,
}

/// What a control shows on the link.
pub struct ControlIdentity {
    /// DER: its certificate, then the authority's, which a node that joins knows by its pin alone.
    pub chain: Vec<Vec<u8>>,
    /// PKCS #8.
    pub key: Zeroizing<Vec<u8>>,
    /// Unix second from which another should take its place.
    pub renew_at: i64,
}

/// What a node's certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCertificate {
    /// Who the node is.
    pub name: String,
    /// Unix second at which it was signed.
    pub made_at: i64,
    /// Its last second.
    pub ends_at: i64,
}

impl LinkAuthority {
    /// Opens the authority in `state`, or makes one. `now` is Unix seconds.
    ///
    /// # Errors
    ///
    /// A file that is open to others or broken, and what the file system says.
    pub fn open_or_create(state: &Path, now: i64) -> Result<Self, CaError> {
        let file = state.join(FILE);
        let Some(text) = files::read(&file, Access::Secret)? else {
            let made = Self::new(now)?;
            files::replace(&file, Access::Secret, made.to_pem()?.as_bytes())?;
            return Ok(made);
        };
        let certificate = pem::read(&text, pem::CERTIFICATE).and_then(|der| Certificate::parse(der.to_vec()));
        let key = pem::read(&text, pem::PRIVATE_KEY).and_then(|der| Key::from_pkcs8(&der));
        match (certificate, key) {
            (Some(certificate), Some(key)) if certificate.facts.public_key() == key.public_key() => {
                Ok(Self { certificate, key })
            }
            _ => Err(CaError::Malformed { file, expected: "the link's authority with its key" }),
        }
    }

    fn new(now: i64) -> Result<Self, CaError> {
        let key = Key::generate()?;
        let name = format!("Penstock Link {}", hex(random_serial()?.get(..4).unwrap_or_default()));
        let der = encode_root(&request(&name, &key, Validity::from_now(now, ROOT_LIFE_SECONDS))?, &key)?;
        Ok(Self { certificate: Certificate::parse(der).ok_or(CaError::Random)?, key })
    }

    fn to_pem(&self) -> Result<Zeroizing<String>, CaError> {
        let mut text = Zeroizing::new(String::new());
        pem::write(&mut text, pem::CERTIFICATE, &self.certificate.der);
        pem::write(&mut text, pem::PRIVATE_KEY, &self.key.to_pkcs8()?);
        Ok(text)
    }

    /// Its certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate.der
    }

    /// Its last second.
    pub fn ends(&self) -> i64 {
        self.certificate.facts.validity().not_after
    }

    /// By what a node that joins knows it.
    pub fn pin(&self) -> [u8; PIN_BYTES] {
        let mut pin = [0; PIN_BYTES];
        pin.copy_from_slice(digest::digest(&digest::SHA256, self.certificate.facts.public_key()).as_ref());
        pin
    }

    /// Makes a key and a certificate for this control.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes, or the authority's time is over.
    pub fn certify_control(&self, now: i64) -> Result<ControlIdentity, CaError> {
        let key = Key::generate()?;
        let validity = self.within(Validity::from_now(now, CONTROL_CERTIFICATE_LIFE_SECONDS));
        let request = request("control", &key, validity)?;
        let der = encode_control(&request, CONTROL_HOST_NAME, &self.certificate.facts, &self.key)?;
        Ok(ControlIdentity {
            chain: vec![der, self.certificate.der.clone()],
            key: key.to_pkcs8()?,
            renew_at: now + (validity.not_after - now) / 2,
        })
    }

    /// Signs a certificate for the key of a request (PKCS #10, DER), for the node of that name, from `now` on.
    ///
    /// # Errors
    ///
    /// [`CaError::Request`] when the request is none or not signed by its key, [`CaError::Mint`] when the name can be nobody's.
    pub fn certify_node(&self, name: &str, pkcs10: &[u8], now: i64) -> Result<Vec<u8>, CaError> {
        let asked = NodeRequest::parse(pkcs10).ok_or(CaError::Request)?;
        let proof = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, asked.point);
        proof.verify(asked.signed, asked.signature).map_err(|_| CaError::Request)?;
        let validity = self.within(Validity::from_now(now, NODE_CERTIFICATE_LIFE_SECONDS));
        let serial = random_serial()?;
        let request = AuthorityRequest { common_name: name, public_key: asked.public_key, serial, validity };
        Ok(encode_node(&request, &self.certificate.facts, &self.key)?)
    }

    /// Reads a certificate of a node's that was found signed by this authority; `None` when it is none of a node.
    pub fn read_node(der: &[u8]) -> Option<NodeCertificate> {
        let facts = CertificateFacts::parse(der).ok().filter(|facts| !facts.is_authority())?;
        let Validity { not_before, not_after } = facts.validity();
        let name = facts.common_name().filter(|name| is_node_name(name))?.to_owned();
        Some(NodeCertificate { name, made_at: not_before + CERTIFICATE_BACKDATE_SECONDS, ends_at: not_after })
    }

    fn within(&self, wanted: Validity) -> Validity {
        let own = self.certificate.facts.validity();
        Validity { not_before: wanted.not_before, not_after: wanted.not_after.min(own.not_after) }
    }
}

fn request<'a>(common_name: &'a str, key: &'a Key, validity: Validity) -> Result<AuthorityRequest<'a>, CaError> {
    Ok(AuthorityRequest { common_name, public_key: key.public_key(), serial: random_serial()?, validity })
}

const FILE: &str = "link-authority.pem";
