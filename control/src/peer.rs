//! Servers that a daemon is a client of: dialling them, TLS, a question over HTTP/1.1, and the files of secrets for them.
//! Called by `export`, `oidc`, `probe` and `store`.

use std::fs;
use std::future::pending;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::client::WantsClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::config::ClientTls;

/// What is spoken over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// Dials, and shakes hands where TLS is wanted. Files are read each time: what the operator renews counts at once. `alpn` is
/// the one protocol that is offered, if any is.
pub(crate) async fn dial(
    host: &str,
    port: u16,
    tls: Option<&ClientTls>,
    alpn: Option<&[u8]>,
) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let Some(files) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut config = tls_config(files)?;
    config.alpn_protocols.extend(alpn.map(<[u8]>::to_vec));
    Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
}

/// Asks once over a connection of its own. An answer of more than `answer_bytes_max` is an error.
pub(crate) async fn ask(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    answer_bytes_max: usize,
) -> io::Result<Response<Bytes>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let asking = async {
        let (head, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
        let body = Limited::new(body, answer_bytes_max).collect().await.map_err(io::Error::other)?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    // The connection may end with the answer, or ahead of it: either way `asking` knows.
    let driving = async {
        let _ = connection.await;
        pending().await
    };
    tokio::select! {
        answer = asking => answer,
        never = driving => never,
    }
}

/// Verifies servers by the authorities of the operating system and those of PEM files.
pub(crate) fn verifying(authorities: &[PathBuf]) -> io::Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for path in authorities {
        for certificate in certificates(path, &fs::read(path).map_err(|error| named(path, &error))?)? {
            roots.add(certificate).map_err(|error| named(path, &error))?;
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(io::Error::other)?.with_root_certificates(roots))
}

/// The same, with a certificate of one's own where there is one.
pub(crate) fn tls_config(files: &ClientTls) -> io::Result<ClientConfig> {
    let builder = verifying(files.ca_file.as_slice())?;
    let Some(identity) = &files.identity else { return Ok(builder.with_no_client_auth()) };
    let chain = fs::read(&identity.certificate).map_err(|error| named(&identity.certificate, &error))?;
    let chain = certificates(&identity.certificate, &chain)?;
    let key = read_private(&identity.key)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| named(&identity.key, &error))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| named(&identity.certificate, &error))
}

fn certificates(path: &Path, pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| named(path, &error))
}

/// Reads a file of secrets, which nobody else may.
pub(crate) fn read_private(path: &Path) -> io::Result<Zeroizing<String>> {
    let mode = fs::metadata(path).map_err(|error| named(path, &error))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let told = format!("other users may read it (mode {mode:o}); run: chmod 600 {}", path.display());
        return Err(io::Error::other(told));
    }
    fs::read_to_string(path).map(Zeroizing::new).map_err(|error| named(path, &error))
}

fn named(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}
