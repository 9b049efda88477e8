//! An authority that the operator brings: a root or sub-CA of his enterprise in the place of one that Penstock makes.
//!
//! Everything that would make clients refuse what is signed below it is found out here, before anything is signed, and
//! told with the file and the reason.

use std::path::Path;

use penstock_core::mint::{CertificateFacts, ForeignAuthority, PermittedNames, Validity};
use penstock_link::pem;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, GeneralSubtree, ParsedExtension};
use x509_parser::prelude::FromDer as _;

use super::authority::moment;
use super::error::CaError;
use super::files::{self, Access};
use super::key::OperatorKey;
use super::root::{RootFacts, fingerprint};
use crate::config::OperatorFiles;

/// The authority, found fit.
pub(super) struct OperatorAuthority {
    facts: CertificateFacts,
    key: OperatorKey,
    /// The authority's certificate, then those above it.
    chain: Vec<Vec<u8>>,
    info: RootFacts,
}

impl OperatorAuthority {
    /// Reads and checks everything but host names.
    pub(super) fn read(files: &OperatorFiles, now: i64) -> Result<Self, CaError> {
        let mut chain = Vec::new();
        let mut places = Vec::new();
        for file in std::iter::once(&files.certificate).chain(&files.chain) {
            let found = certificates(file)?;
            places.extend(std::iter::repeat_n(file, found.len()));
            chain.extend(found);
        }
        if chain.len() > CHAIN_CERTIFICATES_MAX {
            return Err(refuse(&files.certificate, format!("more than {CHAIN_CERTIFICATES_MAX} certificates")));
        }
        let mut above: Option<X509Certificate<'_>> = None;
        for (index, (der, file)) in chain.iter().zip(&places).enumerate().rev() {
            let certificate = parse(der, file)?;
            let told = |reason: String| refuse(file, format!("{}: {reason}", certificate.subject()));
            check(&certificate, index, now).map_err(told)?;
            if let Some(above) = &above {
                check_link(&certificate, above).map_err(told)?;
            }
            above = Some(certificate);
        }
        let own = above.ok_or_else(|| refuse(&files.certificate, NO_CERTIFICATE))?;
        let key = read_key(files, &own)?;
        let validity = Validity {
            not_before: own.validity().not_before.timestamp(),
            not_after: own.validity().not_after.timestamp(),
        };
        let facts = CertificateFacts::of_foreign(&ForeignAuthority {
            serial: own.raw_serial(),
            issuer: own.issuer().as_raw(),
            subject: own.subject().as_raw(),
            validity,
            public_key: own.public_key().raw,
            key_id: subject_key_id(&own),
        })?;
        let Validity { not_before, not_after } = validity;
        let sha256 = fingerprint(chain.first().map_or(&[], Vec::as_slice));
        let info = RootFacts { common_name: own.subject().to_string(), sha256, not_before, not_after };
        Ok(Self { facts, key, chain, info })
    }

    /// Whether every certificate above our issuer lets it vouch for these hosts.
    pub(super) fn check_hosts(&self, files: &OperatorFiles, permitted: &PermittedNames) -> Result<(), CaError> {
        for der in &self.chain {
            let certificate = parse(der, &files.certificate)?;
            let Ok(Some(constraints)) = certificate.name_constraints() else { continue };
            for host in permitted.iter().filter(|host| !host.ends_with(".invalid")) {
                let inside = constraints.value.permitted_subtrees.as_deref().is_none_or(|trees| allows(trees, host));
                let outside = constraints.value.excluded_subtrees.as_deref().unwrap_or_default();
                if !inside || outside.iter().any(|tree| covers(tree, host) || is_below(tree, host)) {
                    let subject = certificate.subject();
                    let reason = format!(
                        "{subject}: its name constraints exclude {host}, which the policy inspects: clients would refuse \
                         the certificate; use an authority that may name it, or take it out of the policy"
                    );
                    return Err(refuse(&files.certificate, reason));
                }
            }
        }
        Ok(())
    }

    pub(super) const fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    pub(super) const fn key(&self) -> &OperatorKey {
        &self.key
    }

    pub(super) fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    pub(super) fn info(&self) -> RootFacts {
        self.info.clone()
    }

    /// The topmost certificate that is known: what clients trust, or what is nearest to it.
    pub(super) fn anchor(&self) -> &[u8] {
        self.chain.last().map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.chain == other.chain
    }
}

fn certificates(file: &Path) -> Result<Vec<Vec<u8>>, CaError> {
    let text = files::read(file, Access::Public)?.ok_or_else(|| refuse(file, "there is no such file"))?;
    let all = pem::read_all(&text, pem::CERTIFICATE).filter(|all| !all.is_empty());
    Ok(all.ok_or_else(|| refuse(file, NO_CERTIFICATE))?.into_iter().map(|der| der.to_vec()).collect())
}

fn read_key(files: &OperatorFiles, certificate: &X509Certificate<'_>) -> Result<OperatorKey, CaError> {
    let file = &files.key;
    let text = files::read(file, Access::Secret)?.ok_or_else(|| refuse(file, "there is no such file"))?;
    if text.contains("ENCRYPTED") {
        return Err(refuse(file, "the key is encrypted; write it out with `openssl pkey -in FILE -out FILE`"));
    }
    let key = OperatorKey::from_pem(&text).ok_or_else(|| {
        refuse(file, "no private key that can be used: it must be PEM, RSA of 2048 to 8192 bits, P-256 or P-384")
    })?;
    if key.public_bits() != certificate.public_key().subject_public_key.data.as_ref() {
        return Err(CaError::WrongKey { key: file.clone(), certificate: files.certificate.clone() });
    }
    Ok(key)
}

/// One certificate at `index` places above our issuer's own.
fn check(certificate: &X509Certificate<'_>, index: usize, now: i64) -> Result<(), String> {
    let (start, end) = (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
    if now < start {
        return Err(format!("not valid before {}, and this machine's clock says {}", moment(start), moment(now)));
    }
    if now > end {
        return Err(format!("it expired at {}", moment(end)));
    }
    let mut is_authority = false;
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) => {
                is_authority = constraints.ca;
                let below = u32::try_from(index + 1).unwrap_or(u32::MAX);
                if let Some(length) = constraints.path_len_constraint.filter(|&length| length < below) {
                    return Err(format!(
                        "its path length is {length}, which forbids the issuer that Penstock makes below it; {below} or \
                         none is needed"
                    ));
                }
            }
            ParsedExtension::KeyUsage(usage) if !usage.key_cert_sign() => {
                return Err("its key usage does not allow it to sign certificates (keyCertSign)".to_owned());
            }
            ParsedExtension::ExtendedKeyUsage(purposes) if !purposes.server_auth && !purposes.any => {
                return Err("its extended key usage does not allow servers (serverAuth) below it".to_owned());
            }
            ParsedExtension::NameConstraints(constraints) => {
                let named = constraints.permitted_subtrees.iter().flatten();
                if named.clone().any(|tree| matches!(tree.base, GeneralName::DirectoryName(_))) {
                    return Err(
                        "its name constraints permit certain directory names only; Penstock's issuer is named \
                                O=Penstock"
                            .to_owned(),
                    );
                }
            }
            ParsedExtension::ParseError { .. } => return Err("an extension cannot be read".to_owned()),
            _ => {}
        }
    }
    if is_authority { Ok(()) } else { Err("it is no CA certificate (basicConstraints CA:TRUE)".to_owned()) }
}

fn check_link(certificate: &X509Certificate<'_>, above: &X509Certificate<'_>) -> Result<(), String> {
    let claimed = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(identifier) => identifier.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    });
    let is_key = claimed.zip(subject_key_id(above)).is_none_or(|(claimed, own)| claimed == own);
    if certificate.issuer().as_raw() == above.subject().as_raw() && is_key {
        return Ok(());
    }
    Err(format!("it is not issued by the certificate that follows it, {}", above.subject()))
}

fn subject_key_id<'a>(certificate: &X509Certificate<'a>) -> Option<&'a [u8]> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
        _ => None,
    })
}

fn parse<'a>(der: &'a [u8], file: &Path) -> Result<X509Certificate<'a>, CaError> {
    let parsed = X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty());
    parsed.map(|(_, certificate)| certificate).ok_or_else(|| refuse(file, "a certificate in it cannot be read"))
}

/// RFC 5280 section 4.2.1.10: no tree of this kind permits all names of it.
fn allows(trees: &[GeneralSubtree<'_>], host: &str) -> bool {
    let mut names = trees.iter().filter(|tree| matches!(tree.base, GeneralName::DNSName(_))).peekable();
    names.peek().is_none() || names.any(|tree| covers(tree, host))
}

/// Whether the whole subtree of `host` lies in `tree`. Private CAs write a dot before the name.
fn covers(tree: &GeneralSubtree<'_>, host: &str) -> bool {
    let GeneralName::DNSName(name) = tree.base else { return false };
    let name = name.trim_start_matches('.').to_ascii_lowercase();
    name.is_empty() || host == name || host.strip_suffix(&name).is_some_and(|rest| rest.ends_with('.'))
}

/// Whether `tree` lies below `host`: of the names that the issuer may say, some are excluded.
fn is_below(tree: &GeneralSubtree<'_>, host: &str) -> bool {
    let GeneralName::DNSName(name) = tree.base else { return false };
    name.to_ascii_lowercase().strip_suffix(host).is_some_and(|rest| rest.ends_with('.'))
}

fn refuse(file: &Path, reason: impl Into<String>) -> CaError {
    CaError::Operator { file: file.into(), reason: reason.into() }
}

const NO_CERTIFICATE: &str = "no certificate in it; it must be PEM (-----BEGIN CERTIFICATE-----)";
/// Each costs about a kilobyte in every full downstream handshake.
const CHAIN_CERTIFICATES_MAX: usize = 8;
