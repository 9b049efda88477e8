//! Upstream legs by BoringSSL: one configuration for today's origins, one for those that the policy calls legacy.
//!
//! BoringSSL has no roots here. Its check of a chain is replaced by ours, which asks the verifier that rustls asks too,
//! before anything of the client's is sent.
//!
//! A server that asks for the client's certificate is met by a stand-in: BoringSSL tells of the request only to a client
//! that has a certificate, by asking it to sign. The signature is refused, so that the handshake ends before the stand-in
//! is sent, and the request is known.
//!
//! No session is resumed: BoringSSL's call for it is unsafe in the eyes of Rust, and this room has no unsafe code.

use std::sync::{Arc, OnceLock};

use boring::asn1::Asn1Time;
use boring::ec::{EcGroup, EcKey};
use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::PKey;
use boring::ssl::{
    PrivateKeyMethod, PrivateKeyMethodError, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslRef,
    SslSessionCacheMode, SslSignatureAlgorithm, SslVerifyError, SslVerifyMode, SslVersion,
};
use boring::x509::X509;
use penstock_core::flow::FaultKind;
use penstock_core::sni::Sni;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::super::alpn::Offer;
use super::super::client_certificate::ClientCertificateRequests;
use super::super::engine::Engine;
use super::super::verify::{VerifiedUpstream, Verifier};
use super::connection::{BoringEngine, Proof};
use super::reason;

/// What a shard needs to begin upstream legs.
pub(in crate::tls) struct Origins {
    modern: SslContext,
    legacy: SslContext,
    verifier: Arc<Verifier>,
    requests: Arc<ClientCertificateRequests>,
}

/// What the check of one connection's chain came to; empty until the chain comes.
pub(super) type Verdict = Arc<OnceLock<Result<VerifiedUpstream, FaultKind>>>;

impl Origins {
    pub(in crate::tls) fn new(
        verifier: Arc<Verifier>,
        requests: Arc<ClientCertificateRequests>,
    ) -> Result<Self, FaultKind> {
        let context = |legacy| context(legacy, &requests).map_err(|_| FaultKind::Tls);
        Ok(Self { modern: context(false)?, legacy: context(true)?, verifier, requests })
    }

    /// Begins the upstream leg for `sni`; `legacy` is the policy's leave for old versions and suites.
    pub(in crate::tls) fn begin(&self, sni: &Sni, offer: Offer, legacy: bool) -> Result<Box<dyn Engine>, FaultKind> {
        let context = if legacy { &self.legacy } else { &self.modern };
        let verdict = Verdict::default();
        let ssl = self.connection(context, sni, offer, &verdict).map_err(|_| FaultKind::Tls)?;
        let proof = Proof { verdict, requests: Arc::clone(&self.requests) };
        Ok(Box::new(BoringEngine::upstream(ssl, proof)?))
    }

    fn connection(&self, context: &SslContext, sni: &Sni, offer: Offer, verdict: &Verdict) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(context)?;
        ssl.set_hostname(sni.as_str())?;
        let list = wire_list(offer);
        if !list.is_empty() {
            ssl.set_alpn_protos(&list)?;
        }
        let (verifier, name, verdict) = (Arc::clone(&self.verifier), sni.clone(), Arc::clone(verdict));
        ssl.set_custom_verify_callback(SslVerifyMode::PEER, move |ssl| {
            let found = prove(&verifier, &name, ssl);
            let answer = found.as_ref().map(|_| ()).map_err(|kind| SslVerifyError::Invalid(reason::alert_of(*kind)));
            // Asked once for each connection: renegotiation is refused.
            let _ = verdict.set(found);
            answer
        });
        Ok(ssl)
    }
}

/// Checks the chain that the server showed, with the verifier of both engines.
fn prove(verifier: &Verifier, name: &Sni, ssl: &SslRef) -> Result<VerifiedUpstream, FaultKind> {
    let shown = ssl.peer_cert_chain().ok_or(FaultKind::Certificate)?;
    let chain: Result<Vec<_>, ErrorStack> =
        shown.iter().map(|certificate| certificate.to_der().map(CertificateDer::from)).collect();
    verifier.prove(name, &chain.map_err(|_| FaultKind::Certificate)?, UnixTime::now())
}

/// RFC 7301 section 3.1: each name behind its length.
fn wire_list(offer: Offer) -> Vec<u8> {
    let mut list = Vec::new();
    for protocol in offer.protocols() {
        // Both names are shorter than 255 bytes.
        list.push(u8::try_from(protocol.name().len()).unwrap_or_default());
        list.extend_from_slice(protocol.name());
    }
    list
}

fn context(legacy: bool, requests: &Arc<ClientCertificateRequests>) -> Result<SslContext, ErrorStack> {
    let mut builder = SslContextBuilder::new(SslMethod::tls())?;
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_curves_list(GROUPS)?;
    builder.set_grease_enabled(true);
    builder.set_permute_extensions(true);
    let suites = if legacy { format!("{SUITES}:{LEGACY_SUITES}") } else { SUITES.to_owned() };
    builder.set_strict_cipher_list(&suites)?;
    builder.set_min_proto_version(Some(if legacy { SslVersion::TLS1 } else { SslVersion::TLS1_2 }))?;
    builder.set_max_proto_version(Some(SslVersion::TLS1_3))?;
    if legacy {
        builder.set_mode(SslMode::from_bits_retain(CBC_RECORD_SPLITTING));
    }
    builder.set_certificate(&*stand_in()?)?;
    builder.set_private_key_method(NeverSigns(Arc::clone(requests)));
    Ok(builder.build())
}

/// A certificate of nobody, which is never sent.
fn stand_in() -> Result<X509, ErrorStack> {
    let key = EcKey::generate(&*EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)?;
    let key = PKey::from_ec_key(key)?;
    let mut builder = X509::builder()?;
    builder.set_pubkey(&key)?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(1)?)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok(builder.build())
}

/// The stand-in's key: refuses to sign, and remembers that it was asked to.
struct NeverSigns(Arc<ClientCertificateRequests>);

impl PrivateKeyMethod for NeverSigns {
    fn sign(
        &self,
        _ssl: &mut SslRef,
        _input: &[u8],
        _algorithm: SslSignatureAlgorithm,
        _output: &mut [u8],
    ) -> Result<usize, PrivateKeyMethodError> {
        self.0.note();
        Err(PrivateKeyMethodError::FAILURE)
    }

    fn decrypt(&self, _ssl: &mut SslRef, _input: &[u8], _output: &mut [u8]) -> Result<usize, PrivateKeyMethodError> {
        Err(PrivateKeyMethodError::FAILURE)
    }

    fn complete(&self, _ssl: &mut SslRef, _output: &mut [u8]) -> Result<usize, PrivateKeyMethodError> {
        Err(PrivateKeyMethodError::FAILURE)
    }
}

/// As rustls offers them on this leg; shares go out for the first two.
pub(super) const GROUPS: &str = "X25519MLKEM768:X25519:P-256:P-384";
/// TLS 1.2: forward secrecy and authenticated encryption only. Those of TLS 1.3 are not for us to choose.
pub(super) const SUITES: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
    ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
/// CBC, then static RSA: what servers have that never learned more.
const LEGACY_SUITES: &str = "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:\
    AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA:AES256-SHA";
/// `SSL_MODE_CBC_RECORD_SPLITTING`, which the crate does not name: the first byte of each write in a record of its own, the
/// remedy for the chained initialisation vectors of TLS 1.0 (CVE-2011-3389).
const CBC_RECORD_SPLITTING: u32 = 0x100;
