//! The issuer in force: the short-lived CA that control sent, without its key, which the signer holds; and the one key that
//! all its leaves share.
//!
//! Made once per process when control pushes it, then shared by all shards. The leaf key is born and dies with it, and
//! session tickets are bound to it, so no session outlives the issuer that vouched for it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use penstock_core::flow::FaultKind;
use penstock_core::mint::{CertificateFacts, PermittedNames, Validity};
use penstock_core::signer::{IssuerId, MintRequest};
use penstock_core::sni::Sni;
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::sign::SigningKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::boring;

/// A CA that may certify the inspected hosts, for weeks.
pub(crate) struct Issuer {
    id: IssuerId,
    facts: CertificateFacts,
    /// What a downstream is shown below the leaf, the issuer's own certificate first.
    shown: Vec<CertificateDer<'static>>,
    leaf_key: LeafKeys,
    /// DER `SubjectPublicKeyInfo`.
    leaf_public_key: Vec<u8>,
}

impl Issuer {
    /// Takes what the link delivered: the issuer's certificate first, then those that vouch for it; the period as Unix
    /// seconds. Refuses parts that do not belong together; whether the key does, the signer finds out.
    pub(crate) fn from_parts(chain: &[Vec<u8>], not_before: i64, not_after: i64) -> Result<Self, IssuerError> {
        let certificate = chain.first().ok_or(IssuerError::Certificate)?;
        let facts = CertificateFacts::parse(certificate).map_err(|_| IssuerError::Certificate)?;
        if !facts.is_authority() {
            return Err(IssuerError::Certificate);
        }
        if facts.validity() != (Validity { not_before, not_after }) {
            return Err(IssuerError::Validity);
        }
        let mut id = IssuerId::default();
        id.copy_from_slice(digest(&SHA256, certificate).as_ref());
        let (leaf_key, leaf_public_key) = LeafKeys::generate()?;
        Ok(Self { id, facts, shown: shown(chain)?, leaf_key, leaf_public_key })
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

    /// What to ask the signer for, to have a leaf for `name` at Unix second `now`. Nothing is asked that no client would
    /// accept: control must send another issuer first.
    pub(super) fn request(&self, name: &Sni, now: i64) -> Result<MintRequest, FaultKind> {
        if !self.validity().contains(now) || !self.permits(name.as_str()) {
            return Err(FaultKind::NotReady);
        }
        Ok(MintRequest { issuer: self.id, name: name.clone(), public_key: self.leaf_public_key.clone() })
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
    #[error("the system gives no random bytes")]
    Random,
    #[error("the issuer's period is not the one of its certificate")]
    Validity,
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
