//! Pass: what was read is replayed, then the kernel joins the two sockets.

use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::policy::{Decision, Reason, Verdict};
use penstock_core::tls::alert::Alert;

use super::close::Closed;
use super::deny;
use super::record::{Active, Flow};
use crate::relay::splice::{self, Opening};
use crate::ring::Socket;

/// Forwards what the flow opened with and relays until both directions have ended.
pub(crate) async fn pass(flow: &Flow, decision: &Decision, upstream: &Socket, opening: Box<Opening>) -> Closed {
    let _active = Active::enter(flow, Verdict::Pass);
    let closed = Closed::of(Verdict::Pass, decision.reason);
    match splice::relay(flow, upstream, opening).await {
        Ok(()) => closed,
        Err((_, FaultKind::NameChanged)) => {
            let closed = deny::alert(flow, decision, Some(Alert::IllegalParameter)).await;
            Closed { reason: Reason::NameChanged, ..closed }
        }
        Err((leg, kind)) => closed.with_fault(Fault { leg, phase: Phase::Relay, kind }),
    }
}
