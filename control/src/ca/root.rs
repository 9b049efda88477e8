//! One root certificate, with its key where this process has it.

use aws_lc_rs::digest;
use penstock_core::limits::ROOT_LIFE_SECONDS;
use penstock_core::mint::{AuthorityRequest, CertificateFacts, MintError, Validity, encode_cross, encode_root};

use super::error::CaError;
use super::hex;
use super::key::{Key, random_serial};

/// A root's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) der: Vec<u8>,
    pub(super) facts: CertificateFacts,
}

/// A root that signs, or will.
pub(super) struct Root {
    pub(super) certificate: Certificate,
    pub(super) key: Key,
}

/// What an operator sees of a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootFacts {
    /// Its common name.
    pub common_name: String,
    /// SHA-256 of the certificate, hex.
    pub sha256: String,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
}

impl Certificate {
    /// Reads a root that Penstock made.
    pub(super) fn parse(der: Vec<u8>) -> Option<Self> {
        let facts = CertificateFacts::parse(&der).ok().filter(CertificateFacts::is_authority)?;
        Some(Self { der, facts })
    }

    pub(super) fn info(&self) -> RootFacts {
        let Validity { not_before, not_after } = self.facts.validity();
        let (common_name, sha256) = (common_name(self.facts.public_key()), fingerprint(&self.der));
        RootFacts { common_name, sha256, not_before, not_after }
    }
}

impl Root {
    /// Makes a root for the time from `now`.
    pub(super) fn new(now: i64) -> Result<Self, CaError> {
        let (key, serial) = (Key::generate()?, random_serial()?);
        let name = common_name(key.public_key());
        let validity = Validity::from_now(now, ROOT_LIFE_SECONDS);
        let request = AuthorityRequest { common_name: &name, public_key: key.public_key(), serial, validity };
        let der = encode_root(&request, &key)?;
        let certificate = Certificate::parse(der).ok_or(CaError::Random)?;
        Ok(Self { certificate, key })
    }

    /// Vouches for a successor; `None` when this root allows no authority between itself and an issuer, as those did that
    /// the first versions made.
    pub(super) fn certify(&self, successor: &Certificate) -> Result<Option<Vec<u8>>, CaError> {
        let public_key = successor.facts.public_key();
        let (own, its) = (self.certificate.facts.validity(), successor.facts.validity());
        let request = AuthorityRequest {
            common_name: &common_name(public_key),
            public_key,
            serial: random_serial()?,
            validity: Validity {
                not_before: own.not_before.max(its.not_before),
                not_after: own.not_after.min(its.not_after),
            },
        };
        match encode_cross(&request, &self.certificate.facts, &self.key) {
            Err(MintError::Issuer) => Ok(None),
            made => Ok(Some(made?)),
        }
    }
}

/// Unique per key: a client that trusts two roots of one name may try the wrong one.
fn common_name(public_key: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, public_key);
    format!("Penstock Root {}", hex(digest.as_ref().get(..4).unwrap_or_default()))
}

/// SHA-256 of a certificate, hex.
pub(super) fn fingerprint(der: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, der).as_ref())
}
