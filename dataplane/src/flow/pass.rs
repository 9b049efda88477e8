//! Pass: what was read is replayed, then the kernel joins the two sockets.

use penstock_core::flow::{Fault, Phase};
use penstock_core::policy::{Decision, Verdict};

use super::close::Closed;
use super::record::{Active, Flow};
use crate::relay;
use crate::ring::Socket;

/// Forwards `received` and relays until both directions have ended.
pub(crate) async fn pass(flow: &Flow, decision: &Decision, upstream: &Socket, received: Vec<u8>) -> Closed {
    let _active = Active::enter(flow, Verdict::Pass);
    let closed = Closed::of(Verdict::Pass, decision.reason);
    match relay::splice::relay(flow, upstream, received).await {
        Ok(()) => closed,
        Err((leg, kind)) => closed.with_fault(Fault { leg, phase: Phase::Relay, kind }),
    }
}
