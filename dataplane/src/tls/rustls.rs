//! The rustls engine: one connection of either leg behind [`Engine`].

use std::io;
use std::sync::Arc;

use penstock_core::flow::{FaultKind, Leg};
use penstock_core::limits::INSPECT_BUFFER_BYTES_MAX;
use penstock_core::sni::Sni;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConnection, Connection, HandshakeKind, ServerConnection, SignatureScheme};
use rustls_pki_types::UnixTime;

use super::alpn::Alpn;
use super::client_certificate::ClientCertificateRequests;
use super::engine::{Engine, PlainRead};
use super::fault;
use super::verify::{VerifiedUpstream, Verifier};

/// A rustls connection of one leg.
pub(super) struct RustlsEngine {
    connection: Connection,
    role: Role,
    /// The source of ciphertext has ended.
    ended: bool,
}

enum Role {
    Downstream,
    Upstream(Upstream),
}

/// What an upstream leg must still prove, and with what.
struct Upstream {
    name: Sni,
    verifier: Arc<Verifier>,
    requests: Arc<ClientCertificateRequests>,
    verified: Option<VerifiedUpstream>,
}

impl RustlsEngine {
    pub(super) fn downstream(mut connection: ServerConnection) -> Self {
        connection.set_buffer_limit(Some(INSPECT_BUFFER_BYTES_MAX));
        Self { connection: Connection::Server(connection), role: Role::Downstream, ended: false }
    }

    pub(super) fn upstream(
        mut connection: ClientConnection,
        name: Sni,
        verifier: Arc<Verifier>,
        requests: Arc<ClientCertificateRequests>,
    ) -> Self {
        connection.set_buffer_limit(Some(INSPECT_BUFFER_BYTES_MAX));
        let upstream = Upstream { name, verifier, requests, verified: None };
        Self { connection: Connection::Client(connection), role: Role::Upstream(upstream), ended: false }
    }

    const fn leg(&self) -> Leg {
        match self.role {
            Role::Downstream => Leg::Downstream,
            Role::Upstream(_) => Leg::Upstream,
        }
    }
}

impl Engine for RustlsEngine {
    fn read_tls(&mut self, source: &mut dyn io::Read) -> io::Result<usize> {
        if plaintext_waits(&mut self.connection) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.connection.read_tls(source)?;
        self.ended |= count == 0;
        Ok(count)
    }

    fn process(&mut self) -> Result<(), FaultKind> {
        let outcome = self.connection.process_new_packets();
        if let Role::Upstream(upstream) = &self.role {
            upstream.requests.refuse()?;
        }
        outcome.map_err(|error| fault::kind_of(self.leg(), &error))?;
        if self.connection.is_handshaking() {
            return if self.ended { Err(FaultKind::Closed) } else { Ok(()) };
        }
        match &mut self.role {
            Role::Upstream(upstream) if upstream.verified.is_none() => upstream.prove(&self.connection),
            Role::Downstream | Role::Upstream(_) => Ok(()),
        }
    }

    fn read_plain(&mut self, out: &mut [u8]) -> PlainRead {
        match io::Read::read(&mut self.connection.reader(), out) {
            Ok(0) if !out.is_empty() => PlainRead::Closed,
            Ok(count) => PlainRead::Bytes(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => PlainRead::WouldBlock,
            Err(_) => PlainRead::Truncated,
        }
    }

    fn write_plain(&mut self, pieces: &[io::IoSlice<'_>]) -> usize {
        // rustls would keep plaintext for later, and promise that it is sent before the handshake is proven.
        if self.connection.is_handshaking() {
            return 0;
        }
        io::Write::write_vectored(&mut self.connection.writer(), pieces).unwrap_or(0)
    }

    fn wants_read(&self) -> bool {
        self.connection.wants_read() && !self.ended
    }

    fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    fn write_tls(&mut self, sink: &mut dyn io::Write) -> io::Result<usize> {
        self.connection.write_tls(sink)
    }

    fn send_close_notify(&mut self) {
        self.connection.send_close_notify();
    }

    fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    fn alpn(&self) -> Option<Alpn> {
        self.connection.alpn_protocol().and_then(Alpn::named)
    }

    fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn verified(&self) -> Option<VerifiedUpstream> {
        match &self.role {
            Role::Downstream => None,
            Role::Upstream(upstream) => upstream.verified.clone(),
        }
    }
}

impl Upstream {
    /// A full handshake's chain was verified moments ago and is only looked up; a resumed one's may have to be again.
    fn prove(&mut self, connection: &Connection) -> Result<(), FaultKind> {
        let chain = connection.peer_certificates().unwrap_or_default();
        self.verified = Some(self.verifier.prove(&self.name, chain, UnixTime::now())?);
        Ok(())
    }
}

impl ResolvesClientCert for ClientCertificateRequests {
    fn resolve(&self, _root_hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.note();
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// rustls refuses to read over its bound on plaintext with an error that looks like the source's own; asking ahead keeps
/// the two apart.
fn plaintext_waits(connection: &mut Connection) -> bool {
    io::BufRead::fill_buf(&mut connection.reader()).is_ok_and(|plaintext| !plaintext.is_empty())
}
