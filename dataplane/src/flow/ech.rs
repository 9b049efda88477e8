//! Rejecting Encrypted ClientHello so that the client believes it and tries again in clear.
//!
//! A client that offered ECH and is answered under the outer name, without acceptance and without new keys, checks that
//! the certificate is good for that public name, ends the connection, and comes back without ECH (RFC 9849 sections
//! 6.1.6 and 6.1.7). Then its true name is read. Nobody may take ECH away without standing for the public name, so the
//! origin's own certificate is verified for it before a leaf is minted. Nothing is ever relayed on such a connection: a
//! client that goes on with requests, as one with GREASE would, finds it closed.

use penstock_core::flow::{Fault, FaultKind, Leg, Phase};
use penstock_core::policy::{Decision, Engines, Verdict};
use penstock_core::sni::Sni;
use penstock_core::tls::alert::Alert;

use super::close::Closed;
use super::inspect::{accept_tls, dial_tls, origin_of, read_offer, refuse};
use super::record::{Active, Flow};
use crate::ring::Socket;

/// Rejects the ECH of a flow whose outer name is a public one. `received` holds the ClientHello.
pub(super) async fn reject(flow: &Flow, decision: &Decision, upstream: &Socket, received: Vec<u8>) -> Closed {
    let _active = Active::enter(flow, Verdict::Deny);
    let closed = Closed::of(Verdict::Deny, decision.reason);
    let public_name = flow.learned.borrow().sni.clone();
    let Some(public_name) = public_name else {
        // Only a name can be public; the decision is never made without one.
        return closed.with_fault(Fault::downstream(Phase::Decide, FaultKind::Malformed));
    };
    match answer(flow, &public_name, decision.engines, upstream, received).await {
        // The client's alert that it has understood, or its end without a word.
        Ok(()) | Err(Fault { leg: Leg::Downstream, phase: Phase::Handshake, kind: FaultKind::EchRequired }) => closed,
        Err(fault) => closed.with_fault(fault),
    }
}

async fn answer(
    flow: &Flow,
    public_name: &Sni,
    engines: Engines,
    upstream: &Socket,
    received: Vec<u8>,
) -> Result<(), Fault> {
    let offer = match read_offer(&received) {
        Ok(offer) => offer,
        Err(alert) => {
            refuse(flow, alert).await;
            return Err(Fault::downstream(Phase::Handshake, FaultKind::Tls));
        }
    };
    let origin = origin_of(flow, public_name, offer, engines);
    let (upstream, answer) = match dial_tls(flow, &origin, upstream).await {
        Ok(dialled) => dialled,
        Err(fault) => {
            refuse(flow, Alert::HandshakeFailure).await;
            return Err(fault);
        }
    };
    // It has proven the public name, and nothing else is wanted of it.
    upstream.close(flow).await;
    let downstream = accept_tls(flow, &origin, &answer, received).await?;
    downstream.close(flow).await;
    super::deny::linger(flow).await;
    Ok(())
}
