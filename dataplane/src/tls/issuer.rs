//! The issuer in force: the short-lived CA that control sent, and the one key that all its leaves share.
//!
//! Made once per process when control pushes it, then shared by all shards. The leaf key and the ticket keys are born
//! and die with it, so no session outlives the issuer that vouched for it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use penstock_core::mint::{CertificateFacts, LeafTemplate, MintError, PermittedNames, SignError, Signer, Validity};
use penstock_core::sni::Sni;
use rustls::crypto::aws_lc_rs::{Ticketer, sign::any_ecdsa_type};
use rustls::server::ProducesTickets;
use rustls::sign::SigningKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::boring;

/// A CA that may certify the inspected hosts, for weeks.
pub(crate) struct Issuer {
    facts: CertificateFacts,
    certificate: CertificateDer<'static>,
    signer: IssuerKey,
    template: LeafTemplate,
    leaf_key: LeafKeys,
    ticketer: Arc<dyn ProducesTickets>,
}

impl Issuer {
    /// Takes what the link delivered: the issuer's certificate first, then the root's; the key as PKCS#8; the period as
    /// Unix seconds. Refuses parts that do not belong together.
    pub(crate) fn from_parts(
        chain: &[Vec<u8>],
        key: &[u8],
        not_before: i64,
        not_after: i64,
    ) -> Result<Self, IssuerError> {
        let certificate = chain.first().ok_or(IssuerError::Certificate)?;
        let facts = CertificateFacts::parse(certificate).map_err(|_| IssuerError::Certificate)?;
        if facts.validity() != (Validity { not_before, not_after }) {
            return Err(IssuerError::Validity);
        }
        let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key).map_err(|_| IssuerError::Key)?;
        let public_key = signer.public_key().as_der().map_err(|_| IssuerError::Key)?;
        if public_key.as_ref() != facts.public_key() {
            return Err(IssuerError::KeyMismatch);
        }
        let (leaf_key, leaf_public_key) = LeafKeys::generate()?;
        let template = LeafTemplate::new(&facts, &leaf_public_key).map_err(|_| IssuerError::Certificate)?;
        Ok(Self {
            certificate: CertificateDer::from(certificate.clone()),
            facts,
            signer: IssuerKey(signer),
            template,
            leaf_key,
            ticketer: Ticketer::new().map_err(|_| IssuerError::Random)?,
        })
    }

    /// When it may sign.
    pub(crate) const fn validity(&self) -> Validity {
        self.facts.validity()
    }

    /// Whether clients will accept its leaves for `name`.
    pub(crate) fn permits(&self, name: &str) -> bool {
        self.facts.permitted().is_none_or(|permitted| permitted.permits(name))
    }

    /// Whether it may certify every host that `patterns` (`login.live.com`, `*.google.com`) cover.
    pub(crate) fn covers<'a>(&self, patterns: impl IntoIterator<Item = &'a str>) -> bool {
        PermittedNames::from_patterns(patterns).is_ok_and(|wanted| {
            // An empty list of patterns stands as a name that nobody needs.
            wanted.iter().all(|name| self.permits(name) || name.ends_with(".invalid"))
        })
    }

    /// Encodes and signs a leaf for `name`; DER.
    pub(super) fn mint(&self, name: &Sni, now: i64) -> Result<(CertificateDer<'static>, Validity), MintError> {
        let validity = Validity::for_leaf(now, self.validity());
        if !validity.contains(now) {
            return Err(MintError::Validity);
        }
        let mut serial = [0; 16];
        aws_lc_rs::rand::fill(&mut serial).map_err(|_| SignError)?;
        let leaf = self.template.encode(name, serial, validity, &self.signer)?;
        Ok((CertificateDer::from(leaf), validity))
    }

    /// What a downstream is shown below the leaf. The root is left out: it has it, or it will not trust us.
    pub(super) fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    pub(super) const fn leaf_key(&self) -> &LeafKeys {
        &self.leaf_key
    }

    pub(super) fn ticketer(&self) -> Arc<dyn ProducesTickets> {
        Arc::clone(&self.ticketer)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// Why an issuer was refused. The link says so to control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IssuerError {
    #[error("the issuer's certificate cannot be read or is no CA")]
    Certificate,
    #[error("the issuer's key is not a P-256 key in PKCS#8")]
    Key,
    #[error("the issuer's key is not the one of its certificate")]
    KeyMismatch,
    #[error("the system gives no random bytes")]
    Random,
    #[error("the issuer's period is not the one of its certificate")]
    Validity,
}

/// The issuer's private key.
struct IssuerKey(EcdsaKeyPair);

impl Signer for IssuerKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.0.sign(&SystemRandom::new(), message).map_err(|_| SignError)?;
        Ok(signature.as_ref().to_vec())
    }
}

/// The P-256 key of all leaves, for either engine. It never leaves the process.
#[derive(Clone)]
pub(super) struct LeafKeys {
    pub(super) rustls: Arc<dyn SigningKey>,
    pub(super) boring: boring::LeafKey,
}

impl LeafKeys {
    /// A fresh key, and its DER `SubjectPublicKeyInfo`.
    fn generate() -> Result<(Self, Vec<u8>), IssuerError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| IssuerError::Random)?;
        let public_key = pair.public_key().as_der().map_err(|_| IssuerError::Random)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| IssuerError::Random)?;
        let boring = boring::LeafKey::from_pkcs8(pkcs8.as_ref()).ok_or(IssuerError::Random)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_ref()));
        let rustls = any_ecdsa_type(&der).map_err(|_| IssuerError::Random)?;
        Ok((Self { rustls, boring }, public_key.as_ref().to_vec()))
    }
}
