//! The BoringSSL engine: one connection of either leg behind [`Engine`].

use std::io;
use std::sync::Arc;

use boring::ssl::{Error, ErrorCode, ShutdownState, Ssl, SslStream};
use penstock_core::flow::{FaultKind, Leg};
use penstock_core::limits::{INSPECT_BUFFER_BYTES_MAX, TLS_RECORD_BYTES_MAX};
use penstock_core::tls::alert::{self, Alert};

use super::super::alpn::Alpn;
use super::super::client_certificate::ClientCertificateRequests;
use super::super::engine::{Engine, PlainRead};
use super::super::plaintext::Plaintext;
use super::super::verify::VerifiedUpstream;
use super::greeting::Greeting;
use super::origins::Verdict;
use super::reason;
use super::wire::Wire;

/// A BoringSSL connection of one leg.
pub(super) struct BoringEngine {
    stream: SslStream<Wire>,
    /// On an upstream leg.
    proof: Option<Proof>,
    /// On a downstream leg until its handshake is over.
    greeting: Option<Greeting>,
    handshaking: bool,
    /// What ended the connection: it is never gone on with.
    fault: Option<FaultKind>,
    plain: Plaintext,
    /// Pieces of plaintext on their way into one record.
    joined: Vec<u8>,
    /// The source of ciphertext has ended.
    ended: bool,
    /// The peer has ended its direction.
    closed: bool,
}

/// What an upstream leg must still prove.
pub(super) struct Proof {
    pub(super) verdict: Verdict,
    pub(super) requests: Arc<ClientCertificateRequests>,
}

impl BoringEngine {
    pub(super) fn downstream(ssl: Ssl) -> Result<Self, FaultKind> {
        Self::new(ssl, None)
    }

    /// Begins with the ClientHello.
    pub(super) fn upstream(ssl: Ssl, proof: Proof) -> Result<Self, FaultKind> {
        let mut engine = Self::new(ssl, Some(proof))?;
        engine.process()?;
        Ok(engine)
    }

    fn new(ssl: Ssl, proof: Option<Proof>) -> Result<Self, FaultKind> {
        let stream = SslStream::new(ssl, Wire::default()).map_err(|_| FaultKind::Tls)?;
        Ok(Self {
            stream,
            greeting: proof.is_none().then(Greeting::default),
            proof,
            handshaking: true,
            fault: None,
            plain: Plaintext::default(),
            joined: Vec::new(),
            ended: false,
            closed: false,
        })
    }

    const fn leg(&self) -> Leg {
        if self.proof.is_some() { Leg::Upstream } else { Leg::Downstream }
    }

    /// Goes on with the handshake; afterwards decrypts what came.
    fn advance(&mut self) -> Result<(), FaultKind> {
        if self.handshaking {
            // Looked at before BoringSSL answers it, and once more should it have come together with the first.
            self.check_second_hello().inspect_err(|_| self.refuse_hello())?;
            let outcome = if self.proof.is_some() { self.stream.connect() } else { self.stream.accept() };
            if let Some(proof) = &self.proof {
                proof.check()?;
            }
            let unanswered = self.check_second_hello()?;
            match outcome {
                Ok(()) if unanswered => return Err(FaultKind::Tls),
                Ok(()) => {}
                Err(error) if error.would_block() => {
                    return if self.ended { Err(FaultKind::Closed) } else { Ok(()) };
                }
                Err(error) => return Err(reason::kind_of(self.leg(), &error)),
            }
            if let Some(proof) = &self.proof {
                // BoringSSL asks for each chain; were it ever not to, there is no proof and no connection.
                proof.verified().ok_or(FaultKind::Certificate)?;
            }
            self.handshaking = false;
            self.greeting = None;
        }
        self.decrypt()
    }

    /// Whether a second ClientHello was asked for and has not come; a fault when it came and is not like the first.
    fn check_second_hello(&self) -> Result<bool, FaultKind> {
        match &self.greeting {
            Some(greeting) if self.stream.ssl().used_hello_retry_request() => greeting.check().map(|whole| !whole),
            Some(_) | None => Ok(false),
        }
    }

    /// No keys are in use yet, so that the alert goes out as it is.
    fn refuse_hello(&mut self) {
        let _ = io::Write::write(self.stream.get_mut(), &alert::record(Alert::IllegalParameter));
    }

    fn decrypt(&mut self) -> Result<(), FaultKind> {
        while !self.closed {
            match fill(&mut self.plain, &mut self.stream) {
                Ok(()) => {}
                Err(error) if error.code() == ErrorCode::ZERO_RETURN => self.closed = true,
                Err(error) if error.would_block() => return Ok(()),
                Err(error) => return Err(reason::kind_of(self.leg(), &error)),
            }
        }
        Ok(())
    }
}

impl Proof {
    /// What our own callbacks found says more than BoringSSL's word for their refusal.
    fn check(&self) -> Result<(), FaultKind> {
        self.requests.refuse()?;
        match self.verdict.get() {
            Some(Err(kind)) => Err(*kind),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    fn verified(&self) -> Option<VerifiedUpstream> {
        self.verdict.get()?.as_ref().ok().cloned()
    }
}

/// Decrypts once, to the end of what waits.
fn fill(plaintext: &mut Plaintext, stream: &mut SslStream<Wire>) -> Result<(), Error> {
    let bytes = plaintext.bytes();
    let length = bytes.len();
    bytes.resize(length + TLS_RECORD_BYTES_MAX, 0);
    let outcome = stream.ssl_read(bytes.get_mut(length..).unwrap_or_default());
    bytes.truncate(length + outcome.as_ref().map_or(0, |count| *count));
    if bytes.is_empty() {
        *bytes = Vec::new();
    }
    outcome.map(|_| ())
}

impl Engine for BoringEngine {
    fn read_tls(&mut self, source: &mut dyn io::Read) -> io::Result<usize> {
        if !self.plain.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.fault.is_some() || self.closed {
            self.stream.get_mut().forget();
        }
        let wire = self.stream.get_mut();
        let known = wire.unread().len();
        let count = wire.fill(source)?;
        if let Some(greeting) = &mut self.greeting {
            greeting.add(wire.unread().get(known..).unwrap_or_default());
        }
        self.ended |= count == 0;
        Ok(count)
    }

    fn process(&mut self) -> Result<(), FaultKind> {
        if self.fault.is_none() {
            self.fault = self.advance().err();
        }
        self.fault.map_or(Ok(()), Err)
    }

    fn read_plain(&mut self, out: &mut [u8]) -> PlainRead {
        match self.plain.is_empty() {
            false => PlainRead::Bytes(self.plain.take(out)),
            true if self.closed => PlainRead::Closed,
            true if self.ended => PlainRead::Truncated,
            true => PlainRead::WouldBlock,
        }
    }

    fn write_plain(&mut self, pieces: &[io::IoSlice<'_>]) -> usize {
        if self.handshaking || self.fault.is_some() {
            return 0;
        }
        let mut room = INSPECT_BUFFER_BYTES_MAX.saturating_sub(self.stream.get_ref().unsent());
        let (mut pieces, mut piece, mut taken): (_, &[u8], usize) = (pieces.iter(), &[], 0);
        loop {
            self.joined.clear();
            let record_bytes = room.min(TLS_RECORD_BYTES_MAX);
            while self.joined.len() < record_bytes {
                if piece.is_empty() {
                    let Some(next) = pieces.next() else { break };
                    piece = next;
                }
                let (now, later) = piece.split_at(piece.len().min(record_bytes - self.joined.len()));
                self.joined.extend_from_slice(now);
                piece = later;
            }
            if self.joined.is_empty() {
                return taken;
            }
            // The wire takes all, so a write is whole or, after our own close_notify, refused.
            let Ok(count) = self.stream.ssl_write(&self.joined) else { return taken };
            taken += count;
            room -= count.min(room);
        }
    }

    fn wants_read(&self) -> bool {
        !self.ended && !self.closed && self.plain.is_empty()
    }

    fn wants_write(&self) -> bool {
        self.stream.get_ref().unsent() > 0
    }

    fn write_tls(&mut self, sink: &mut dyn io::Write) -> io::Result<usize> {
        self.stream.get_mut().drain(sink)
    }

    fn send_close_notify(&mut self) {
        let said = self.stream.get_shutdown().contains(ShutdownState::SENT);
        if !self.handshaking && self.fault.is_none() && !said {
            // Answers whether the peer's own came already; that is for reading to find.
            let _ = self.stream.shutdown();
        }
    }

    fn is_handshaking(&self) -> bool {
        self.handshaking
    }

    fn alpn(&self) -> Option<Alpn> {
        self.stream.ssl().selected_alpn_protocol().and_then(Alpn::named)
    }

    fn is_resumed(&self) -> bool {
        self.stream.ssl().session_reused()
    }

    fn verified(&self) -> Option<VerifiedUpstream> {
        if self.handshaking { None } else { self.proof.as_ref()?.verified() }
    }
}
