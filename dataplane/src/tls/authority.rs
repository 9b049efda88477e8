//! A root and an issuer below it, made in this process: for the trial, and for tests. Those that clients trust are control's.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use penstock_core::mint::{
    AuthorityRequest, CertificateFacts, PermittedNames, SignError, Signer, Validity, encode_issuer, encode_root,
};

/// What the link would deliver, with the key.
pub(super) struct Authority {
    /// DER.
    pub(super) root: Vec<u8>,
    /// DER.
    pub(super) issuer: Vec<u8>,
    /// Of the issuer.
    pub(super) validity: Validity,
    pub(super) key: AuthorityKey,
}

/// A P-256 key that signs certificates.
pub(super) struct AuthorityKey(pub(super) EcdsaKeyPair);

impl Authority {
    /// At Unix second `now`; the issuer may certify `hosts`. `None`: the library refuses a part.
    pub(super) fn new(now: i64, hosts: &[&str]) -> Option<Self> {
        let (root_key, key) = (AuthorityKey::generate()?, AuthorityKey::generate()?);
        let root = root_key
            .request("root", Validity::from_now(now, ROOT_SECONDS), |request| encode_root(request, &root_key).ok())?;
        let facts = CertificateFacts::parse(&root).ok()?;
        let permitted = PermittedNames::from_patterns(hosts.iter().copied()).ok()?;
        let validity = Validity::from_now(now, ISSUER_SECONDS);
        let issuer =
            key.request("issuer", validity, |request| encode_issuer(request, &facts, &permitted, &root_key).ok())?;
        Some(Self { root, issuer, validity, key })
    }
}

impl AuthorityKey {
    fn generate() -> Option<Self> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).ok().map(Self)
    }

    /// Has a certificate for this key made.
    fn request(
        &self,
        common_name: &str,
        validity: Validity,
        encode: impl FnOnce(&AuthorityRequest<'_>) -> Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        let public_key = self.0.public_key().as_der().ok()?;
        encode(&AuthorityRequest { common_name, public_key: public_key.as_ref(), serial: SERIAL, validity })
    }
}

impl Signer for AuthorityKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.0.sign(&SystemRandom::new(), message).map_err(|_| SignError)?.as_ref().to_vec())
    }
}

const SERIAL: [u8; 16] = [9; 16];
const ROOT_SECONDS: i64 = 3650 * 86_400;
const ISSUER_SECONDS: i64 = 30 * 86_400;
