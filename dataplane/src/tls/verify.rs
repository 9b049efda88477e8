//! The check of the upstream's certificate, and the proof that it was made.
//!
//! [`VerifiedUpstream`] is made in this file alone, from a chain that leads to a trusted root now, for the name that the
//! downstream asked for. A full handshake is verified when its certificate arrives; a resumed one, which shows none, is
//! verified from the chain of the session that it resumes. So every upstream handshake is verified.

use std::fmt;

use aws_lc_rs::digest;
use penstock_core::flow::FaultKind;
use penstock_core::limits::{UPSTREAM_CHAIN_BYTES_MAX, UPSTREAM_CHAIN_CERTIFICATES_MAX, VERIFIED_CHAIN_SECONDS_MAX};
use penstock_core::sni::Sni;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::proven::ProvenChains;
use super::refusal::ChainRefusal;
use super::roots::UpstreamRoots;

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

/// SHA-256 over a name and the certificates that were shown for it, in their order.
pub(super) type ChainDigest = [u8; 32];

/// Verifies upstream chains for one shard, and remembers for minutes which it verified.
pub(super) struct Verifier {
    /// Given roots first: where a root is in both stores, the operator's word about it counts.
    anchors: Vec<TrustAnchor<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    proven: ProvenChains,
}

impl Verifier {
    pub(super) fn new(roots: &UpstreamRoots, algorithms: WebPkiSupportedAlgorithms) -> Self {
        let anchors = roots.given.iter().chain(&roots.native).cloned().collect();
        Self { anchors, algorithms, proven: ProvenChains::default() }
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

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ChainDigest, ChainRefusal> {
        check_bounds(end_entity, intermediates)?;
        let digest = chain_digest(end_entity, intermediates, name);
        if !self.proven.holds(&digest, now) {
            self.check(end_entity, intermediates, name, now)?;
            let until = now.as_secs().saturating_add(VERIFIED_CHAIN_SECONDS_MAX);
            self.proven.insert(digest, until, now);
        }
        Ok(digest)
    }

    /// Path, period, purpose and constraints (RFC 5280 section 6), then the name (RFC 6125 section 6.4).
    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), ChainRefusal> {
        let certificate = EndEntityCert::try_from(end_entity)?;
        certificate.verify_for_usage(
            self.algorithms.all,
            &self.anchors,
            intermediates,
            now,
            KeyUsage::server_auth(),
            None,
            None,
        )?;
        certificate.verify_is_valid_for_subject_name(name)?;
        Ok(())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("anchors", &self.anchors.len()).finish_non_exhaustive()
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

/// Lengths stand before what they measure, so that no two inputs read the same.
fn chain_digest(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    name: &ServerName<'_>,
) -> ChainDigest {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&bytes.len().to_be_bytes());
        context.update(bytes);
    };
    part(name.to_str().as_bytes());
    part(end_entity);
    intermediates.iter().for_each(|certificate| part(certificate));
    let mut chain = ChainDigest::default();
    chain.copy_from_slice(context.finish().as_ref());
    chain
}
