//! First flights: the client's side of TLS as a configuration, and ClientHellos as bytes.
//!
//! A flow that goes no further than its hello sends the same bytes each time, so that making hellos is not what limits
//! the load.

use std::sync::Arc;

use anyhow::Context;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::profile::{HelloKind, Http};

/// What the tool's origin answers to a flow that is a hello and nothing more: a fatal `handshake_failure` in a record of
/// its own (RFC 8446, section 6). The appliance's own refusals carry other alerts.
pub(crate) const HELLO_ANSWER: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];
/// Content type of a record that holds an alert, and of one that holds a handshake message.
pub(crate) const RECORD_ALERT: u8 = 21;
pub(crate) const RECORD_HANDSHAKE: u8 = 22;

/// Certificates of a PEM file.
pub(crate) fn roots(pem: &[u8]) -> anyhow::Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        store.add(certificate.context("the roots are not PEM certificates")?)?;
    }
    anyhow::ensure!(!store.is_empty(), "there is no certificate among the roots");
    Ok(Arc::new(store))
}

/// The client's side of a handshake. X25519 alone unless `hybrid`, so that every peer does the same work.
pub(crate) fn client_config(
    roots: Arc<RootCertStore>,
    http: Http,
    resumes: bool,
    hybrid: bool,
) -> anyhow::Result<Arc<ClientConfig>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider(hybrid)))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = match http {
        Http::One => vec![b"http/1.1".to_vec()],
        Http::Two => vec![b"h2".to_vec()],
    };
    config.resumption = if resumes { Resumption::in_memory_sessions(SESSIONS_MAX) } else { Resumption::disabled() };
    Ok(Arc::new(config))
}

/// The hellos of a stream, taken in turn.
pub(crate) fn hellos(
    kind: HelloKind,
    host: &ServerName<'static>,
    config: &Arc<ClientConfig>,
) -> anyhow::Result<Vec<Vec<u8>>> {
    if kind == HelloKind::Recorded {
        return Ok(RECORDED.iter().map(|hello| hello.to_vec()).collect());
    }
    let mut bytes = Vec::new();
    ClientConnection::new(Arc::clone(config), host.clone())?.write_tls(&mut bytes)?;
    Ok(vec![bytes])
}

pub(crate) fn provider(hybrid: bool) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    if !hybrid {
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    }
    provider
}

const SESSIONS_MAX: usize = 64;

/// Samples of `core/testdata/hello` that name a host, of TLS 1.2 and 1.3.
const RECORDED: &[&[u8]] = &[
    include_bytes!("../../core/testdata/hello/chromium.bin"),
    include_bytes!("../../core/testdata/hello/curl-http11.bin"),
    include_bytes!("../../core/testdata/hello/curl-http2.bin"),
    include_bytes!("../../core/testdata/hello/curl-tls12.bin"),
    include_bytes!("../../core/testdata/hello/gnutls.bin"),
    include_bytes!("../../core/testdata/hello/node.bin"),
    include_bytes!("../../core/testdata/hello/openssl-alpn.bin"),
    include_bytes!("../../core/testdata/hello/openssl-fragmented.bin"),
    include_bytes!("../../core/testdata/hello/openssl-resumed.bin"),
    include_bytes!("../../core/testdata/hello/openssl-tls12.bin"),
    include_bytes!("../../core/testdata/hello/openssl-tls13.bin"),
    include_bytes!("../../core/testdata/hello/openssl-upper-case.bin"),
    include_bytes!("../../core/testdata/hello/python-ssl.bin"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::RECORDED_HOST;

    fn has(bytes: &[u8], word: &str) -> bool {
        memchr::memmem::find(&bytes.to_ascii_lowercase(), word.as_bytes()).is_some()
    }

    #[test]
    fn recorded_hellos_name_the_host_that_a_profile_must_name() {
        let authority = penstock_bench::certificate::Authority::generate().unwrap();
        let config = client_config(roots(authority.pem().as_bytes()).unwrap(), Http::One, false, false).unwrap();
        let host = ServerName::try_from(RECORDED_HOST).unwrap();
        for hello in hellos(HelloKind::Recorded, &host, &config).unwrap() {
            assert!(hello[0] == RECORD_HANDSHAKE && has(&hello, RECORDED_HOST));
        }
        let synthetic = hellos(HelloKind::Synthetic, &host, &config).unwrap();
        assert!(synthetic.len() == 1 && has(&synthetic[0], RECORDED_HOST));
    }

    #[test]
    fn a_hybrid_hello_holds_a_post_quantum_key() {
        let authority = penstock_bench::certificate::Authority::generate().unwrap();
        let host = ServerName::try_from("www.example.com").unwrap();
        let length = |hybrid| {
            let roots = roots(authority.pem().as_bytes()).unwrap();
            hellos(HelloKind::Synthetic, &host, &client_config(roots, Http::Two, false, hybrid).unwrap()).unwrap()[0]
                .len()
        };
        // An ML-KEM-768 encapsulation key alone has 1,184 bytes.
        assert!(length(true) > length(false) + 1_184);
    }
}
