//! What must be known of an authority's certificate to sign below it.
//!
//! Reads only what certificates of [`super::authority`]'s profiles contain; it is no general X.509 reader and never sees
//! a certificate from the network. What an operator's own authority is, its caller reads and says.

use alloc::vec::Vec;

use sha2::{Digest as _, Sha256};

use super::authority::{
    OID_AUTHORITY_KEY_ID, OID_BASIC_CONSTRAINTS, OID_COMMON_NAME, OID_NAME_CONSTRAINTS, OID_SUBJECT_KEY_ID,
};
use super::der::{self, element, expect};
use super::names::PermittedNames;
use super::signer::MintError;
use super::validity::{Validity, read_time};
use crate::bytes::Reader;

/// Length of a key identifier.
const KEY_ID_BYTES: usize = 20;

/// Facts of one of our certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    serial: Vec<u8>,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    validity: Validity,
    public_key: Vec<u8>,
    key_id: Vec<u8>,
    authority_key_id: Vec<u8>,
    is_authority: bool,
    path_length: Option<u8>,
    permitted: Option<PermittedNames>,
}

/// An authority that Penstock did not make, as its operator's certificate describes it.
#[derive(Clone, Copy, Debug)]
pub struct ForeignAuthority<'a> {
    /// The serial number's bytes.
    pub serial: &'a [u8],
    /// Who vouches for it, a DER `Name`.
    pub issuer: &'a [u8],
    /// Its own DER `Name`.
    pub subject: &'a [u8],
    /// From and to.
    pub validity: Validity,
    /// DER `SubjectPublicKeyInfo`.
    pub public_key: &'a [u8],
    /// Its subject key identifier, where it has one.
    pub key_id: Option<&'a [u8]>,
}

impl CertificateFacts {
    /// Reads a DER certificate.
    ///
    /// # Errors
    ///
    /// [`MintError::Issuer`] when it is not of the form that this module writes.
    pub fn parse(certificate: &[u8]) -> Result<Self, MintError> {
        read_certificate(certificate).ok_or(MintError::Issuer)
    }

    /// Takes an authority that its caller has read and found fit to sign an issuer.
    ///
    /// # Errors
    ///
    /// [`MintError::PublicKey`] when the key cannot be read.
    pub fn of_foreign(authority: &ForeignAuthority<'_>) -> Result<Self, MintError> {
        let computed = key_id(authority.public_key).ok_or(MintError::PublicKey)?;
        Ok(Self {
            serial: authority.serial.into(),
            issuer: authority.issuer.into(),
            subject: authority.subject.into(),
            validity: authority.validity,
            public_key: authority.public_key.into(),
            key_id: authority.key_id.unwrap_or(&computed).into(),
            authority_key_id: Vec::new(),
            is_authority: true,
            path_length: None,
            permitted: None,
        })
    }

    /// The serial number's bytes.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The subject, a DER `Name`.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The subject's common name; `None` when it has none that is UTF-8.
    pub fn common_name(&self) -> Option<&str> {
        let mut parts = Reader::new(expect(&mut Reader::new(&self.subject), der::SEQUENCE)?);
        while !parts.is_empty() {
            let part = expect(&mut parts, der::SET)?;
            let mut attribute = Reader::new(expect(&mut Reader::new(part), der::SEQUENCE)?);
            if expect(&mut attribute, der::OBJECT_IDENTIFIER)? == OID_COMMON_NAME {
                return core::str::from_utf8(expect(&mut attribute, der::UTF8_STRING)?).ok();
            }
        }
        None
    }

    /// From and to.
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The DER `SubjectPublicKeyInfo`.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// The subject key identifier.
    pub fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    /// Whether it says that it is signed by `authority`; the signature is not checked.
    pub fn is_issued_by(&self, authority: &Self) -> bool {
        self.issuer == authority.subject && self.authority_key_id == authority.key_id
    }

    /// Whether it may sign certificates.
    pub const fn is_authority(&self) -> bool {
        self.is_authority
    }

    /// How many authorities may stand between it and a leaf; `None` when it does not say.
    pub const fn path_length(&self) -> Option<u8> {
        self.path_length
    }

    /// The names that it may certify; `None` when it has no name constraints.
    pub const fn permitted(&self) -> Option<&PermittedNames> {
        self.permitted.as_ref()
    }
}

/// RFC 7093 section 2, method 1: the first 160 bits of the SHA-256 digest of the public key's bits.
pub(super) fn key_id(public_key: &[u8]) -> Option<[u8; KEY_ID_BYTES]> {
    let mut outer = Reader::new(public_key);
    let mut info = Reader::new(expect(&mut outer, der::SEQUENCE)?);
    expect(&mut info, der::SEQUENCE)?;
    let (0, bits) = expect(&mut info, der::BIT_STRING)?.split_first().map(|(&unused, bits)| (unused, bits))? else {
        return None;
    };
    if !outer.is_empty() || !info.is_empty() {
        return None;
    }
    Sha256::digest(bits).first_chunk().copied()
}

fn read_certificate(certificate: &[u8]) -> Option<CertificateFacts> {
    let mut outer = Reader::new(certificate);
    let mut parts = Reader::new(expect(&mut outer, der::SEQUENCE)?);
    if !outer.is_empty() {
        return None;
    }
    let mut body = Reader::new(expect(&mut parts, der::SEQUENCE)?);
    expect(&mut body, der::context_constructed(0))?;
    let serial = expect(&mut body, der::INTEGER)?;
    expect(&mut body, der::SEQUENCE)?;
    let issuer = element(&mut body).filter(|name| name.tag == der::SEQUENCE)?.whole;
    let mut period = Reader::new(expect(&mut body, der::SEQUENCE)?);
    let validity =
        Validity { not_before: read_time(element(&mut period)?)?, not_after: read_time(element(&mut period)?)? };
    let subject = element(&mut body).filter(|name| name.tag == der::SEQUENCE)?.whole;
    let public_key = element(&mut body).filter(|key| key.tag == der::SEQUENCE)?.whole;
    let mut facts = CertificateFacts {
        serial: serial.into(),
        issuer: issuer.into(),
        subject: subject.into(),
        validity,
        public_key: public_key.into(),
        key_id: key_id(public_key)?.into(),
        authority_key_id: Vec::new(),
        is_authority: false,
        path_length: None,
        permitted: None,
    };
    let explicit = expect(&mut body, der::context_constructed(3))?;
    let mut extensions = Reader::new(expect(&mut Reader::new(explicit), der::SEQUENCE)?);
    while !extensions.is_empty() {
        read_extension(&mut facts, expect(&mut extensions, der::SEQUENCE)?)?;
    }
    Some(facts)
}

fn read_extension(facts: &mut CertificateFacts, extension: &[u8]) -> Option<()> {
    let mut reader = Reader::new(extension);
    let oid = expect(&mut reader, der::OBJECT_IDENTIFIER)?;
    let mut value = element(&mut reader)?;
    if value.tag == der::BOOLEAN {
        value = element(&mut reader)?;
    }
    if value.tag != der::OCTET_STRING {
        return None;
    }
    let mut content = Reader::new(value.content);
    if oid == OID_BASIC_CONSTRAINTS {
        let constraints = expect(&mut content, der::SEQUENCE)?;
        let mut constraints = Reader::new(constraints);
        facts.is_authority = expect(&mut constraints, der::BOOLEAN) == Some(&[0xff]);
        if !constraints.is_empty() {
            let &[length] = expect(&mut constraints, der::INTEGER)? else { return None };
            facts.path_length = Some(length);
        }
    } else if oid == OID_SUBJECT_KEY_ID {
        facts.key_id = expect(&mut content, der::OCTET_STRING)?.into();
    } else if oid == OID_AUTHORITY_KEY_ID {
        let identifier = expect(&mut content, der::SEQUENCE)?;
        facts.authority_key_id = expect(&mut Reader::new(identifier), der::context(0))?.into();
    } else if oid == OID_NAME_CONSTRAINTS {
        facts.permitted = Some(PermittedNames::read(value.content)?);
    }
    Some(())
}
