//! The issuer in force: made for the hosts of one policy, kept on disk until half of its life is over.
//!
//! Keeping it means that a restart of control changes nothing for data planes: their leaves and tickets stay good.

use penstock_core::limits::ISSUER_LIFE_SECONDS;
use penstock_core::mint::{AuthorityRequest, CertificateFacts, PermittedNames, Validity, encode_issuer};
use zeroize::Zeroizing;

use super::error::CaError;
use super::key::{Key, random_serial};
use super::pem;

/// An issuer with its key, as data planes need it.
pub struct IssuerBundle {
    /// Serial number in hex: the issuer's name on the link.
    pub serial: String,
    /// DER: the issuer's certificate, then the root's.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8 DER. Secret.
    pub key: Zeroizing<Vec<u8>>,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
}

impl IssuerBundle {
    /// From this Unix second on another issuer should take its place: half of its life is over.
    pub const fn renew_at(&self) -> i64 {
        // A root near its end makes shorter lives.
        let half = (self.not_after - self.not_before) / 2;
        self.not_after - if half < ISSUER_LIFE_SECONDS / 2 { half } else { ISSUER_LIFE_SECONDS / 2 }
    }

    /// Makes a key and has the root certify it for `permitted`.
    pub(super) fn new(
        root: &CertificateFacts,
        root_key: &Key,
        root_certificate: &[u8],
        permitted: &PermittedNames,
        now: i64,
    ) -> Result<Self, CaError> {
        let (key, serial) = (Key::generate()?, random_serial()?);
        let wanted = Validity::from_now(now, ISSUER_LIFE_SECONDS);
        let validity = Validity {
            not_before: wanted.not_before.max(root.validity().not_before),
            not_after: wanted.not_after.min(root.validity().not_after),
        };
        let common_name = format!("Penstock Issuer {}", hex(serial.get(8..).unwrap_or_default()));
        let request = AuthorityRequest { common_name: &common_name, public_key: key.public_key(), serial, validity };
        let certificate = encode_issuer(&request, root, permitted, root_key)?;
        Self::from_parts(certificate, key.to_pkcs8()?, root_certificate)
            .map(|(bundle, _)| bundle)
            .ok_or(CaError::Random)
    }

    /// Reads what [`Self::to_pem`] wrote, unless it is not by this root, not for these names, or due for renewal.
    pub(super) fn from_pem(
        text: &str,
        root_certificate: &[u8],
        root: &CertificateFacts,
        permitted: &PermittedNames,
        now: i64,
    ) -> Option<Self> {
        let certificate = pem::read(text, pem::CERTIFICATE)?;
        let key = pem::read(text, pem::PRIVATE_KEY)?;
        let public_key = Key::from_pkcs8(&key)?.public_key().to_vec();
        let (bundle, facts) = Self::from_parts(certificate.to_vec(), key, root_certificate)?;
        let usable = facts.public_key() == public_key
            && facts.is_issued_by(root)
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
        root_certificate: &[u8],
    ) -> Option<(Self, CertificateFacts)> {
        let facts = CertificateFacts::parse(&certificate).ok()?;
        let Validity { not_before, not_after } = facts.validity();
        let chain = vec![certificate, root_certificate.to_vec()];
        Some((Self { serial: hex(facts.serial()), chain, key, not_before, not_after }, facts))
    }
}

impl std::fmt::Debug for IssuerBundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuerBundle").field("serial", &self.serial).finish_non_exhaustive()
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
