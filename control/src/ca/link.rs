//! The authority of the link: by its signature controls and data planes of one fleet know each other.
//!
//! It is not the root that clients trust, and neither signs anything for the other. Every control of a fleet has the same one
//! (`DIR/link-authority.pem`, which the operator copies from one to the others), so that a node may go from one to another.
//!
//! ```text
//!           rotate                   --now                            --finish
//! one ─────────────────▶ announced ────────────────▶ switched ─────────────────────▶ one
//!      both are believed,           both are believed,
//!      the old one signs            the new one signs for nodes; controls still show what the old one signed
//! ```
//!
//! So nobody is shown what it does not know yet: a node hears of the next authority by a control that it believes, and believes
//! both until the end.

use std::path::{Path, PathBuf};

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
use super::root::{Certificate, fingerprint};
use super::rotation::RotationStep;

/// See the module.
pub struct LinkAuthority {
    file: PathBuf,
    /// The file's text, to see when another was put in its place.
    text: Zeroizing<String>,
    /// Signs for nodes.
    signing: Pair,
    /// The next one, or the last one, while one follows the other.
    other: Option<Pair>,
}

struct Pair {
    certificate: Certificate,
    key: Key,
}

/// Where the link's authority stands, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkAuthorityFacts {
    /// The one that signs for nodes.
    pub signing: LinkCertificateFacts,
    /// While one follows another: the next one, or the last one.
    pub other: Option<LinkCertificateFacts>,
    /// `announced` or `switched` while one follows another, else `none`.
    pub phase: &'static str,
}

/// One certificate of the link's authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkCertificateFacts {
    /// Of the certificate, hex.
    pub sha256: String,
    /// Its last second.
    pub ends_at: i64,
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

/// A certificate that was signed for a node.
pub struct SignedForNode {
    /// DER.
    pub certificate: Vec<u8>,
    /// DER: who signed it.
    pub authority: Vec<u8>,
    /// DER: whom the node is to believe too.
    pub also: Vec<Vec<u8>>,
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

/// What a node asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// PKCS #10, DER.
    pub pkcs10: &'a [u8],
    /// It believes several authorities at once; an older version does not, and gets what the shown one signs.
    pub several: bool,
}

impl LinkAuthority {
    /// Opens the authority in `state`, or makes one. `now` is Unix seconds.
    ///
    /// # Errors
    ///
    /// A file that is open to others or broken, and what the file system says.
    pub fn open_or_create(state: &Path, now: i64) -> Result<Self, CaError> {
        let file = state.join(FILE);
        match files::read(&file, Access::Secret)? {
            Some(text) => Self::parse(file, text),
            None => Self::write(file, Pair::new(now)?, None),
        }
    }

    fn parse(file: PathBuf, text: Zeroizing<String>) -> Result<Self, CaError> {
        let all = |label| pem::read_all(&text, label).unwrap_or_default();
        let (certificates, keys) = (all(pem::CERTIFICATE), all(pem::PRIVATE_KEY));
        let is_whole = certificates.len() == keys.len() && (1..=2).contains(&keys.len());
        let pairs = certificates.iter().zip(&keys).map(|(certificate, key)| Pair::read(certificate, key));
        let mut pairs = pairs.collect::<Option<Vec<_>>>().filter(|_| is_whole).unwrap_or_default().into_iter();
        match pairs.next() {
            Some(signing) => Ok(Self { file, text, signing, other: pairs.next() }),
            None => Err(CaError::Malformed { file, expected: "the link's authority with its key" }),
        }
    }

    fn write(file: PathBuf, signing: Pair, other: Option<Pair>) -> Result<Self, CaError> {
        let mut text = Zeroizing::new(String::new());
        for pair in std::iter::once(&signing).chain(&other) {
            pem::write(&mut text, pem::CERTIFICATE, &pair.certificate.der);
            pem::write(&mut text, pem::PRIVATE_KEY, &pair.key.to_pkcs8()?);
        }
        files::replace(&file, Access::Secret, text.as_bytes())?;
        Ok(Self { file, text, signing, other })
    }

    /// What is in the file now, where that is another: copied from another control.
    ///
    /// # Errors
    ///
    /// As of [`Self::open_or_create`]; what is known stays good.
    pub fn reread(&self) -> Result<Option<Self>, CaError> {
        let text = files::read(&self.file, Access::Secret)?;
        text.filter(|text| *text != self.text).map(|text| Self::parse(self.file.clone(), text)).transpose()
    }

    /// Takes the rotation one step further, on disk first.
    ///
    /// # Errors
    ///
    /// [`CaError::Rotation`] when the step does not fit, and what the file system says.
    pub fn rotated(&self, step: RotationStep, now: i64) -> Result<Self, CaError> {
        // Read anew, since keys are not copied.
        let Self { file, signing, other, .. } = Self::parse(self.file.clone(), self.text.clone())?;
        let refused = |why| Err(CaError::Rotation(why));
        match (step, other) {
            (RotationStep::Announce, None) => {
                // It is told from the last one by its age.
                let next = Pair::new(now.max(signing.made_at() + 1))?;
                Self::write(file, signing, Some(next))
            }
            (RotationStep::Switch, Some(next)) if !self.is_switched() => Self::write(file, next, Some(signing)),
            (RotationStep::Finish, Some(_)) if self.is_switched() => Self::write(file, signing, None),
            (RotationStep::Announce, Some(_)) => refused("another authority of the link is known already"),
            (RotationStep::Switch, None) => refused("no next authority of the link is announced"),
            (RotationStep::Switch, Some(_)) => refused("the next authority of the link signs already"),
            (RotationStep::Finish, _) => {
                refused("the last authority of the link still signs; there is nothing to finish")
            }
        }
    }

    /// Whether the other one is the last one.
    fn is_switched(&self) -> bool {
        self.other.as_ref().is_some_and(|other| other.made_at() < self.signing.made_at())
    }

    /// The one below which controls show themselves, and nodes of older versions are.
    fn shown(&self) -> &Pair {
        self.other.as_ref().filter(|_| self.is_switched()).unwrap_or(&self.signing)
    }

    /// DER of every one that is believed, the one that signs for nodes first.
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        std::iter::once(&self.signing).chain(&self.other).map(|pair| pair.certificate.der.clone()).collect()
    }

    /// The last second of the one that signs.
    pub fn ends(&self) -> i64 {
        self.signing.certificate.facts.validity().not_after
    }

    /// Where it stands.
    pub fn facts(&self) -> LinkAuthorityFacts {
        let phase = match &self.other {
            None => "none",
            Some(_) if self.is_switched() => "switched",
            Some(_) => "announced",
        };
        LinkAuthorityFacts { signing: self.signing.facts(), other: self.other.as_ref().map(Pair::facts), phase }
    }

    /// By what a node that joins knows a control.
    pub fn pin(&self) -> [u8; PIN_BYTES] {
        let mut pin = [0; PIN_BYTES];
        let shown = self.shown().certificate.facts.public_key();
        pin.copy_from_slice(digest::digest(&digest::SHA256, shown).as_ref());
        pin
    }

    /// Makes a key and a certificate for this control.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes, or the authority's time is over.
    pub fn certify_control(&self, now: i64) -> Result<ControlIdentity, CaError> {
        let (shown, key) = (self.shown(), Key::generate()?);
        let validity = shown.within(Validity::from_now(now, CONTROL_CERTIFICATE_LIFE_SECONDS));
        let request = request("control", &key, validity)?;
        let der = encode_control(&request, CONTROL_HOST_NAME, &shown.certificate.facts, &shown.key)?;
        Ok(ControlIdentity {
            chain: vec![der, shown.certificate.der.clone()],
            key: key.to_pkcs8()?,
            renew_at: now + (validity.not_after - now) / 2,
        })
    }

    /// Signs a certificate for the key of a request, for the node of that name, from `now` on.
    ///
    /// # Errors
    ///
    /// [`CaError::Request`] when the request is none or not signed by its key, [`CaError::Mint`] when the name can be nobody's.
    pub fn certify_node(&self, name: &str, asked: Asked<'_>, now: i64) -> Result<SignedForNode, CaError> {
        let signing = if asked.several { &self.signing } else { self.shown() };
        let asked = NodeRequest::parse(asked.pkcs10).ok_or(CaError::Request)?;
        let proof = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, asked.point);
        proof.verify(asked.signed, asked.signature).map_err(|_| CaError::Request)?;
        let validity = signing.within(Validity::from_now(now, NODE_CERTIFICATE_LIFE_SECONDS));
        let serial = random_serial()?;
        let request = AuthorityRequest { common_name: name, public_key: asked.public_key, serial, validity };
        let certificate = encode_node(&request, &signing.certificate.facts, &signing.key)?;
        let authority = signing.certificate.der.clone();
        let also = self.certificates().into_iter().filter(|other| *other != authority).collect();
        Ok(SignedForNode { certificate, authority, also })
    }

    /// Reads a certificate of a node's that was found signed by this authority; `None` when it is none of a node.
    pub fn read_node(der: &[u8]) -> Option<NodeCertificate> {
        let facts = CertificateFacts::parse(der).ok().filter(|facts| !facts.is_authority())?;
        let Validity { not_before, not_after } = facts.validity();
        let name = facts.common_name().filter(|name| is_node_name(name))?.to_owned();
        Some(NodeCertificate { name, made_at: not_before + CERTIFICATE_BACKDATE_SECONDS, ends_at: not_after })
    }
}

impl Pair {
    fn new(now: i64) -> Result<Self, CaError> {
        let key = Key::generate()?;
        let name = format!("Penstock Link {}", hex(random_serial()?.get(..4).unwrap_or_default()));
        let der = encode_root(&request(&name, &key, Validity::from_now(now, ROOT_LIFE_SECONDS))?, &key)?;
        Ok(Self { certificate: Certificate::parse(der).ok_or(CaError::Random)?, key })
    }

    /// `None` when they are not of each other.
    fn read(certificate: &[u8], key: &[u8]) -> Option<Self> {
        let (certificate, key) = (Certificate::parse(certificate.to_vec())?, Key::from_pkcs8(key)?);
        (certificate.facts.public_key() == key.public_key()).then_some(Self { certificate, key })
    }

    fn made_at(&self) -> i64 {
        self.certificate.facts.validity().not_before + CERTIFICATE_BACKDATE_SECONDS
    }

    /// Its own time is within the authority's: the clock that made this one may be ahead.
    fn within(&self, wanted: Validity) -> Validity {
        let own = self.certificate.facts.validity();
        let not_before = wanted.not_before.max(own.not_before);
        Validity { not_before, not_after: wanted.not_after.min(own.not_after) }
    }

    fn facts(&self) -> LinkCertificateFacts {
        let ends_at = self.certificate.facts.validity().not_after;
        LinkCertificateFacts { sha256: fingerprint(&self.certificate.der), ends_at }
    }
}

fn request<'a>(common_name: &'a str, key: &'a Key, validity: Validity) -> Result<AuthorityRequest<'a>, CaError> {
    Ok(AuthorityRequest { common_name, public_key: key.public_key(), serial: random_serial()?, validity })
}

const FILE: &str = "link-authority.pem";
