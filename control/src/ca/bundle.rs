//! A PKCS #12 file of certificates without keys (RFC 7292), for device management that imports no PEM.
//!
//! Nothing in it is secret, so the certificates are not encrypted; a MAC under a password that need not be secret is there
//! because importers ask for both. Java takes certificates as trusted by an attribute of its own.

use aws_lc_rs::{digest, hmac};

use super::error::CaError;

/// Certificates (DER) as PKCS #12, each with a friendly name; `password` makes the MAC.
///
/// # Errors
///
/// [`CaError::Random`] when the system gives no random bytes.
pub fn trust_bundle(certificates: &[(String, Vec<u8>)], password: &str) -> Result<Vec<u8>, CaError> {
    let mut salt = [0; SALT_BYTES];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| CaError::Random)?;
    let bags: Vec<Vec<u8>> = certificates.iter().map(|(name, der)| bag(name, der)).collect();
    let safe = element(SEQUENCE, &[&data(&element(SEQUENCE, &bags))]);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &mac_key(password, &salt));
    let mac = hmac::sign(&key, &safe);
    let algorithm = element(SEQUENCE, &[&element(OBJECT_IDENTIFIER, &[SHA256]), &element(NULL, NOTHING)]);
    let digest_info = element(SEQUENCE, &[&algorithm, &element(OCTET_STRING, &[mac.as_ref()])]);
    let iterations = element(INTEGER, &[&ITERATIONS.to_be_bytes()]);
    let mac_data = element(SEQUENCE, &[&digest_info, &element(OCTET_STRING, &[&salt]), &iterations]);
    Ok(element(SEQUENCE, &[&element(INTEGER, &[&[3]]), &data(&safe), &mac_data]))
}

/// `SafeBag` with a `CertBag`.
fn bag(name: &str, certificate: &[u8]) -> Vec<u8> {
    let octets = element(CONTEXT_0, &[&element(OCTET_STRING, &[certificate])]);
    let content = element(SEQUENCE, &[&element(OBJECT_IDENTIFIER, &[X509_CERTIFICATE]), &octets]);
    let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let mut attributes = [
        attribute(FRIENDLY_NAME, &element(BMP_STRING, &[&wide])),
        attribute(TRUSTED_KEY_USAGE, &element(OBJECT_IDENTIFIER, &[ANY_EXTENDED_KEY_USAGE])),
    ];
    // A SET OF is sorted (X.690 section 11.6).
    attributes.sort_unstable();
    let bag_type = element(OBJECT_IDENTIFIER, &[CERTIFICATE_BAG]);
    element(SEQUENCE, &[&bag_type, &element(CONTEXT_0, &[&content]), &element(SET, &attributes)])
}

fn attribute(kind: &[u8], value: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[&element(OBJECT_IDENTIFIER, &[kind]), &element(SET, &[value])])
}

/// `ContentInfo` of type data.
fn data(content: &[u8]) -> Vec<u8> {
    let octets = element(CONTEXT_0, &[&element(OCTET_STRING, &[content])]);
    element(SEQUENCE, &[&element(OBJECT_IDENTIFIER, &[DATA]), &octets])
}

/// RFC 7292 appendix B.2 with SHA-256, purpose 3: one block of output is the whole key.
fn mac_key(password: &str, salt: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 64;
    let wide: Vec<u8> = password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect();
    let mut input = vec![3; BLOCK];
    for part in [salt, &wide] {
        input.extend(part.iter().cycle().take(part.len().div_ceil(BLOCK) * BLOCK));
    }
    let mut key = digest::digest(&digest::SHA256, &input);
    for _ in 1..ITERATIONS {
        key = digest::digest(&digest::SHA256, key.as_ref());
    }
    key.as_ref().to_vec()
}

/// Tag, shortest length (X.690 section 10.1), content.
fn element(tag: u8, parts: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.as_ref().len()).sum();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|&byte| byte == 0).collect();
            // `usize` has at most 8 bytes, so the count is one byte.
            out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(8));
            out.extend(bytes);
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part.as_ref()));
    out
}

const NOTHING: &[&[u8]] = &[];
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OBJECT_IDENTIFIER: u8 = 0x06;
const BMP_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;
/// 1.2.840.113549.1.7.1
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
/// 1.2.840.113549.1.9.20
const FRIENDLY_NAME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 20];
/// 1.2.840.113549.1.9.22.1
const X509_CERTIFICATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 22, 1];
/// 1.2.840.113549.1.12.10.1.3
const CERTIFICATE_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 10, 1, 3];
/// 2.16.840.1.113894.746875.1.1, Oracle's
const TRUSTED_KEY_USAGE: &[u8] = &[0x60, 0x86, 0x48, 1, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 1, 1];
/// 2.5.29.37.0
const ANY_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 29, 37, 0];
/// 2.16.840.1.101.3.4.2.1
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SALT_BYTES: usize = 16;
const ITERATIONS: u16 = 2_048;
