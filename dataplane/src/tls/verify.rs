//! The check of the upstream's certificate, and the proof that it was made.
//!
//! [`VerifiedUpstream`] is made in this file alone, from a chain that leads to a trusted root now, for the name that the
//! downstream asked for. A full handshake is verified when its certificate arrives; a resumed one, which shows none, is
//! verified from the chain of the session that it resumes. So every upstream handshake is verified.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use penstock_core::flow::FaultKind;
use penstock_core::limits::{UPSTREAM_CHAIN_BYTES_MAX, UPSTREAM_CHAIN_CERTIFICATES_MAX, VERIFIED_CHAIN_SECONDS_MAX};
use penstock_core::sni::Sni;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::chain;
use super::proven::ProvenChains;
use super::refusal::ChainRefusal;
use super::roots::{RootsInForce, UpstreamRoots};
use super::walks;

/// Proof that the chain of one upstream was checked for `name`. Equal proofs are of the same name and the same chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct VerifiedUpstream {
    name: Sni,
    chain: ChainDigest,
}

impl VerifiedUpstream {
    /// The name that was checked.
    pub(crate) const fn name(&self) -> &Sni {
        &self.name
    }
}

/// SHA-256 over the trusted roots, a name, and the certificates that were shown for it, in their order. Other roots make
/// other digests, so nothing that was proven or minted under roots that are gone is found again.
pub(super) type ChainDigest = [u8; 32];

/// Verifies upstream chains for one shard, and remembers for minutes which it verified.
pub(super) struct Verifier {
    roots: Arc<RootsInForce>,
    algorithms: WebPkiSupportedAlgorithms,
    proven: ProvenChains,
}

impl Verifier {
    pub(super) fn new(roots: Arc<RootsInForce>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { roots, algorithms, proven: ProvenChains::default() }
    }

    /// The proof for a finished handshake, from the chain that the upstream showed in it or in the one it resumes.
    pub(super) fn prove(
        &self,
        name: &Sni,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<VerifiedUpstream, FaultKind> {
        let (end_entity, intermediates) = chain.split_first().ok_or(FaultKind::Certificate)?;
        let server_name = ServerName::try_from(name.as_str()).map_err(|_| FaultKind::Malformed)?;
        let chain = self.verify(end_entity, intermediates, &server_name, now).map_err(ChainRefusal::kind)?;
        Ok(VerifiedUpstream { name: name.clone(), chain })
    }

    pub(super) fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ChainDigest, ChainRefusal> {
        check_bounds(end_entity, intermediates)?;
        let roots = self.roots.load();
        let digest = chain_digest(&roots, end_entity, intermediates, name);
        if !self.proven.holds(&digest, now) {
            let not_after = self.check(&roots, end_entity, intermediates, name, now)?;
            let until = now.as_secs().saturating_add(VERIFIED_CHAIN_SECONDS_MAX).min(not_after);
            self.proven.insert(digest, until, now);
        }
        Ok(digest)
    }

    /// Path, period, purpose and constraints (RFC 5280 section 6), our own rules for each certificate of the path, then
    /// the name (RFC 6125 section 6.4). Answers the last Unix second of the path.
    fn check(
        &self,
        roots: &UpstreamRoots,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<u64, ChainRefusal> {
        let certificate = EndEntityCert::try_from(end_entity)?;
        walks::check(&certificate, intermediates)?;
        let verdict = Cell::new(Err(ChainRefusal::Issuer));
        // webpki goes on to other paths when this one is refused; the last word about any is kept.
        let judge = |path: &VerifiedPath<'_>| {
            verdict.set(judge_path(roots, path, now));
            verdict.get().map(|_| ()).map_err(|_| webpki::Error::ExtensionValueInvalid)
        };
        let path = certificate.verify_for_usage(
            self.algorithms.all,
            roots.anchors(),
            intermediates,
            now,
            KeyUsage::server_auth(),
            None,
            Some(&judge),
        );
        match path {
            Err(webpki::Error::ExtensionValueInvalid) if verdict.get() != Err(ChainRefusal::Issuer) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let not_after = verdict.get()?;
        certificate.verify_is_valid_for_subject_name(name)?;
        chain::check_wildcard(end_entity, name)?;
        u64::try_from(not_after).map_err(|_| ChainRefusal::Time)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("roots", &self.roots.load().count()).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, server_name, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Before any signature is checked: path building costs grow with the chain.
fn check_bounds(end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Result<(), ChainRefusal> {
    if intermediates.len() >= UPSTREAM_CHAIN_CERTIFICATES_MAX {
        return Err(ChainRefusal::TooMany);
    }
    let bytes: usize = intermediates.iter().map(|certificate| certificate.len()).sum();
    if bytes.saturating_add(end_entity.len()) > UPSTREAM_CHAIN_BYTES_MAX {
        return Err(ChainRefusal::TooLarge);
    }
    Ok(())
}

/// Whether a path that is valid is also one of our liking; its last Unix second.
fn judge_path(roots: &UpstreamRoots, path: &VerifiedPath<'_>, now: UnixTime) -> Result<i64, ChainRefusal> {
    let root = roots.facts_of(path.anchor()).ok_or(ChainRefusal::Issuer)?;
    if !root.is_valid_at(now) {
        return Err(ChainRefusal::Time);
    }
    let leaf_end = chain::check_leaf(&path.end_entity().der(), root.voucher)?;
    path.intermediate_certificates().try_fold(root.not_after.min(leaf_end), |end, certificate| {
        Ok(end.min(chain::check_intermediate(&certificate.der(), root.voucher)?))
    })
}

/// Lengths stand before what they measure, so that no two inputs read the same.
fn chain_digest(
    roots: &UpstreamRoots,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    name: &ServerName<'_>,
) -> ChainDigest {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&bytes.len().to_be_bytes());
        context.update(bytes);
    };
    part(roots.digest());
    part(name.to_str().as_bytes());
    part(end_entity);
    intermediates.iter().for_each(|certificate| part(certificate));
    let mut chain = ChainDigest::default();
    chain.copy_from_slice(context.finish().as_ref());
    chain
}
