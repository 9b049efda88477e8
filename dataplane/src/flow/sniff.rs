//! Reading the ClientHello: until it is complete, out of bounds, or late.

use penstock_core::bytes::Parsed;
use penstock_core::flow::{Fault, FaultKind, Leg, Phase};
use penstock_core::sni::Sni;
use penstock_core::tls::{ClientHelloReader, HelloReject};

use super::control::Stop;
use super::record::Flow;
use crate::ring::Socket;

/// What the client's first bytes are.
pub(crate) enum Sniffed {
    /// A ClientHello, with its host name if it has one.
    Hello(Option<Sni>),
    /// Another protocol, or a client that waits for the server to speak first.
    NotTls,
    /// TLS, but not a ClientHello that every server would read the same way.
    Rejected(HelloReject),
}

/// Reads into `received` until the first bytes can be judged. The deadline is absolute: a drip does not extend it.
pub(crate) async fn sniff(flow: &Flow, upstream: &Socket, received: &mut Vec<u8>) -> Result<Sniffed, Fault> {
    let started = std::time::Instant::now();
    flow.control.set_deadline(flow.shard.config.deadlines.sniff);
    let mut reader = ClientHelloReader::new();
    loop {
        if !received.is_empty() {
            match reader.handle_bytes(received) {
                Parsed::Complete { value: hello, .. } => {
                    let sni = hello.sni;
                    flow.shard.cells.sniff_seconds.observe((), started.elapsed().as_secs_f64());
                    return Ok(Sniffed::Hello(sni));
                }
                Parsed::Incomplete { .. } => {}
                Parsed::Reject(HelloReject::NotTls) => return Ok(Sniffed::NotTls),
                Parsed::Reject(reject) => return Ok(Sniffed::Rejected(reject)),
            }
        }
        match receive(flow, upstream, received).await {
            Ok(true) => {}
            Ok(false) => return Ok(Sniffed::NotTls),
            Err(kind) => return Err(Fault::downstream(Phase::Sniff, kind)),
        }
    }
}

/// Adds what the client sends next; `false` when it is silent and the server has spoken, or nobody has until the
/// deadline: then it is no TLS client.
async fn receive(flow: &Flow, upstream: &Socket, received: &mut Vec<u8>) -> Result<bool, FaultKind> {
    let downstream = &*flow.control.downstream;
    // On 443 the client always speaks first; one wait less for nearly all flows.
    let port = flow.learned.borrow().authority.as_ref().map(|authority| authority.port);
    let server_may_speak_first = port != Some(443);
    loop {
        received.reserve(READ_BYTES);
        match downstream.try_recv_spare(received) {
            Ok(0) => return Err(FaultKind::Closed),
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(FaultKind::ConnectionReset),
        }
        let silent = received.is_empty();
        let waited = if silent && server_may_speak_first {
            flow.control.either_readable(upstream).await
        } else {
            flow.control.readable(downstream).await.map(|()| Leg::Downstream)
        };
        match waited {
            Ok(Leg::Downstream) => {}
            Ok(Leg::Upstream) => return Ok(false),
            Err(Stop::Deadline) if silent => {
                flow.control.forgive_deadline();
                return Ok(false);
            }
            Err(stop) => return Err(stop.kind()),
        }
    }
}

/// The JA4 fingerprint of a ClientHello that [`sniff`] has read.
pub(crate) fn fingerprint(received: &[u8]) -> Option<String> {
    ClientHelloReader::new().handle_bytes(received).complete().map(|hello| hello.ja4())
}

/// Room for one read: a ClientHello of today, post-quantum share included, fits.
const READ_BYTES: usize = 2048;
