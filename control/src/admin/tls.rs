//! The admin listener's certificate and key, read into a TLS configuration.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::AdminTls;

/// Why the admin listener has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("[admin_tls] {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no PEM of the kind that is wanted.
    #[error("[admin_tls] {}: {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The key is open to others.
    #[error("[admin_tls] {}: other users may read it (mode {mode:o}); run: chmod 600 {}", path.display(), path.display())]
    Readable {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// They do not go together.
    #[error("[admin_tls]: {0}")]
    Refused(#[from] rustls::Error),
}

/// TLS 1.2 and 1.3, HTTP/1.1.
pub(crate) fn tls_config(files: &AdminTls) -> Result<Arc<ServerConfig>, TlsError> {
    let (path, key_path) = (&files.certificate, &files.key);
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Pem { path: path.clone(), reason: error.to_string() })?;
    if certificates.is_empty() {
        return Err(TlsError::Pem { path: path.clone(), reason: "holds no certificate".to_owned() });
    }
    let metadata = fs::metadata(key_path).map_err(|source| TlsError::Io { path: key_path.clone(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(TlsError::Readable { path: key_path.clone(), mode });
    }
    let key = PrivateKeyDer::from_pem_slice(&read(key_path)?)
        .map_err(|error| TlsError::Pem { path: key_path.clone(), reason: error.to_string() })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Io { path: path.to_owned(), source })
}
