//! One connection of the load: dial, CONNECT, handshake, requests.
//!
//! Owns what goes over the wire. `worker` decides when.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::scenario::Scenario;

/// What every operation of a run has in common.
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    pub(crate) proxy: SocketAddr,
    pub(crate) connect: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) bytes: u64,
    pub(crate) tls: Arc<ClientConfig>,
}

/// Where an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    Connect,
    Deadline,
    Dial,
    Exchange,
    Handshake,
    Status,
}

/// An established connection.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

impl Plan {
    /// Dials, asks the proxy, shakes hands.
    pub(crate) async fn open(&self) -> Result<Connection, Failure> {
        let mut stream = TcpStream::connect(self.proxy).await.map_err(|_| Failure::Dial)?;
        stream.set_nodelay(true).map_err(|_| Failure::Dial)?;
        if self.connect {
            self.ask(&mut stream).await?;
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|_| Failure::Handshake)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await.map_err(|_| Failure::Handshake)?;
        Ok(Connection { stream, buffer: vec![0; BUFFER_BYTES] })
    }

    /// One request with its whole answer; the bytes of the answer's body.
    pub(crate) async fn exchange(&self, connection: &mut Connection) -> Result<u64, Failure> {
        let close = if self.scenario.is_new() { "Connection: close\r\n" } else { "" };
        // Squid dials what the request names, so the port must be said where it is not the scheme's own.
        let port = if self.port == 443 { String::new() } else { format!(":{}", self.port) };
        let request = format!(
            "GET /bytes/{}?digest=0 HTTP/1.1\r\nHost: {}{port}\r\nUser-Agent: penstock-load\r\nAccept: */*\r\n{close}\r\n",
            self.bytes, self.host,
        );
        let Connection { stream, buffer } = connection;
        stream.write_all(request.as_bytes()).await.map_err(|_| Failure::Exchange)?;
        stream.flush().await.map_err(|_| Failure::Exchange)?;
        read_answer(stream, buffer).await
    }

    async fn ask(&self, stream: &mut TcpStream) -> Result<(), Failure> {
        let request = format!("CONNECT {0}:{1} HTTP/1.1\r\nHost: {0}:{1}\r\n\r\n", self.host, self.port);
        stream.write_all(request.as_bytes()).await.map_err(|_| Failure::Connect)?;
        let mut answer = [0; 1_024];
        let mut filled = 0;
        // The origin's first byte comes only after our hello, so nothing behind the empty line can be lost.
        loop {
            let room = answer.get_mut(filled..).filter(|room| !room.is_empty()).ok_or(Failure::Connect)?;
            let count = stream.read(room).await.map_err(|_| Failure::Connect)?;
            if count == 0 {
                return Err(Failure::Connect);
            }
            filled += count;
            let received = answer.get(..filled).unwrap_or_default();
            if received.ends_with(b"\r\n\r\n") {
                let accepted = received.get(8..12) == Some(b" 200");
                return if accepted { Ok(()) } else { Err(Failure::Connect) };
            }
        }
    }
}

impl Connection {
    /// Waits until the peer has closed; an operation of its own connection ends here.
    pub(crate) async fn finish(mut self) {
        // The answer is complete; how the end comes is the proxy's affair and no failure of the operation.
        while let Ok(1..) = self.stream.read(&mut self.buffer).await {}
        let _ = self.stream.shutdown().await;
    }
}

impl Failure {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Deadline => "deadline",
            Self::Dial => "dial",
            Self::Exchange => "exchange",
            Self::Handshake => "handshake",
            Self::Status => "status",
        }
    }
}

/// The client's side of the handshake. X25519 alone unless `hybrid`, so that every peer does the same work.
pub(crate) fn tls_config(roots: &[u8], resume: bool, hybrid: bool) -> anyhow::Result<Arc<ClientConfig>> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(roots) {
        store.add(certificate.context("the roots are not PEM certificates")?)?;
    }
    anyhow::ensure!(!store.is_empty(), "there is no certificate among the roots");
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider(hybrid)))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if !resume {
        config.resumption = Resumption::disabled();
    }
    Ok(Arc::new(config))
}

pub(crate) fn provider(hybrid: bool) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    if !hybrid {
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    }
    provider
}

async fn read_answer<R: AsyncRead + Unpin>(stream: &mut R, buffer: &mut [u8]) -> Result<u64, Failure> {
    let mut filled = 0;
    let (head_bytes, body_bytes) = loop {
        let room = buffer.get_mut(filled..).filter(|room| !room.is_empty()).ok_or(Failure::Exchange)?;
        filled += read_some(stream, room).await?;
        if let Some(lengths) = lengths(buffer.get(..filled).unwrap_or_default())? {
            break lengths;
        }
    };
    let mut left = body_bytes.checked_sub((filled - head_bytes) as u64).ok_or(Failure::Exchange)?;
    while left > 0 {
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = read_some(stream, buffer.get_mut(..room).unwrap_or_default()).await?;
        left -= count as u64;
    }
    Ok(body_bytes)
}

async fn read_some<R: AsyncRead + Unpin>(stream: &mut R, room: &mut [u8]) -> Result<usize, Failure> {
    let count: io::Result<usize> = stream.read(room).await;
    count.ok().filter(|count| *count > 0).ok_or(Failure::Exchange)
}

/// The bytes of the head and of the body, once the head is whole.
fn lengths(bytes: &[u8]) -> Result<Option<(usize, u64)>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = response.parse(bytes).map_err(|_| Failure::Exchange)? else {
        return Ok(None);
    };
    if response.code != Some(200) {
        return Err(Failure::Status);
    }
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    length.map(|body_bytes| Some((head_bytes, body_bytes))).ok_or(Failure::Exchange)
}

const BUFFER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_read_to_its_last_byte_however_it_comes() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for split in 1..answer.len() {
            let (first, second) = answer.split_at(split);
            let mut stream = first.chain(second);
            assert_eq!(read_answer(&mut stream, &mut [0; 256]).await, Ok(5), "{split}");
        }
        let mut short = answer[..answer.len() - 1].as_ref();
        assert_eq!(read_answer(&mut short, &mut [0; 256]).await, Err(Failure::Exchange));
    }

    #[test]
    fn only_200_with_a_length_is_an_answer() {
        assert_eq!(lengths(b"HTTP/1.1 200 OK\r\n"), Ok(None));
        assert_eq!(lengths(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"), Err(Failure::Status));
        assert_eq!(lengths(b"HTTP/1.1 200 OK\r\n\r\n"), Err(Failure::Exchange));
        assert_eq!(lengths(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n"), Ok(Some((38, 7))));
    }
}
