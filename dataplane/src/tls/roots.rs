//! The roots that upstream certificates may lead to.
//!
//! The system's own (public authorities) and those of files that the operator names (private ones). Read at boot, and
//! again by `trust` when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};

use super::chain::{self, Voucher};

/// Trust anchors for the upstream leg, never empty.
#[derive(Debug, Default)]
pub(crate) struct UpstreamRoots {
    anchors: Vec<TrustAnchor<'static>>,
    /// Of the anchor in the same place.
    facts: Vec<RootFacts>,
    digest: RootsDigest,
}

/// SHA-256 over all roots and who vouches for each, in their order.
pub(super) type RootsDigest = [u8; 32];

/// The roots in force: one place that all shards read and `trust` replaces.
#[derive(Debug)]
pub(crate) struct RootsInForce(ArcSwap<UpstreamRoots>);

impl RootsInForce {
    pub(super) fn new(roots: UpstreamRoots) -> Self {
        Self(ArcSwap::from_pointee(roots))
    }

    pub(super) fn load(&self) -> Arc<UpstreamRoots> {
        self.0.load_full()
    }

    pub(super) fn replace(&self, roots: UpstreamRoots) {
        self.0.store(Arc::new(roots));
    }
}

/// What is known of a root beyond its name and key.
#[derive(Clone, Copy, Debug)]
pub(super) struct RootFacts {
    pub(super) voucher: Voucher,
    /// Unix seconds.
    not_before: i64,
    /// Unix seconds.
    pub(super) not_after: i64,
}

impl RootFacts {
    pub(super) fn is_valid_at(&self, now: UnixTime) -> bool {
        i64::try_from(now.as_secs()).is_ok_and(|now| self.not_before <= now && now <= self.not_after)
    }
}

impl UpstreamRoots {
    /// Reads every certificate of `files` (PEM), and the system's store if `native`. A root that is in both is the
    /// operator's.
    pub(crate) fn load(native: bool, files: &[PathBuf]) -> Result<Self, RootsError> {
        let mut roots = Self::default();
        for file in files {
            roots.add_file(file)?;
        }
        if native {
            roots.add_native();
        }
        if roots.anchors.is_empty() { Err(RootsError::Empty) } else { Ok(roots) }
    }

    /// One root, as if the system's store had it alone.
    pub(crate) fn of_system(certificate: &CertificateDer<'_>) -> Option<Self> {
        let mut roots = Self::default();
        roots.add(certificate, Voucher::System).then_some(roots)
    }

    /// How many roots there are.
    pub(crate) fn count(&self) -> usize {
        self.anchors.len()
    }

    /// Tells these roots from all others.
    pub(super) const fn digest(&self) -> &RootsDigest {
        &self.digest
    }

    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// The facts of one of [`Self::anchors`].
    pub(super) fn facts_of(&self, anchor: &TrustAnchor<'_>) -> Option<RootFacts> {
        let place = self.anchors.iter().position(|known| std::ptr::eq(known, anchor))?;
        self.facts.get(place).copied()
    }

    /// Adds a root, unless nothing should lead to it.
    pub(super) fn add(&mut self, certificate: &CertificateDer<'_>, voucher: Voucher) -> bool {
        let period = chain::check_root(certificate, voucher);
        let anchor = webpki::anchor_from_trusted_cert(certificate).map(|anchor| anchor.to_owned());
        let (Ok((not_before, not_after)), Ok(anchor)) = (period, anchor) else { return false };
        self.anchors.push(anchor);
        self.facts.push(RootFacts { voucher, not_before, not_after });
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.digest);
        context.update(&[u8::from(voucher == Voucher::Operator)]);
        context.update(certificate);
        self.digest.copy_from_slice(context.finish().as_ref());
        true
    }

    /// Every certificate of an operator's file must be usable: a root that is silently left out is found out by a user.
    fn add_file(&mut self, file: &Path) -> Result<(), RootsError> {
        let unreadable = |reason| RootsError::Unreadable { file: file.into(), reason };
        let before = self.count();
        for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
            if !self.add(&certificate.map_err(unreadable)?, Voucher::Operator) {
                return Err(RootsError::Unusable { file: file.into(), number: self.count() - before + 1 });
            }
        }
        if self.count() == before { Err(RootsError::NoRoot { file: file.into() }) } else { Ok(()) }
    }

    /// The system's store may hold roots that cannot be used; those are left out, as browsers do.
    fn add_native(&mut self) {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a part of the system's root store cannot be read");
        }
        for certificate in &found.certs {
            if !self.add(certificate, Voucher::System) {
                tracing::debug!("a root of the system's store is left out: it is not fit to vouch for servers");
            }
        }
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
    #[error("{}: no certificate in it; it must be PEM (-----BEGIN CERTIFICATE-----)", file.display())]
    NoRoot { file: PathBuf },
    #[error("{}: cannot be read: {reason}", file.display())]
    Unreadable { file: PathBuf, reason: rustls_pki_types::pem::Error },
    #[error(
        "{}: certificate number {number} cannot serve as a root: it is malformed, has a weak key (RSA below 2048 bits, \
         an odd curve) or a critical extension that is not known", file.display()
    )]
    Unusable { file: PathBuf, number: usize },
}
