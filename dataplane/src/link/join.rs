//! Joining a fleet: a key made here, a token that control takes once, a certificate in return.
//!
//! The token carries the pin of the fleet's authority, so the token's secret is shown to nobody but a control of that fleet.

use std::path::Path;
use std::sync::Arc;

use ::aws_lc_rs::digest::{SHA256, digest};
use penstock_core::mint::CertificateFacts;
use penstock_link::enrolment_client::EnrolmentClient;
use penstock_link::{CertificateRequest, JoinRequest, JoinToken, PIN_BYTES, joining_config};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::controls::{dial_network, told};
use super::identity::Request;
use crate::config::ControlAddress;

/// Joins by `token` at `control`, and writes who this node is from now on into `state_directory`; answers its name.
pub(crate) async fn join(
    control: &ControlAddress,
    token: &JoinToken,
    state_directory: &Path,
) -> anyhow::Result<String> {
    let verifier = Arc::new(Pinned { pin: token.pin, provider: Arc::new(aws_lc_rs::default_provider()) });
    let channel = dial_network(control, Arc::new(joining_config(verifier)?));
    let channel = channel.await.map_err(|error| anyhow::anyhow!("{control}: {}", told(&error)))?;
    let request = Request::new()?;
    let certificate = Some(CertificateRequest { pkcs10: request.pkcs10.clone(), several: true });
    let asked = JoinRequest { secret: token.secret.to_vec(), certificate };
    let answer = EnrolmentClient::new(channel).join(asked).await;
    let sent = answer.map_err(|status| anyhow::anyhow!("{control} refuses: {}", status.message()))?.into_inner();
    let identity = request.certified(sent)?;
    // Whom the token names is believed; it may be followed by another, which then has signed already.
    let is_ours = identity.authorities().iter().any(|authority| is_pinned(authority, &token.pin));
    anyhow::ensure!(is_ours, "{control} sent another fleet's authority");
    identity.save(state_directory)?;
    Ok(identity.name)
}

/// Believes a control whose certificate stands below the authority with this pin, which the control shows along with it.
#[derive(Debug)]
struct Pinned {
    pin: [u8; PIN_BYTES],
    provider: Arc<CryptoProvider>,
}

fn is_pinned(certificate: &[u8], pin: &[u8; PIN_BYTES]) -> bool {
    let facts = CertificateFacts::parse(certificate).ok().filter(CertificateFacts::is_authority);
    facts.is_some_and(|facts| digest(&SHA256, facts.public_key()).as_ref() == pin)
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates.iter().find(|shown| is_pinned(shown, &self.pin));
        let authority = authority.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let below = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider)).build();
        let below = below.map_err(|error| Error::General(error.to_string()))?;
        below.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken on the link".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
