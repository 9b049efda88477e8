//! How TLS is spoken on the link: version 1.3, a certificate on either side, both below the fleet's own authority.
//!
//! Nothing is resumed: each connection proves anew who it is, so that a certificate that has ended or was revoked is of no
//! use. Whoever has no certificate is let through the handshake, and it is control's business to let him do no more than join.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, Error, RootCertStore, ServerConfig};

/// The name that the certificate of every control of a fleet has, wherever it listens.
pub const CONTROL_HOST_NAME: &str = "control.penstock.internal";

/// Of a control: shows what `certificate` has, and believes clients below any of `authorities`.
///
/// # Errors
///
/// When one of `authorities` is no certificate.
pub fn server_config(
    authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    certificate: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig, Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trusting(authorities)?), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Of a node that has a certificate: believes controls below any of `authorities`.
///
/// # Errors
///
/// When one of `authorities` is no certificate, or `key` not that of `certificate`.
pub fn node_config(
    authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(trusting(authorities)?)
        .with_client_auth_cert(vec![certificate], key)?;
    Ok(ours(config))
}

/// Of a node that joins: `verifier` knows the authority by its pin alone.
///
/// # Errors
///
/// When the library has no TLS 1.3, which it has.
pub fn joining_config(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(ours(config))
}

fn ours(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    config
}

fn trusting(authorities: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    authorities.into_iter().try_for_each(|authority| roots.add(authority))?;
    Ok(roots)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// By ALPN, so that nobody's browser or proxy talks to the link by mistake.
const PROTOCOL: &[u8] = b"penstock-link";
