//! The issuer in force: made for the hosts of one policy, kept on disk until half of its life is over.
//!
//! Keeping it means that a restart of control changes nothing for data planes: their leaves and tickets stay good.

use penstock_core::limits::ISSUER_LIFE_SECONDS;
use penstock_core::mint::{AuthorityRequest, CertificateFacts, PermittedNames, Signer, Validity, encode_issuer};
use penstock_link::pem;
use zeroize::Zeroizing;

use super::error::CaError;
use super::hex;
use super::key::{Key, random_serial};

/// An issuer with its key, as data planes need it.
pub struct IssuerBundle {
    /// Serial number in hex: the issuer's name on the link.
    pub serial: String,
    /// DER: the issuer's certificate, then each that vouches for the one before it; a root is last.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8 DER. Secret.
    pub key: Zeroizing<Vec<u8>>,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
}

/// Who signs an issuer.
pub(super) struct Parent<'a> {
    pub(super) facts: &'a CertificateFacts,
    pub(super) signer: &'a dyn Signer,
    /// DER: what clients may need above the issuer, a root last.
    pub(super) chain: Vec<Vec<u8>>,
}

impl IssuerBundle {
    /// From this Unix second on another issuer should take its place: half of its life is over.
    pub const fn renew_at(&self) -> i64 {
        // A root near its end makes shorter lives.
        let half = (self.not_after - self.not_before) / 2;
        self.not_after - if half < ISSUER_LIFE_SECONDS / 2 { half } else { ISSUER_LIFE_SECONDS / 2 }
    }

    /// Makes a key and has `parent` certify it for `permitted`.
    pub(super) fn new(parent: &Parent<'_>, permitted: &PermittedNames, now: i64) -> Result<Self, CaError> {
        let (key, serial) = (Key::generate()?, random_serial()?);
        let (wanted, outer) = (Validity::from_now(now, ISSUER_LIFE_SECONDS), parent.facts.validity());
        let validity = Validity {
            not_before: wanted.not_before.max(outer.not_before),
            not_after: wanted.not_after.min(outer.not_after),
        };
        let common_name = format!("Penstock Issuer {}", hex(serial.get(8..).unwrap_or_default()));
        let request = AuthorityRequest { common_name: &common_name, public_key: key.public_key(), serial, validity };
        let certificate = encode_issuer(&request, parent.facts, permitted, parent.signer)?;
        Self::from_parts(certificate, key.to_pkcs8()?, &parent.chain).map(|(bundle, _)| bundle).ok_or(CaError::Random)
    }

    /// Reads what [`Self::to_pem`] wrote, unless it is not by this root, not for these names, or due for renewal.
    pub(super) fn from_pem(text: &str, parent: &Parent<'_>, permitted: &PermittedNames, now: i64) -> Option<Self> {
        let certificate = pem::read(text, pem::CERTIFICATE)?;
        let key = pem::read(text, pem::PRIVATE_KEY)?;
        let public_key = Key::from_pkcs8(&key)?.public_key().to_vec();
        let (bundle, facts) = Self::from_parts(certificate.to_vec(), key, &parent.chain)?;
        let usable = facts.public_key() == public_key
            && facts.is_issued_by(parent.facts)
            && facts.permitted() == Some(permitted)
            && facts.validity().contains(now)
            && now < bundle.renew_at();
        usable.then_some(bundle)
    }

    /// Certificate and key.
    pub(super) fn to_pem(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(64 * 1024));
        if let Some(certificate) = self.chain.first() {
            pem::write(&mut text, pem::CERTIFICATE, certificate);
        }
        pem::write(&mut text, pem::PRIVATE_KEY, &self.key);
        text
    }

    fn from_parts(
        certificate: Vec<u8>,
        key: Zeroizing<Vec<u8>>,
        above: &[Vec<u8>],
    ) -> Option<(Self, CertificateFacts)> {
        let facts = CertificateFacts::parse(&certificate).ok()?;
        let Validity { not_before, not_after } = facts.validity();
        let chain = std::iter::once(certificate).chain(above.iter().cloned()).collect();
        Some((Self { serial: hex(facts.serial()), chain, key, not_before, not_after }, facts))
    }
}

impl std::fmt::Debug for IssuerBundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuerBundle").field("serial", &self.serial).finish_non_exhaustive()
    }
}
