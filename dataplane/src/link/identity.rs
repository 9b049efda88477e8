//! Who this node is to controls on other machines: its certificate and key, in a file.
//!
//! ```text
//! DIR/link/node.pem   0600   the node's certificate, the fleet's authority that signed it, others that are believed while one
//!                            authority follows another, the node's key, in this order
//! ```
//!
//! The key is made here and never leaves this machine. The file is read at each dial, so that a node that joins again, or
//! whose certificate another process has renewed, needs no start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use penstock_core::limits::{CERTIFICATE_BACKDATE_SECONDS, LINK_AUTHORITIES_MAX, NODE_CERTIFICATE_RENEWAL_SECONDS};
use penstock_core::mint::{CertificateFacts, SignError, Signer, encode_node_request};
use penstock_link::{NodeCertificate, node_config, pem};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::private;

/// A node's certificate and key.
pub(crate) struct Identity {
    /// Who the node is.
    pub(crate) name: String,
    certificate: Vec<u8>,
    /// The one that signed it, then others that are believed.
    authorities: Vec<Vec<u8>>,
    /// PKCS #8.
    key: Zeroizing<Vec<u8>>,
    /// Unix second from which another certificate should take the place of this one.
    pub(super) renew_at: i64,
}

/// Why a node has no identity.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: there is none: have a token made (penstock node token) and run penstock-dataplane join", .0.display())]
    Missing(PathBuf),
    #[error("{}: not a node's certificate with its authority and key; join again", .0.display())]
    Malformed(PathBuf),
    #[error("control sent what is no certificate for this node's key")]
    Foreign,
    #[error("the system gives no random bytes")]
    Random,
}

/// A fresh key, and the request for a certificate that goes with it.
pub(super) struct Request {
    key: EcdsaKeyPair,
    /// PKCS #10, DER.
    pub(super) pkcs10: Vec<u8>,
}

impl Request {
    /// Makes a key.
    pub(super) fn new() -> Result<Self, IdentityError> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| IdentityError::Random)?;
        let public_key = key.public_key().as_der().map_err(|_| IdentityError::Random)?;
        let pkcs10 = encode_node_request(public_key.as_ref(), &Key(&key)).map_err(|_| IdentityError::Random)?;
        Ok(Self { pkcs10, key })
    }

    /// The identity, once control has certified the key.
    pub(super) fn certified(self, sent: NodeCertificate) -> Result<Identity, IdentityError> {
        let key = self.key.to_pkcs8v1().map_err(|_| IdentityError::Random)?;
        let key = Zeroizing::new(key.as_ref().to_vec());
        let authorities = std::iter::once(sent.authority).chain(sent.also).collect();
        Identity::from_parts(sent.certificate, authorities, key).ok_or(IdentityError::Foreign)
    }
}

struct Key<'a>(&'a EcdsaKeyPair);

impl Signer for Key<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.0.sign(&SystemRandom::new(), message).map_err(|_| SignError)?.as_ref().to_vec())
    }
}

impl Identity {
    /// Reads the file in `state_directory`. Blocks.
    pub(crate) fn load(state_directory: &Path) -> Result<Self, IdentityError> {
        let path = state_directory.join(FOLDER).join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(IdentityError::Missing(path)),
            Err(source) => return Err(IdentityError::Io { path, source }),
        };
        let certificates = pem::read_all(&text, pem::CERTIFICATE).unwrap_or_default();
        let identity = match (&certificates[..], pem::read(&text, pem::PRIVATE_KEY)) {
            ([certificate, authorities @ ..], Some(key)) => {
                Self::from_parts(certificate.to_vec(), authorities.iter().map(|der| der.to_vec()).collect(), key)
            }
            _ => None,
        };
        identity.ok_or(IdentityError::Malformed(path))
    }

    /// Replaces the file. Blocks.
    pub(super) fn save(&self, state_directory: &Path) -> Result<(), IdentityError> {
        let mut text = Zeroizing::new(String::new());
        for der in std::iter::once(&self.certificate).chain(&self.authorities) {
            pem::write(&mut text, pem::CERTIFICATE, der);
        }
        pem::write(&mut text, pem::PRIVATE_KEY, &self.key);
        let folder = state_directory.join(FOLDER);
        let saved = private::replace(&folder, FILE, &[text.as_bytes()]);
        saved.map_err(|source| IdentityError::Io { path: folder.join(FILE), source })
    }

    /// `None` when the parts are not of one node.
    fn from_parts(certificate: Vec<u8>, authorities: Vec<Vec<u8>>, key: Zeroizing<Vec<u8>>) -> Option<Self> {
        let facts = CertificateFacts::parse(&certificate).ok()?;
        let above =
            authorities.iter().map(|der| CertificateFacts::parse(der).ok().filter(CertificateFacts::is_authority));
        let above = above.collect::<Option<Vec<_>>>().filter(|above| above.len() <= LINK_AUTHORITIES_MAX)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key).ok()?;
        let is_ours = pair.public_key().as_der().is_ok_and(|public_key| public_key.as_ref() == facts.public_key());
        if !is_ours || facts.is_authority() || !above.first().is_some_and(|above| facts.is_issued_by(above)) {
            return None;
        }
        let made_at = facts.validity().not_before.saturating_add(CERTIFICATE_BACKDATE_SECONDS);
        let renew_at = made_at.saturating_add(NODE_CERTIFICATE_RENEWAL_SECONDS);
        Some(Self { name: facts.common_name()?.to_owned(), certificate, authorities, key, renew_at })
    }

    /// What is spoken with controls.
    pub(super) fn tls(&self) -> Result<ClientConfig, rustls::Error> {
        let key = PrivatePkcs8KeyDer::from(self.key.to_vec());
        let authorities = self.authorities.iter().map(|der| CertificateDer::from(der.clone()));
        node_config(authorities, CertificateDer::from(self.certificate.clone()), key.into())
    }

    /// DER of those that are believed.
    pub(super) fn authorities(&self) -> &[Vec<u8>] {
        &self.authorities
    }

    /// The same node, believing what control says: the authority that signs now, first, and others. `None` where that is what it
    /// believes, or is nothing that could be.
    pub(super) fn believing(&self, told: &[Vec<u8>]) -> Option<Self> {
        let own = self.authorities.first()?;
        let others = told.iter().filter(|der| *der != own);
        let authorities: Vec<Vec<u8>> = std::iter::once(own).chain(others).cloned().collect();
        if told.is_empty() || authorities == self.authorities {
            return None;
        }
        Self::from_parts(self.certificate.clone(), authorities, self.key.clone())
    }

    /// Whether its certificate is by the authority that signs now.
    pub(super) fn is_by(&self, signing: &[u8]) -> bool {
        self.authorities.first().is_some_and(|own| own == signing)
    }
}

const FOLDER: &str = "link";
const FILE: &str = "node.pem";
