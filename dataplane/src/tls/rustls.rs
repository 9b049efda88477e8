//! The rustls engine: one connection of either leg behind [`Engine`].

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use penstock_core::flow::{FaultKind, Leg};
use penstock_core::limits::INSPECT_BUFFER_BYTES_MAX;
use penstock_core::sni::Sni;
use rustls::client::{ResolvesClientCert, UnbufferedClientConnection};
use rustls::server::UnbufferedServerConnection;
use rustls::sign::CertifiedKey;
use rustls::{CommonState, Error, HandshakeKind, SignatureScheme};
use rustls_pki_types::UnixTime;

use super::alpn::Alpn;
use super::client_certificate::ClientCertificateRequests;
use super::engine::{Engine, PlainRead};
use super::fault;
use super::plaintext::Plaintext;
use super::unbuffered::{Ciphertext, Saying, Unbuffered};
use super::verify::{VerifiedUpstream, Verifier};

/// A rustls connection of one leg.
pub(super) struct RustlsEngine {
    connection: Unbuffered,
    role: Role,
    ciphertext: Ciphertext,
    plaintext: Plaintext,
    /// What ended the connection: it is never gone on with.
    fault: Option<Error>,
    /// The source of ciphertext has ended.
    ended: bool,
    /// The peer has ended its direction.
    closed: bool,
}

thread_local! {
    /// What is read from a socket, and plaintext on its way into one record: used within a call, by one engine at a time.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
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
    pub(super) fn downstream(connection: UnbufferedServerConnection) -> Self {
        Self::new(Unbuffered::Server(Box::new(connection)), Role::Downstream)
    }

    /// Begins with the ClientHello.
    pub(super) fn upstream(
        connection: UnbufferedClientConnection,
        name: Sni,
        verifier: Arc<Verifier>,
        requests: Arc<ClientCertificateRequests>,
    ) -> Self {
        let upstream = Upstream { name, verifier, requests, verified: None };
        let mut engine = Self::new(Unbuffered::Client(Box::new(connection)), Role::Upstream(upstream));
        engine.advance(&Saying::Nothing);
        engine
    }

    fn new(connection: Unbuffered, role: Role) -> Self {
        Self {
            connection,
            role,
            ciphertext: Ciphertext::default(),
            plaintext: Plaintext::default(),
            fault: None,
            ended: false,
            closed: false,
        }
    }

    /// Whether `saying` is encrypted.
    fn advance(&mut self, saying: &Saying<'_>) -> bool {
        if self.fault.is_some() {
            return false;
        }
        match self.connection.advance(&mut self.ciphertext, &mut self.plaintext, saying) {
            Ok(progress) => {
                self.closed |= progress.is_closed;
                progress.is_said
            }
            Err(error) => {
                self.fault = Some(error);
                false
            }
        }
    }

    fn state(&self) -> &CommonState {
        self.connection.state()
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
        if !self.plaintext.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let ingress = &mut self.ciphertext.ingress;
        if self.fault.is_some() || self.closed {
            *ingress = Vec::new();
        }
        // rustls refuses a longer handshake message by its header; no record is longer.
        if ingress.len() >= INSPECT_BUFFER_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let count = SCRATCH.with_borrow_mut(|scratch| {
            let count = source.read(scratch)?;
            ingress.extend_from_slice(scratch.get(..count).unwrap_or_default());
            io::Result::Ok(count)
        })?;
        self.ended |= count == 0;
        Ok(count)
    }

    fn process(&mut self) -> Result<(), FaultKind> {
        self.advance(&Saying::Nothing);
        if let Role::Upstream(upstream) = &self.role {
            upstream.requests.refuse()?;
        }
        if let Some(error) = &self.fault {
            return Err(fault::kind_of(self.leg(), error));
        }
        let state = self.connection.state();
        if state.is_handshaking() {
            return if self.ended { Err(FaultKind::Closed) } else { Ok(()) };
        }
        match &mut self.role {
            Role::Upstream(upstream) if upstream.verified.is_none() => upstream.prove(state),
            Role::Downstream | Role::Upstream(_) => Ok(()),
        }
    }

    fn read_plain(&mut self, out: &mut [u8]) -> PlainRead {
        match self.plaintext.is_empty() {
            false => PlainRead::Bytes(self.plaintext.take(out)),
            true if self.closed => PlainRead::Closed,
            true if self.ended => PlainRead::Truncated,
            true => PlainRead::WouldBlock,
        }
    }

    fn write_plain(&mut self, pieces: &[io::IoSlice<'_>]) -> usize {
        // Nothing is promised to be sent before the handshake is proven.
        if self.state().is_handshaking() {
            return 0;
        }
        let room = INSPECT_BUFFER_BYTES_MAX.saturating_sub(self.ciphertext.unsent());
        SCRATCH.with_borrow_mut(|scratch| {
            let mut count = 0;
            for piece in pieces {
                let end = (count + piece.len()).min(room);
                if scratch.len() < end {
                    scratch.resize(end, 0);
                }
                let taken = piece.get(..end - count).unwrap_or_default();
                scratch[count..end].copy_from_slice(taken);
                count = end;
            }
            let joined = scratch.get(..count).unwrap_or_default();
            if count > 0 && self.advance(&Saying::Data(joined)) { count } else { 0 }
        })
    }

    fn wants_read(&self) -> bool {
        !self.ended && !self.closed && self.plaintext.is_empty()
    }

    fn wants_write(&self) -> bool {
        self.ciphertext.unsent() > 0
    }

    fn write_tls(&mut self, sink: &mut dyn io::Write) -> io::Result<usize> {
        self.ciphertext.drain(sink)
    }

    fn send_close_notify(&mut self) {
        if !self.state().is_handshaking() {
            self.advance(&Saying::CloseNotify);
        }
    }

    fn is_handshaking(&self) -> bool {
        self.state().is_handshaking()
    }

    fn alpn(&self) -> Option<Alpn> {
        self.state().alpn_protocol().and_then(Alpn::named)
    }

    fn is_resumed(&self) -> bool {
        self.state().handshake_kind() == Some(HandshakeKind::Resumed)
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
    fn prove(&mut self, state: &CommonState) -> Result<(), FaultKind> {
        let chain = state.peer_certificates().unwrap_or_default();
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

/// Most that is read at once: a full record and some of the next.
const READ_BYTES: usize = 32 * 1024;
