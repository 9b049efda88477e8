//! The issuer in force: the short-lived CA that control sent, and the one key that all its leaves share.
//!
//! Made once per process when control pushes it, then shared by all shards. The leaf key is born and dies with it, and
//! session tickets are bound to it, so no session outlives the issuer that vouched for it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use penstock_core::mint::{CertificateFacts, LeafTemplate, MintError, PermittedNames, SignError, Signer, Validity};
use penstock_core::sni::Sni;
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::sign::SigningKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::boring;

/// A CA that may certify the inspected hosts, for weeks.
pub(crate) struct Issuer {
    facts: CertificateFacts,
    /// What a downstream is shown below the leaf, the issuer's own certificate first.
    shown: Vec<CertificateDer<'static>>,
    signer: IssuerKey,
    template: LeafTemplate,
    leaf_key: LeafKeys,
}

impl Issuer {
    /// Takes what the link delivered: the issuer's certificate first, then those that vouch for it; the key as PKCS#8; the
    /// period as Unix seconds. Refuses parts that do not belong together.
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
        Ok(Self { shown: shown(chain)?, facts, signer: IssuerKey(signer), template, leaf_key })
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

    /// What a downstream is shown below the leaf.
    pub(super) fn shown(&self) -> &[CertificateDer<'static>] {
        &self.shown
    }

    /// The issuer's own certificate, DER.
    pub(super) fn certificate(&self) -> &[u8] {
        self.shown.first().map_or(&[], |certificate| certificate)
    }

    pub(super) const fn leaf_key(&self) -> &LeafKeys {
        &self.leaf_key
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

/// All but roots, which vouch for themselves: a client has the root, or it will not trust us.
fn shown(chain: &[Vec<u8>]) -> Result<Vec<CertificateDer<'static>>, IssuerError> {
    let mut shown = Vec::with_capacity(chain.len());
    for certificate in chain {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| IssuerError::Certificate)?;
        if shown.is_empty() || parsed.subject().as_raw() != parsed.issuer().as_raw() {
            shown.push(CertificateDer::from(certificate.clone()));
        }
    }
    Ok(shown)
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
