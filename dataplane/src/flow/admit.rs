//! Whether a request may go on: a listener with users wants to know who asks, each time.

use std::sync::Arc;

use penstock_core::flow::FaultKind;
use penstock_core::policy::{Reason, Verdict};
use penstock_core::proxy::{self, Authority, Credentials, ProxyRequest};

use super::close::Closed;
use super::deny::{self, Refusal};
use super::record::Flow;
use crate::auth::{Gate, Proof};
use crate::ingress::explicit;

/// What becomes of a request.
pub(super) enum Admitted {
    /// The client was asked for credentials, and may repeat the request on this connection.
    Asked,
    /// The connection is over.
    No(Closed),
    Yes,
}

/// Lets a request pass whose user is known, or asks who it is. A request that is refused is taken out of `received`.
pub(super) async fn admit(flow: &Flow, request: &ProxyRequest, received: &mut Vec<u8>) -> Admitted {
    let Some(gate) = &flow.shard.gate else { return Admitted::Yes };
    let (credentials, authority, is_last, bytes) = match request {
        ProxyRequest::Connect(head) => (&head.credentials, &head.authority, head.is_last, 0),
        ProxyRequest::Plain(head) => (&head.credentials, &head.authority, head.is_last, head.bytes),
        ProxyRequest::Own(_) => return Admitted::Yes,
    };
    let proof = prove(flow, gate, credentials).await;
    note(flow, &proof, credentials, authority);
    match proof {
        Proof::Right(_) => Admitted::Yes,
        Proof::Busy => Admitted::No(deny::answer(flow, Refusal::request(503, "too_many", FaultKind::TooMany)).await),
        Proof::TooMany => Admitted::No(deny::answer(flow, Refusal::credentials()).await),
        Proof::Wrong => {
            received.drain(..bytes.min(received.len()));
            ask(flow, is_last).await
        }
    }
}

/// Keeps what was learned for the decision and the audit.
fn note(flow: &Flow, proof: &Proof, credentials: &Credentials, authority: &Authority) {
    let mut learned = flow.learned.borrow_mut();
    learned.presented |= *credentials != Credentials::Absent;
    if let Proof::Right(who) = proof {
        learned.who = Some(Arc::clone(who));
    } else {
        learned.who = None;
        learned.decision = None;
        learned.authority = Some(authority.clone());
    }
}

async fn prove(flow: &Flow, gate: &Gate, credentials: &Credentials) -> Proof {
    match credentials {
        Credentials::Absent | Credentials::Unreadable => Proof::Wrong,
        Credentials::Basic(basic) => gate.verify(flow.source(), basic).await,
    }
}

async fn ask(flow: &Flow, is_last: bool) -> Admitted {
    let realm = flow.shard.config.auth.as_ref().map_or("", |auth| auth.realm.as_str());
    let answer = proxy::challenge(realm, &flow.control.id.to_string(), is_last);
    match explicit::send(flow, &answer).await {
        Ok(()) if !is_last => Admitted::Asked,
        Ok(()) => {
            flow.control.downstream.shutdown_write();
            deny::linger(flow).await;
            Admitted::No(Closed::of(Verdict::Deny, Reason::Credentials))
        }
        Err(fault) => Admitted::No(Closed::fault(fault)),
    }
}
