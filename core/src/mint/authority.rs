//! The profiles of the two certificate authorities: the root that inside hosts trust, and the issuer that signs leaves.
//!
//! Called by `control::ca`. A root lives for years and signs issuers only; an issuer lives for weeks, may be followed
//! by leaves only, and may name nothing but the inspected hosts.

use alloc::vec::Vec;

use super::der::{self, Writer};
use super::facts::{self, CertificateFacts};
use super::names::PermittedNames;
use super::signer::{MintError, Signer};
use super::validity::Validity;

/// What is particular to one certificate authority.
#[derive(Clone, Copy, Debug)]
pub struct AuthorityRequest<'a> {
    /// Common name of the subject. Unique per key, else clients that find two of a name may try the wrong one.
    pub common_name: &'a str,
    /// DER `SubjectPublicKeyInfo` of the authority's key.
    pub public_key: &'a [u8],
    /// Random bytes.
    pub serial: [u8; 16],
    /// From and to.
    pub validity: Validity,
}

/// Encodes and signs a root, with its own key.
///
/// # Errors
///
/// [`MintError::PublicKey`], [`MintError::Validity`] or [`MintError::Signature`].
pub fn encode_root(request: &AuthorityRequest<'_>, signer: &dyn Signer) -> Result<Vec<u8>, MintError> {
    if !request.validity.fits(&Validity::always()) {
        return Err(MintError::Validity);
    }
    let key_id = facts::key_id(request.public_key).ok_or(MintError::PublicKey)?;
    let subject = distinguished_name(request.common_name);
    let body = to_be_signed(request, signer, &subject, &subject, |writer| {
        // Two authorities may stand between the root and a leaf: its successor, while that is not yet trusted, and the
        // issuer.
        basic_constraints(writer, AUTHORITIES_BELOW_ROOT);
        key_usage(writer, KEY_USAGE_CERT_CRL_SIGN);
        subject_key_id(writer, &key_id);
    });
    signed(body, signer)
}

/// Encodes what lets clients that trust `root` alone trust its successor too: name and key of the successor's own
/// certificate (`request`), signed by `root`.
///
/// # Errors
///
/// [`MintError::PublicKey`], [`MintError::Issuer`] when `root` allows no authority between itself and an issuer,
/// [`MintError::Validity`] when the period reaches outside the root's, or [`MintError::Signature`].
pub fn encode_cross(
    request: &AuthorityRequest<'_>,
    root: &CertificateFacts,
    signer: &dyn Signer,
) -> Result<Vec<u8>, MintError> {
    if !root.is_authority() || root.path_length().is_some_and(|below| below < AUTHORITIES_BELOW_ROOT) {
        return Err(MintError::Issuer);
    }
    if !request.validity.fits(&root.validity()) {
        return Err(MintError::Validity);
    }
    let key_id = facts::key_id(request.public_key).ok_or(MintError::PublicKey)?;
    let subject = distinguished_name(request.common_name);
    let body = to_be_signed(request, signer, root.subject(), &subject, |writer| {
        basic_constraints(writer, AUTHORITIES_BELOW_ROOT - 1);
        key_usage(writer, KEY_USAGE_CERT_CRL_SIGN);
        authority_key_id(writer, root.key_id());
        subject_key_id(writer, &key_id);
    });
    signed(body, signer)
}

/// Encodes an issuer for `permitted` names and signs it with the root's key.
///
/// # Errors
///
/// [`MintError::PublicKey`], [`MintError::Issuer`] when `root` may sign no issuer, [`MintError::Validity`] when the period
/// reaches outside the root's, or [`MintError::Signature`].
pub fn encode_issuer(
    request: &AuthorityRequest<'_>,
    root: &CertificateFacts,
    permitted: &PermittedNames,
    signer: &dyn Signer,
) -> Result<Vec<u8>, MintError> {
    if !root.is_authority() {
        return Err(MintError::Issuer);
    }
    if !request.validity.fits(&root.validity()) {
        return Err(MintError::Validity);
    }
    let key_id = facts::key_id(request.public_key).ok_or(MintError::PublicKey)?;
    let body = to_be_signed(request, signer, root.subject(), &distinguished_name(request.common_name), |writer| {
        basic_constraints(writer, 0);
        key_usage(writer, KEY_USAGE_CERT_CRL_SIGN);
        // On an authority it binds all that follow (webpki, OpenSSL, NSS, Chromium): leaves serve TLS, nothing else.
        extended_key_usage(writer, OID_SERVER_AUTH);
        extension(writer, OID_NAME_CONSTRAINTS, Critical::Yes, |writer| permitted.write(writer));
        authority_key_id(writer, root.key_id());
        subject_key_id(writer, &key_id);
    });
    signed(body, signer)
}

/// `Certificate` (RFC 5280 section 4.1): the body, the algorithm, the signature.
pub(super) fn signed(body: Vec<u8>, signer: &dyn Signer) -> Result<Vec<u8>, MintError> {
    let signature = signer.sign(&body)?;
    let mut writer = Writer::with_capacity(body.len() + signature.len() + 32);
    writer.nested(der::SEQUENCE, |writer| {
        writer.raw(&body);
        writer.raw(signer.algorithm().identifier());
        writer.bit_string(&signature);
    });
    Ok(writer.into_bytes())
}

pub(super) fn to_be_signed(
    request: &AuthorityRequest<'_>,
    signer: &dyn Signer,
    issuer: &[u8],
    subject: &[u8],
    extensions: impl FnOnce(&mut Writer),
) -> Vec<u8> {
    let mut writer = Writer::with_capacity(1024);
    writer.nested(der::SEQUENCE, |writer| {
        writer.raw(VERSION_3);
        writer.unsigned_integer(&positive_serial(request.serial));
        writer.raw(signer.algorithm().identifier());
        writer.raw(issuer);
        request.validity.write(writer);
        writer.raw(subject);
        writer.raw(request.public_key);
        writer.nested(der::context_constructed(3), |writer| writer.nested(der::SEQUENCE, extensions));
    });
    writer.into_bytes()
}

/// Whether a client that does not know the extension must refuse the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Critical {
    No,
    Yes,
}

/// `Extension` (RFC 5280 section 4.1); `value` appends what goes into the OCTET STRING.
pub(super) fn extension(writer: &mut Writer, oid: &[u8], critical: Critical, value: impl FnOnce(&mut Writer)) {
    writer.nested(der::SEQUENCE, |writer| {
        writer.element(der::OBJECT_IDENTIFIER, oid);
        if critical == Critical::Yes {
            writer.element(der::BOOLEAN, &[0xff]);
        }
        writer.nested(der::OCTET_STRING, value);
    });
}

/// RFC 5280 section 4.2.1.9.
fn basic_constraints(writer: &mut Writer, authorities_below: u8) {
    extension(writer, OID_BASIC_CONSTRAINTS, Critical::Yes, |writer| {
        writer.nested(der::SEQUENCE, |writer| {
            writer.element(der::BOOLEAN, &[0xff]);
            writer.unsigned_integer(&[authorities_below]);
        });
    });
}

/// RFC 5280 section 4.2.1.3. `bits`: the count of unused bits, then the bits.
pub(super) fn key_usage(writer: &mut Writer, bits: &[u8]) {
    extension(writer, OID_KEY_USAGE, Critical::Yes, |writer| writer.element(der::BIT_STRING, bits));
}

/// RFC 5280 section 4.2.1.12: one purpose alone.
pub(super) fn extended_key_usage(writer: &mut Writer, purpose: &[u8]) {
    extension(writer, OID_EXTENDED_KEY_USAGE, Critical::No, |writer| {
        writer.nested(der::SEQUENCE, |writer| writer.element(der::OBJECT_IDENTIFIER, purpose));
    });
}

/// RFC 5280 section 4.2.1.1.
pub(super) fn authority_key_id(writer: &mut Writer, key_id: &[u8]) {
    extension(writer, OID_AUTHORITY_KEY_ID, Critical::No, |writer| {
        writer.nested(der::SEQUENCE, |writer| writer.element(der::context(0), key_id));
    });
}

/// RFC 5280 section 4.2.1.2.
pub(super) fn subject_key_id(writer: &mut Writer, key_id: &[u8]) {
    extension(writer, OID_SUBJECT_KEY_ID, Critical::No, |writer| writer.element(der::OCTET_STRING, key_id));
}

/// `O=Penstock, CN=common_name` (RFC 5280 section 4.1.2.4).
pub(super) fn distinguished_name(common_name: &str) -> Vec<u8> {
    let mut writer = Writer::with_capacity(96);
    writer.nested(der::SEQUENCE, |writer| {
        attribute(writer, OID_ORGANIZATION, "Penstock");
        attribute(writer, OID_COMMON_NAME, common_name);
    });
    writer.into_bytes()
}

/// One `RelativeDistinguishedName` with one attribute.
pub(super) fn attribute(writer: &mut Writer, oid: &[u8], value: &str) {
    writer.nested(der::SET, |writer| {
        writer.nested(der::SEQUENCE, |writer| {
            writer.element(der::OBJECT_IDENTIFIER, oid);
            writer.element(der::UTF8_STRING, value.as_bytes());
        });
    });
}

/// Sets the first bits to `01`: 126 random bits, positive, never zero, always 16 bytes (RFC 5280 section 4.1.2.2).
pub(super) fn positive_serial(mut serial: [u8; 16]) -> [u8; 16] {
    let [first, ..] = &mut serial;
    *first = *first & 0x3f | 0x40;
    serial
}

/// `pathLenConstraint` of a root.
const AUTHORITIES_BELOW_ROOT: u8 = 2;
/// `[0] EXPLICIT INTEGER 2`.
pub(super) const VERSION_3: &[u8] = &[0xa0, 3, der::INTEGER, 1, 2];
pub(super) const OID_COMMON_NAME: &[u8] = &[0x55, 4, 3];
const OID_ORGANIZATION: &[u8] = &[0x55, 4, 10];
pub(super) const OID_SUBJECT_KEY_ID: &[u8] = &[0x55, 29, 14];
const OID_KEY_USAGE: &[u8] = &[0x55, 29, 15];
pub(super) const OID_SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 29, 17];
pub(super) const OID_BASIC_CONSTRAINTS: &[u8] = &[0x55, 29, 19];
pub(super) const OID_NAME_CONSTRAINTS: &[u8] = &[0x55, 29, 30];
pub(super) const OID_AUTHORITY_KEY_ID: &[u8] = &[0x55, 29, 35];
const OID_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 29, 37];
/// 1.3.6.1.5.5.7.3.1
pub(super) const OID_SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
/// 1.3.6.1.5.5.7.3.2
pub(super) const OID_CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
/// keyCertSign(5) and cRLSign(6).
const KEY_USAGE_CERT_CRL_SIGN: &[u8] = &[1, 0b0000_0110];
/// digitalSignature(0).
pub(super) const KEY_USAGE_DIGITAL_SIGNATURE: &[u8] = &[7, 0b1000_0000];
