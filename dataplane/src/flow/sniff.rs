//! Reading the ClientHello: until it is complete, out of bounds, or late.
//!
//! A client is judged by its own first bytes, never by its silence: where the server speaks first, and policy lets such
//! a protocol pass, what the server says is handed on while we wait for the client's word. A client that stayed silent
//! to slip a ClientHello past us is read all the same.

use std::io::ErrorKind;

use penstock_core::bytes::Parsed;
use penstock_core::flow::{Direction, Fault, FaultKind, Leg, Phase, RelayPath};
use penstock_core::policy::Verdict;
use penstock_core::sni::Sni;
use penstock_core::tls::{ClientHelloReader, HelloReject};

use super::control::Stop;
use super::record::Flow;
use crate::ring::Socket;
use crate::shard::Shed;

/// What the client's first bytes are.
pub(crate) enum Sniffed {
    /// A ClientHello.
    Hello(SniffedHello),
    /// A ClientHello behind words of the server: TLS inside something else, which cannot be inspected.
    HelloBehindServer(SniffedHello),
    /// Another protocol.
    NotTls,
    /// TLS, but not a ClientHello that every server would read the same way.
    Rejected(HelloReject),
}

/// What matters of a ClientHello.
pub(crate) struct SniffedHello {
    /// The host name, if it has one.
    pub(crate) sni: Option<Sni>,
    /// Whether it offers Encrypted ClientHello, or GREASE in its place.
    pub(crate) has_ech: bool,
    /// Whether it offers HTTP/2.
    pub(crate) multiplexed: bool,
    /// Where in the bytes received it ends.
    pub(crate) bytes: usize,
}

/// Reads into `received` until the first bytes can be judged, beside `upstream` when it is known already. The deadline is
/// absolute: a drip does not extend it.
///
/// A reset of either leg is passed on as one, and a client that is cut off behind words of the server is reset too.
pub(crate) async fn sniff(flow: &Flow, upstream: Option<&Socket>, received: &mut Vec<u8>) -> Result<Sniffed, Fault> {
    let mut server_spoke = false;
    read(flow, upstream, received, &mut server_spoke).await.inspect_err(|fault| {
        if fault.kind == FaultKind::ConnectionReset || (server_spoke && fault.kind != FaultKind::Closed) {
            flow.control.reset_on_close();
        }
    })
}

async fn read(
    flow: &Flow,
    upstream: Option<&Socket>,
    received: &mut Vec<u8>,
    server_spoke: &mut bool,
) -> Result<Sniffed, Fault> {
    let started = std::time::Instant::now();
    flow.control.set_deadline(flow.shard.config.deadlines.sniff);
    let mut reader = ClientHelloReader::new();
    loop {
        if !received.is_empty() {
            match reader.handle_bytes(received) {
                Parsed::Complete { value: hello, consumed } => {
                    let (has_ech, multiplexed) = (hello.ech.is_some(), hello.alpn().any(|name| name == b"h2"));
                    let hello = SniffedHello { has_ech, multiplexed, sni: hello.sni, bytes: consumed };
                    if *server_spoke {
                        return Ok(Sniffed::HelloBehindServer(hello));
                    }
                    flow.shard.cells.sniff_seconds.observe((), started.elapsed().as_secs_f64());
                    return Ok(Sniffed::Hello(hello));
                }
                Parsed::Incomplete { .. } => {}
                Parsed::Reject(HelloReject::NotTls) => return Ok(Sniffed::NotTls),
                Parsed::Reject(reject) => return Ok(Sniffed::Rejected(reject)),
            }
        }
        let fault = |kind| Fault::downstream(Phase::Sniff, kind);
        // A flow that is not decided on is a new one still, however much of its hello has come.
        if !received.is_empty() && flow.shard.pressure.shed() >= Shed::Flows {
            return Err(fault(FaultKind::Memory));
        }
        match receive(flow, upstream, received).await.map_err(fault)? {
            Received::Client => {}
            Received::End if *server_spoke => return Ok(Sniffed::NotTls),
            Received::End => return Err(fault(FaultKind::Closed)),
            Received::Server(upstream) => {
                if flow.decide(None, false).verdict != Verdict::Pass {
                    return Ok(Sniffed::NotTls);
                }
                *server_spoke = true;
                hand_on(flow, upstream).await?;
            }
        }
    }
}

/// The JA4 fingerprint of a ClientHello that [`sniff`] has read.
pub(crate) fn fingerprint(received: &[u8]) -> Option<String> {
    ClientHelloReader::new().handle_bytes(received).complete().map(|hello| hello.ja4())
}

/// Who was heard.
enum Received<'a> {
    Client,
    /// The client will send no more.
    End,
    Server(&'a Socket),
}

/// Adds what the client sends next, or says that the server has spoken to a client that is silent so far.
async fn receive<'a>(
    flow: &Flow,
    upstream: Option<&'a Socket>,
    received: &mut Vec<u8>,
) -> Result<Received<'a>, FaultKind> {
    let downstream = &*flow.control.downstream;
    let mut patience = Some(CLIENT_FIRST);
    loop {
        match flow.control.try_receive(received) {
            Ok(0) => return Ok(Received::End),
            Ok(_) => return Ok(Received::Client),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Err(FaultKind::ConnectionReset),
        }
        let Some(upstream) = upstream.filter(|_| received.is_empty()) else {
            flow.control.readable(downstream).await.map_err(Stop::kind)?;
            continue;
        };
        if let Some(span) = patience.take() {
            wait_briefly(flow, downstream, span).await?;
        } else if flow.control.either_readable(upstream).await.map_err(Stop::kind)? == Leg::Upstream {
            return Ok(Received::Server(upstream));
        }
    }
}

/// Waits for the client alone, for `span` at most: in nearly all flows it speaks first, and a wait on the other leg
/// would be set up in vain.
async fn wait_briefly(flow: &Flow, downstream: &Socket, span: std::time::Duration) -> Result<(), FaultKind> {
    let deadline_ms = flow.control.deadline_ms();
    flow.control.set_deadline(span);
    let waited = flow.control.readable(downstream).await;
    flow.control.set_deadline_at(deadline_ms);
    match waited {
        Err(Stop::Deadline) if flow.control.now_ms() < deadline_ms => {
            flow.control.forgive_deadline();
            Ok(())
        }
        waited => waited.map_err(Stop::kind),
    }
}

/// Hands on what the server says while the client is silent.
async fn hand_on(flow: &Flow, upstream: &Socket) -> Result<(), Fault> {
    let mut words = vec![0; READ_BYTES];
    let count = match upstream.try_recv(&mut words) {
        Ok(0) => return Err(Fault::upstream(Phase::Sniff, FaultKind::Closed)),
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
        Err(_) => return Err(Fault::upstream(Phase::Sniff, FaultKind::ConnectionReset)),
    };
    flow.shard.cells.relay_bytes.add((Direction::Ingress, RelayPath::Copy), count as u64);
    flow.control.set_deadline(flow.shard.config.deadlines.idle);
    let mut rest = words.get(..count).unwrap_or_default();
    let fault = |kind| Fault::downstream(Phase::Sniff, kind);
    while !rest.is_empty() {
        match flow.control.downstream.try_send(rest) {
            Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                flow.control.writable(&flow.control.downstream).await.map_err(|stop| fault(stop.kind()))?;
            }
            Err(_) => return Err(fault(FaultKind::ConnectionReset)),
        }
    }
    Ok(())
}

/// Room for what a server says first.
const READ_BYTES: usize = 2048;
/// How long the client alone is waited for.
const CLIENT_FIRST: std::time::Duration = std::time::Duration::from_millis(500);
