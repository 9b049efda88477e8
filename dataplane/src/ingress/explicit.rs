//! The explicit proxy listener: reads a request, checks what it names, and answers `200`.

use penstock_core::bytes::Parsed;
use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::policy::{Reason, Verdict};
use penstock_core::proxy::{Authority, ProxyReject, ProxyRequest, RequestReader};

use crate::flow::{Flow, Refusal};

/// Reads the head of the next request; `None` when the client has left between two. What it sent behind the head stays in
/// `received`, to be delivered once; a request for plain HTTP stays there whole.
pub(crate) async fn read_request(
    flow: &Flow,
    received: &mut Vec<u8>,
    is_first: bool,
) -> Result<Option<ProxyRequest>, Refusal> {
    let deadlines = &flow.shard.config.deadlines;
    let mut begun = is_first || !received.is_empty();
    flow.control.set_deadline(if begun { deadlines.connect_head } else { deadlines.idle });
    let mut reader = RequestReader::new();
    loop {
        if !received.is_empty() {
            match reader.parse(received) {
                Parsed::Complete { value, consumed } => {
                    received.drain(..consumed);
                    return Ok(Some(value));
                }
                Parsed::Incomplete { .. } => {}
                Parsed::Reject(reject) => return Err(refuse(reject)),
            }
        }
        match flow.control.try_receive(received) {
            Ok(0) if !begun => return Ok(None),
            Ok(0) => return Err(Refusal::silent(FaultKind::Closed)),
            Ok(_) if !begun => {
                begun = true;
                flow.control.set_deadline(deadlines.connect_head);
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                match flow.control.readable(&flow.control.downstream).await {
                    Ok(()) => {}
                    // A connection that nobody used any more: no fault.
                    Err(_stopped) if !begun => return Ok(None),
                    Err(stop) => return Err(Refusal::silent(stop.kind())),
                }
            }
            Err(_) if !begun => return Ok(None),
            Err(_) => return Err(Refusal::silent(FaultKind::ConnectionReset)),
        }
    }
}

const fn refuse(reject: ProxyReject) -> Refusal {
    let kind = match reject {
        ProxyReject::Connect(_) => FaultKind::Malformed,
        ProxyReject::Plain(fault) => fault.fault().kind,
    };
    Refusal::request(reject.status(), reject.label(), kind)
}

/// Refuses what a CONNECT's own name or port already forbids.
pub(crate) fn refuse_by_authority(flow: &Flow, authority: &Authority) -> Option<Refusal> {
    let name = authority.host.name();
    let listed = name.is_some_and(|name| flow.shard.config.upstream.hosts.allows_port(name, authority.port));
    if !listed && let Some(reason) = flow.installed.snapshot.refuse_port(name, authority.port) {
        return Some(Refusal::by_policy(reason));
    }
    // Taken as the name that the client will ask for: a denial needs no tunnel.
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
    send(flow, ESTABLISHED).await
}

/// Writes an answer of the listener's own.
pub(crate) async fn send(flow: &Flow, answer: &[u8]) -> Result<(), Fault> {
    let mut rest = answer;
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
