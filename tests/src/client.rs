//! A TLS client through the appliance that speaks HTTP/1.1 exactly as the test tells it, byte by byte if need be.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::http::{self, Answer, Progress};

/// See the module.
pub struct Client {
    tls: StreamOwned<ClientConnection, TcpStream>,
    /// Received and not yet taken.
    pending: Vec<u8>,
    ended: bool,
}

impl Client {
    /// Shakes hands over `stream`; the error is the handshake's.
    pub fn connect(stream: TcpStream, name: &str, config: Arc<ClientConfig>) -> io::Result<Self> {
        let connection = ClientConnection::new(config, ServerName::try_from(name.to_owned()).unwrap()).unwrap();
        let mut tls = StreamOwned::new(connection, stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(Self { tls, pending: Vec::new(), ended: false })
    }

    /// Takes over a connection whose handshake was driven by hand.
    pub fn resume(tls: StreamOwned<ClientConnection, TcpStream>) -> Self {
        Self { tls, pending: Vec::new(), ended: false }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// Sends bytes as they are; the appliance may have closed already.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.tls.write_all(bytes.as_ref())?;
        self.tls.flush()
    }

    /// Reads the next final answer.
    pub fn answer(&mut self) -> Answer {
        self.next_answer(false).expect("an answer")
    }

    /// Reads the next answer, interim ones too; `None` when the connection ended first.
    pub fn next_answer(&mut self, to_head: bool) -> Option<Answer> {
        loop {
            match http::answer(&self.pending, to_head, self.ended).expect("an HTTP answer") {
                Progress::Whole(answer, consumed) => {
                    self.pending.drain(..consumed);
                    return Some(answer);
                }
                Progress::More if self.ended => return None,
                Progress::More => self.fill(),
            }
        }
    }

    /// GET on `host`, and its answer.
    pub fn get(&mut self, host: &str, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: penstock-tests/1\r\n\r\n"));
        self.answer()
    }

    /// Every byte up to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        while !self.ended {
            self.fill();
        }
        std::mem::take(&mut self.pending)
    }

    /// The next bytes, at least one unless the connection has ended.
    pub fn some(&mut self) -> Vec<u8> {
        if self.pending.is_empty() && !self.ended {
            self.fill();
        }
        std::mem::take(&mut self.pending)
    }

    /// The chain that was shown.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.tls.conn.peer_certificates().unwrap().to_vec()
    }

    /// The protocol that was agreed.
    pub fn alpn(&self) -> Option<Vec<u8>> {
        self.tls.conn.alpn_protocol().map(<[u8]>::to_vec)
    }

    /// The TLS connection.
    pub fn connection(&self) -> &ClientConnection {
        &self.tls.conn
    }

    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        &self.tls.sock
    }

    /// close_notify, then FIN.
    pub fn finish(&mut self) {
        self.tls.conn.send_close_notify();
        let _ = self.tls.flush();
        let _ = self.tls.sock.shutdown(std::net::Shutdown::Write);
    }

    fn fill(&mut self) {
        let mut buffer = [0; 16 * 1024];
        match self.tls.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("nothing came for a minute"),
            Err(_) => self.ended = true,
        }
    }
}

/// A client that trusts the certificates in these files and nothing else, and speaks HTTP/1.1.
pub fn config(roots: &[&Path]) -> Arc<ClientConfig> {
    Arc::new(config_mut(roots, rustls::ALL_VERSIONS))
}

/// The certificates in these files, to be trusted.
pub fn roots(files: &[&Path]) -> RootCertStore {
    let mut store = RootCertStore::empty();
    for path in files {
        for certificate in CertificateDer::pem_file_iter(path).unwrap() {
            store.add(certificate.unwrap()).unwrap();
        }
    }
    store
}

/// The same with chosen versions, to be changed further.
pub fn config_mut(certificates: &[&Path], versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots(certificates))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// The same, speaking HTTP/1.1, for a client whose clock is ahead by so many seconds.
pub fn config_ahead(certificates: &[&Path], seconds: u64) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(Ahead(seconds)));
    let builder = builder.with_protocol_versions(rustls::ALL_VERSIONS).unwrap();
    let mut config = builder.with_root_certificates(roots(certificates)).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A clock that is ahead by so many seconds.
#[derive(Debug)]
struct Ahead(u64);

impl TimeProvider for Ahead {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs() + self.0)))
    }
}

/// A connection whose first flight is taken out, to be sent in whatever pieces.
pub fn first_flight(name: &str, config: Arc<ClientConfig>) -> (ClientConnection, Vec<u8>) {
    let mut connection = ClientConnection::new(config, ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    (connection, bytes)
}

/// Finishes a handshake whose first flight has been sent.
pub fn finish_handshake(mut connection: ClientConnection, mut stream: TcpStream) -> io::Result<Client> {
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(Client::resume(StreamOwned::new(connection, stream)))
}
