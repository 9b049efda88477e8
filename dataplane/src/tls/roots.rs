//! The roots that upstream certificates may lead to.
//!
//! The system's own (public authorities) and those of files that the operator names (private ones). Read once at boot.

use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, TrustAnchor};

/// Trust anchors for the upstream leg, never empty.
#[derive(Debug)]
pub(crate) struct UpstreamRoots {
    /// From the operator's files.
    pub(super) given: Vec<TrustAnchor<'static>>,
    /// From the system's store.
    pub(super) native: Vec<TrustAnchor<'static>>,
}

impl UpstreamRoots {
    /// Reads the system's store if `native`, and every certificate of `files` (PEM).
    pub(crate) fn load(native: bool, files: &[PathBuf]) -> Result<Self, RootsError> {
        let mut given = Vec::new();
        for file in files {
            given.extend(read_file(file)?);
        }
        let native = if native { read_native() } else { Vec::new() };
        let roots = Self { given, native };
        if roots.count() == 0 { Err(RootsError::Empty) } else { Ok(roots) }
    }

    /// How many roots there are.
    pub(crate) fn count(&self) -> usize {
        self.given.len() + self.native.len()
    }
}

/// Why there are no upstream roots.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootsError {
    #[error(
        "no upstream roots: the system's store has none and upstream.ca_files names none; install ca-certificates or \
         name a PEM file"
    )]
    Empty,
    #[error("{}: no certificate in it that can serve as a root; it must be PEM (-----BEGIN CERTIFICATE-----)", file.display())]
    NoRoot { file: PathBuf },
    #[error("{}: cannot be read: {reason}", file.display())]
    Unreadable { file: PathBuf, reason: rustls_pki_types::pem::Error },
}

/// Every certificate of an operator's file must be usable: a root that is silently left out is found out by a user.
fn read_file(file: &Path) -> Result<Vec<TrustAnchor<'static>>, RootsError> {
    let unreadable = |reason| RootsError::Unreadable { file: file.into(), reason };
    let certificates = CertificateDer::pem_file_iter(file).map_err(unreadable)?;
    let mut anchors = Vec::new();
    for certificate in certificates {
        let anchor = anchor(&certificate.map_err(unreadable)?);
        anchors.push(anchor.ok_or_else(|| RootsError::NoRoot { file: file.into() })?);
    }
    if anchors.is_empty() { Err(RootsError::NoRoot { file: file.into() }) } else { Ok(anchors) }
}

/// The system's store may hold roots that webpki cannot use; those are left out, as browsers do.
fn read_native() -> Vec<TrustAnchor<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a part of the system's root store cannot be read");
    }
    found.certs.iter().filter_map(anchor).collect()
}

fn anchor(certificate: &CertificateDer<'_>) -> Option<TrustAnchor<'static>> {
    webpki::anchor_from_trusted_cert(certificate).ok().map(|anchor| anchor.to_owned())
}
