//! TCP and TLS to a peer.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::sink::SinkError;
use crate::config::Peer;

/// What is spoken over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// Dials, and shakes hands where TLS is wanted. Authorities are read each time: what the operator renews counts at once.
pub(super) async fn connect(peer: &Peer) -> Result<Box<dyn Stream>, SinkError> {
    let dialled = timeout(PATIENCE, dial(peer)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    dialled.map_err(|source| SinkError::Stream { peer: peer.label(), source })
}

async fn dial(peer: &Peer) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((peer.host.as_str(), peer.port)).await?;
    stream.set_nodelay(true)?;
    let Some(authorities) = &peer.tls else { return Ok(Box::new(stream)) };
    let config = tls_config(authorities.as_deref())?;
    let name = ServerName::try_from(peer.host.clone()).map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(config).connect(name, stream).await?))
}

fn tls_config(authorities: Option<&Path>) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = authorities {
        let named = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
        let pem = fs::read(path).map_err(|error| named(&error))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| named(&error))?;
            roots.add(certificate).map_err(|error| named(&error))?;
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(Arc::new(builder.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth()))
}

const PATIENCE: Duration = Duration::from_secs(10);
