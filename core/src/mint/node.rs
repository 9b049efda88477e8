//! The profiles of the fleet's own certificates, by which controls and data planes know each other on the link, and the
//! request by which a node asks for one (PKCS #10, RFC 2986).
//!
//! They stand below an authority of their own (`control::ca`), which no client trusts: what it signs says nothing about
//! hosts, and what the interception root signs says nothing about the fleet. A node's certificate is good for a client of
//! TLS alone and a control's for a server alone, so a node cannot pass for a control.

use alloc::vec::Vec;

use super::authority::{
    AuthorityRequest, Critical, KEY_USAGE_DIGITAL_SIGNATURE, OID_CLIENT_AUTH, OID_SERVER_AUTH,
    OID_SUBJECT_ALTERNATIVE_NAME, authority_key_id, distinguished_name, extended_key_usage, extension, key_usage,
    signed, subject_key_id, to_be_signed,
};
use super::der::{self, Writer, element, expect};
use super::facts::{self, CertificateFacts};
use super::signer::{MintError, SignatureAlgorithm, Signer};
use crate::bytes::Reader;
use crate::limits::{NODE_NAME_BYTES_MAX, NODE_REQUEST_BYTES_MAX};

/// Whether a data plane may have this name in its certificate.
pub fn is_node_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=NODE_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}

/// Encodes and signs the certificate of a data plane: the common name is who it is.
///
/// # Errors
///
/// [`MintError::Name`], and those of [`encode_control`].
pub fn encode_node(
    request: &AuthorityRequest<'_>,
    authority: &CertificateFacts,
    signer: &dyn Signer,
) -> Result<Vec<u8>, MintError> {
    if !is_node_name(request.common_name) {
        return Err(MintError::Name);
    }
    encode(request, authority, signer, |writer| extended_key_usage(writer, OID_CLIENT_AUTH))
}

/// Encodes and signs the certificate of a control, which nodes look for under `host_name`.
///
/// # Errors
///
/// [`MintError::Issuer`] when `authority` may sign nothing, [`MintError::PublicKey`], [`MintError::Validity`] when the
/// period reaches outside the authority's, or [`MintError::Signature`].
pub fn encode_control(
    request: &AuthorityRequest<'_>,
    host_name: &str,
    authority: &CertificateFacts,
    signer: &dyn Signer,
) -> Result<Vec<u8>, MintError> {
    encode(request, authority, signer, |writer| {
        extended_key_usage(writer, OID_SERVER_AUTH);
        extension(writer, OID_SUBJECT_ALTERNATIVE_NAME, Critical::No, |writer| {
            writer.nested(der::SEQUENCE, |writer| writer.element(der::context(DNS_NAME), host_name.as_bytes()));
        });
    })
}

fn encode(
    request: &AuthorityRequest<'_>,
    authority: &CertificateFacts,
    signer: &dyn Signer,
    purpose: impl FnOnce(&mut Writer),
) -> Result<Vec<u8>, MintError> {
    if !authority.is_authority() {
        return Err(MintError::Issuer);
    }
    if !request.validity.fits(&authority.validity()) {
        return Err(MintError::Validity);
    }
    let key_id = facts::key_id(request.public_key).ok_or(MintError::PublicKey)?;
    let subject = distinguished_name(request.common_name);
    let body = to_be_signed(request, signer, authority.subject(), &subject, |writer| {
        key_usage(writer, KEY_USAGE_DIGITAL_SIGNATURE);
        purpose(writer);
        authority_key_id(writer, authority.key_id());
        subject_key_id(writer, &key_id);
    });
    signed(body, signer)
}

/// Encodes a request for a certificate: the public key, signed with its own private key. It names nobody: who the node is
/// says the token that comes along, or the certificate that it has already.
///
/// # Errors
///
/// [`MintError::Signature`].
pub fn encode_node_request(public_key: &[u8], signer: &dyn Signer) -> Result<Vec<u8>, MintError> {
    let mut writer = Writer::with_capacity(128);
    writer.nested(der::SEQUENCE, |writer| {
        writer.unsigned_integer(&[0]);
        writer.element(der::SEQUENCE, &[]);
        writer.raw(public_key);
        writer.element(der::context_constructed(0), &[]);
    });
    signed(writer.into_bytes(), signer)
}

/// A request as it came. Whoever signs a certificate for it must have checked the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeRequest<'a> {
    /// What the signature covers.
    pub signed: &'a [u8],
    /// DER `SubjectPublicKeyInfo` of a P-256 key.
    pub public_key: &'a [u8],
    /// The point of that key, uncompressed.
    pub point: &'a [u8],
    /// ECDSA over SHA-256, a DER `Ecdsa-Sig-Value`.
    pub signature: &'a [u8],
}

impl<'a> NodeRequest<'a> {
    /// Reads a request of the form that [`encode_node_request`] writes; a subject and attributes are allowed and mean
    /// nothing. `None` for anything else.
    pub fn parse(der: &'a [u8]) -> Option<Self> {
        if der.len() > NODE_REQUEST_BYTES_MAX {
            return None;
        }
        let mut outer = Reader::new(der);
        let mut parts = Reader::new(expect(&mut outer, der::SEQUENCE)?);
        let info = element(&mut parts).filter(|info| info.tag == der::SEQUENCE)?;
        let algorithm = element(&mut parts)?.whole;
        let signature = expect(&mut parts, der::BIT_STRING)?.strip_prefix(&[0])?;
        if !outer.is_empty() || !parts.is_empty() || algorithm != SignatureAlgorithm::EcdsaSha256.identifier() {
            return None;
        }
        let mut fields = Reader::new(info.content);
        if expect(&mut fields, der::INTEGER)? != [0] {
            return None;
        }
        expect(&mut fields, der::SEQUENCE)?;
        let public_key = element(&mut fields)?.whole;
        expect(&mut fields, der::context_constructed(0))?;
        let point = public_key.strip_prefix(P256_KEY_HEAD).filter(|point| point.len() == P256_POINT_BYTES)?;
        fields.is_empty().then_some(Self { signed: info.whole, public_key, point, signature })
    }
}

/// `GeneralName` (RFC 5280 section 4.2.1.6).
const DNS_NAME: u8 = 2;
/// `SubjectPublicKeyInfo` of a P-256 key up to its point (RFC 5480 section 2).
const P256_KEY_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3,
    0x42, 0,
];
const P256_POINT_BYTES: usize = 65;
