//! What a chain must be beyond a valid path: the rules that webpki leaves to its caller.
//!
//! Two sets. The rules of RFC 5280 that a relying party can check hold for every chain. Those that only public
//! authorities have promised to keep (CA/Browser Forum Baseline Requirements, section 7.1) hold for chains to a root of the
//! system's store: an operator's own CA may leave out what browsers do not ask of it either.
//!
//! Runs once per chain and a few minutes, so it parses anew instead of keeping parts.

use rustls_pki_types::ServerName;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, NameConstraints, ParsedExtension};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::refusal::ChainRefusal;

/// Who vouches for a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voucher {
    /// The operator, by naming a file.
    Operator,
    /// The system's store.
    System,
}

/// Checks an end-entity certificate apart from its name, and answers the last Unix second of its time.
pub(super) fn check_leaf(certificate: &[u8], voucher: Voucher) -> Result<i64, ChainRefusal> {
    let certificate = parse(certificate)?;
    check_any(&certificate, voucher)?;
    let mut server = false;
    for extension in certificate.extensions() {
        let sound = match extension.parsed_extension() {
            // RFC 5280 section 4.2.1.3: keyCertSign goes with cA alone.
            ParsedExtension::KeyUsage(usage) => !usage.key_cert_sign(),
            // RFC 5280 section 4.2.1.10: only in a CA certificate.
            ParsedExtension::NameConstraints(_) => false,
            // RFC 5280 section 4.2.1.6: critical where it is the only name.
            ParsedExtension::SubjectAlternativeName(_) => {
                extension.critical || certificate.subject().iter().next().is_some()
            }
            // BR 7.1.2.7.10: server authentication, never "any".
            ParsedExtension::ExtendedKeyUsage(purposes) => {
                server = purposes.server_auth;
                voucher == Voucher::Operator || !purposes.any
            }
            _ => true,
        };
        require(sound)?;
    }
    require(server || voucher == Voucher::Operator)?;
    Ok(certificate.validity().not_after.timestamp())
}

/// Checks an authority between leaf and root, and answers the last Unix second of its time.
pub(super) fn check_intermediate(certificate: &[u8], voucher: Voucher) -> Result<i64, ChainRefusal> {
    let certificate = parse(certificate)?;
    check_any(&certificate, voucher)?;
    let mut identified = false;
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(_) => identified = true,
            ParsedExtension::NameConstraints(constraints) => require(constrains(constraints, voucher))?,
            _ => {}
        }
    }
    // BR 7.1.2.6.1.
    require(identified || voucher == Voucher::Operator)?;
    Ok(certificate.validity().not_after.timestamp())
}

/// A root's first and last Unix second, unless nothing should lead to it.
///
/// Only a name and a key count in a trust anchor (RFC 5280 section 6.1.1 (d)), and the system's store holds roots older
/// than the rules for identifiers; what is refused is what its authors cannot have meant for a server.
pub(super) fn check_root(certificate: &[u8], voucher: Voucher) -> Result<(i64, i64), ChainRefusal> {
    let certificate = parse(certificate)?;
    require(is_strong(certificate.public_key()))?;
    let mut authority = voucher == Voucher::Operator;
    for extension in certificate.extensions() {
        let sound = match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) => {
                authority |= constraints.ca;
                true
            }
            ParsedExtension::KeyUsage(usage) => usage.key_cert_sign() || voucher == Voucher::Operator,
            // BR 7.1.2.1.2.
            ParsedExtension::ExtendedKeyUsage(_) => voucher == Voucher::Operator,
            ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                let identifier = identifier.key_identifier.as_ref().map(|identifier| identifier.0);
                !extension.critical && (voucher == Voucher::Operator || is_own_key(&certificate, identifier))
            }
            ParsedExtension::SubjectKeyIdentifier(_) => !extension.critical,
            ParsedExtension::NameConstraints(constraints) => constrains(constraints, voucher),
            ParsedExtension::UnsupportedExtension { .. } => !extension.critical,
            _ => true,
        };
        require(sound)?;
    }
    require(authority && certificate.subject().iter().next().is_some())?;
    let validity = certificate.validity();
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// Refuses a name for which only a wildcard over a whole public suffix (`*.co.uk`) can stand. Suffixes of companies
/// (`s3.amazonaws.com`) are no such thing: their owners certify them so, and browsers take it.
pub(super) fn check_wildcard(certificate: &[u8], name: &ServerName<'_>) -> Result<(), ChainRefusal> {
    let name = name.to_str();
    let under_suffix = name.split_once('.').is_some_and(|(_, above)| is_public_suffix(above));
    if !under_suffix {
        return Ok(());
    }
    let certificate = parse(certificate)?;
    let exact = alternative_names(&certificate)
        .any(|known| matches!(known, GeneralName::DNSName(known) if known.eq_ignore_ascii_case(&name)));
    if exact { Ok(()) } else { Err(ChainRefusal::Name) }
}

fn parse(certificate: &[u8]) -> Result<X509Certificate<'_>, ChainRefusal> {
    X509Certificate::from_der(certificate).map(|(_, parsed)| parsed).map_err(|_| ChainRefusal::Malformed)
}

fn require(sound: bool) -> Result<(), ChainRefusal> {
    if sound { Ok(()) } else { Err(ChainRefusal::Malformed) }
}

/// What leaf and intermediate have in common.
fn check_any(certificate: &X509Certificate<'_>, voucher: Voucher) -> Result<(), ChainRefusal> {
    require(is_serial(certificate.raw_serial()) && is_strong(certificate.public_key()))?;
    let mut identified = false;
    for extension in certificate.extensions() {
        let sound = match extension.parsed_extension() {
            // RFC 5280 sections 4.2.1.1 and 4.2.1.2: never critical.
            ParsedExtension::AuthorityKeyIdentifier(_) => {
                identified = true;
                !extension.critical
            }
            ParsedExtension::SubjectKeyIdentifier(_) => !extension.critical,
            // RFC 5280 section 4.2.1.11: always critical.
            ParsedExtension::PolicyConstraints(_) => extension.critical,
            ParsedExtension::ParseError { .. } => {
                extension.oid != x509_parser::oid_registry::OID_PKIX_AUTHORITY_INFO_ACCESS
            }
            _ => true,
        };
        require(sound)?;
    }
    // RFC 5280 section 4.2.1.1; private CAs often leave it out.
    require(identified || voucher == Voucher::Operator)
}

/// RFC 5280 section 4.1.2.2: positive, at most 20 bytes.
fn is_serial(serial: &[u8]) -> bool {
    serial.len() <= 20 && serial.iter().any(|&byte| byte != 0) && serial.first().is_some_and(|&first| first < 0x80)
}

/// RSA from 2048 bits, the curves P-256, P-384 and P-521 by their name, Ed25519 (BR 6.1.5 and what rustls can verify).
fn is_strong(key: &SubjectPublicKeyInfo<'_>) -> bool {
    let algorithm = &key.algorithm;
    if algorithm.algorithm == OID_PKCS1_RSAENCRYPTION {
        let Ok(PublicKey::RSA(rsa)) = key.parsed() else { return false };
        let bits = bit_length(rsa.modulus);
        bits >= 2048 && bits.is_multiple_of(8)
    } else if algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        curve.is_some_and(|curve| [OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521].contains(&curve))
    } else {
        algorithm.algorithm == OID_SIG_ED25519
    }
}

/// Bits of a big-endian number.
fn bit_length(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    number.get(zeros).map_or(0, |first| (number.len() - zeros) * 8 - first.leading_zeros() as usize)
}

/// RFC 5280 section 4.2.1.10: never empty, and no name begins with a dot, which private CAs wrote for years.
fn constrains(constraints: &NameConstraints<'_>, voucher: Voucher) -> bool {
    let lists = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
    let mut subtrees = lists.into_iter().flatten().flatten().peekable();
    subtrees.peek().is_some()
        && subtrees.all(|subtree| match subtree.base {
            GeneralName::DNSName(name) => voucher == Voucher::Operator || !name.starts_with('.'),
            _ => true,
        })
}

/// A root's authority key identifier, where it has one, is its own (BR 7.1.2.1.3).
fn is_own_key(certificate: &X509Certificate<'_>, identifier: Option<&[u8]>) -> bool {
    let own = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
        _ => None,
    });
    identifier.is_some() && (own.is_none() || own == identifier)
}

fn alternative_names<'a>(certificate: &'a X509Certificate<'_>) -> impl Iterator<Item = &'a GeneralName<'a>> {
    certificate.iter_extensions().flat_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => names.general_names.as_slice(),
        _ => &[],
    })
}

/// Whether `name` is itself a suffix under which the public registers names.
fn is_public_suffix(name: &str) -> bool {
    psl::suffix(name.as_bytes())
        .is_some_and(|suffix| suffix.typ() == Some(psl::Type::Icann) && suffix.as_bytes() == name.as_bytes())
}
