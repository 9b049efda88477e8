//! The explicit proxy listener: reads a CONNECT request, checks what it names, and answers `200`.

use penstock_core::bytes::Parsed;
use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::policy::{Reason, Verdict};
use penstock_core::proxy::{Authority, ConnectHead, ConnectReader, Host};

use crate::flow::{Flow, Refusal};

/// Reads the request's head. What the client sent behind it stays in `received`, to be delivered once.
pub(crate) async fn read_request(flow: &Flow, received: &mut Vec<u8>) -> Result<ConnectHead, Refusal> {
    flow.control.set_deadline(flow.shard.config.deadlines.connect_head);
    let mut reader = ConnectReader::new();
    loop {
        received.reserve(READ_BYTES);
        match flow.control.downstream.try_recv_spare(received) {
            Ok(0) => return Err(Refusal::silent(FaultKind::Closed)),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let waited = flow.control.readable(&flow.control.downstream).await;
                waited.map_err(|stop| Refusal::silent(stop.kind()))?;
                continue;
            }
            Err(_) => return Err(Refusal::silent(FaultKind::ConnectionReset)),
        }
        match reader.parse(received) {
            Parsed::Complete { value, consumed } => {
                received.drain(..consumed);
                return Ok(value);
            }
            Parsed::Incomplete { .. } => {}
            Parsed::Reject(reject) => {
                return Err(Refusal::request(reject.status(), reject.label(), FaultKind::Malformed));
            }
        }
    }
}

/// Refuses what the request's own name or port already forbids.
pub(crate) fn refuse_by_authority(flow: &Flow, authority: &Authority) -> Option<Refusal> {
    let ports = flow.installed.snapshot.connect_ports();
    let named = match &authority.host {
        Host::Name(name) => flow.shard.config.upstream.hosts.allows_port(name, authority.port),
        Host::Address(_) => false,
    };
    if !named && !ports.contains(&authority.port) {
        return Some(Refusal::by_policy(Reason::Port));
    }
    // Taken as the name that the client will ask for: a denial needs no tunnel.
    let name = match &authority.host {
        Host::Name(name) => Some(name),
        Host::Address(_) => None,
    };
    let decision = flow.decide(name, true);
    if decision.verdict != Verdict::Deny || (name.is_none() && decision.reason == Reason::NoSni) {
        return None;
    }
    let reason = decision.reason;
    flow.learned.borrow_mut().decision = Some(decision);
    Some(Refusal::by_policy(reason))
}

/// Tells the client that the tunnel stands.
pub(crate) async fn accept_request(flow: &Flow) -> Result<(), Fault> {
    let mut rest = ESTABLISHED;
    while !rest.is_empty() {
        match flow.control.downstream.try_send(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let waited = flow.control.writable(&flow.control.downstream).await;
                waited.map_err(|stop| Fault::downstream(Phase::Request, stop.kind()))?;
            }
            Err(_) => return Err(Fault::downstream(Phase::Request, FaultKind::ConnectionReset)),
        }
    }
    Ok(())
}

/// No `Content-Length` and no `Transfer-Encoding` (RFC 9110 section 9.3.6).
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
/// Room for one read: CONNECT heads are short, and a ClientHello may follow.
const READ_BYTES: usize = 2048;
