//! Deny, and every refusal before the tunnel stands: a short honest answer, or a TLS alert.

use std::time::Duration;

use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::limits;
use penstock_core::policy::{Reason, Verdict};
use penstock_core::proxy;
use penstock_core::tls::alert::{self, Alert};

use super::close::Closed;
use super::record::Flow;

/// An answer to the proxy request that is not `200`.
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    pub(crate) closed: Closed,
}

impl Refusal {
    /// By policy, before anything was dialled.
    pub(crate) const fn by_policy(reason: Reason) -> Self {
        Self { status: 403, reason: reason.label(), closed: Closed::of(Verdict::Deny, reason) }
    }

    /// Too many wrong passwords came from the source.
    pub(crate) const fn credentials() -> Self {
        let reason = Reason::Credentials;
        Self { status: 429, reason: reason.label(), closed: Closed::of(Verdict::Deny, reason) }
    }

    /// The upstream cannot be reached.
    pub(crate) const fn upstream(fault: Fault) -> Self {
        let status = match fault.kind {
            FaultKind::AddressForbidden => 403,
            FaultKind::Deadline => 504,
            _ => 502,
        };
        Self { status, reason: fault.kind.label(), closed: Closed::fault(fault) }
    }

    /// A limit of flows is reached.
    pub(crate) const fn overload(kind: FaultKind) -> Self {
        let closed = Closed::fault(Fault::downstream(Phase::Accept, kind));
        Self { status: 503, reason: kind.label(), closed }
    }

    /// The client left, or was too slow: nobody reads an answer.
    pub(crate) const fn silent(kind: FaultKind) -> Self {
        Self::request(0, "", kind)
    }

    /// The client's request is at fault.
    pub(crate) const fn request(status: u16, reason: &'static str, kind: FaultKind) -> Self {
        Self { status, reason, closed: Closed::fault(Fault::downstream(Phase::Request, kind)) }
    }
}

/// Answers the proxy request with the refusal, and lets the client read it before the connection closes.
pub(crate) async fn answer(flow: &Flow, refusal: Refusal) -> Closed {
    if refusal.status != 0 {
        let flow_name = flow.control.id.to_string();
        let answer = proxy::response(refusal.status, refusal.reason, &flow_name);
        say(flow, &answer).await;
    }
    refusal.closed
}

/// Sends the alert for a denial, when the client speaks TLS.
pub(crate) async fn alert(flow: &Flow, reason: Reason, alert: Option<Alert>) -> Closed {
    if let Some(alert) = alert {
        say(flow, &alert::record(alert)).await;
    }
    Closed::of(Verdict::Deny, reason)
}

/// Last words to the client: all of them, then the end, then time to read them.
pub(super) async fn say(flow: &Flow, mut words: &[u8]) {
    flow.control.forgive_deadline();
    flow.control.set_deadline(LINGER);
    let downstream = &*flow.control.downstream;
    while !words.is_empty() {
        match downstream.try_send(words) {
            Ok(count) => words = words.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if flow.control.writable(downstream).await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
    downstream.shutdown_write();
    linger(flow).await;
}

/// Reads and drops what the client still sends, for a short while: closing on unread bytes would send a reset that
/// may overtake the answer.
pub(crate) async fn linger(flow: &Flow) {
    flow.control.forgive_deadline();
    flow.control.set_deadline(LINGER);
    let downstream = &*flow.control.downstream;
    let mut dropped_bytes = 0;
    while dropped_bytes < limits::CONNECT_HEAD_BYTES_MAX * 4 {
        let received = downstream.try_recv(&mut flow.shard.scratch.borrow_mut());
        match received {
            Ok(0) => return,
            Ok(count) => dropped_bytes += count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if flow.control.readable(downstream).await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

const LINGER: Duration = Duration::from_secs(2);
