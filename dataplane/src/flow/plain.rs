//! Requests for plain HTTP: each is decided by its own host, and dialled for when the one before went elsewhere.
//!
//! A connection of the client is at one origin at a time. The next request is not looked at before the answer to the one
//! before has ended, so nothing is ever in flight to two origins, and a new origin means a new connection.

use std::rc::Rc;
use std::sync::Arc;

use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::http1::Exchange;
use penstock_core::policy::{Decision, Reason, Verdict};
use penstock_core::proxy::{Authority, PlainHead};
use penstock_core::sni::Sni;

use super::close::{self, Closed};
use super::deny::{self, Refusal};
use super::dial;
use super::parent;
use super::record::{Active, Flow};
use super::requests::Requests;
use crate::auth::Who;
use crate::metrics::Http;
use crate::relay::plain::{Left, PlainRelay};
use crate::ring::Socket;

/// The origin that the connection is at.
pub(super) struct Visit<'a> {
    authority: Authority,
    who: Option<Arc<Who>>,
    decision: Decision,
    /// Gone when the origin has closed it, or might.
    socket: Option<Rc<Socket>>,
    _active: Active<'a>,
}

/// What follows a request.
pub(super) enum Next {
    Closed(Closed),
    Request,
}

impl Visit<'_> {
    /// How the visit counts when nothing went wrong.
    pub(super) const fn closed(&self) -> Closed {
        Closed::of(self.decision.verdict, self.decision.reason)
    }

    /// Whether the connection to the origin still stands and is silent.
    fn is_open(&self) -> bool {
        let silent = |socket: &Rc<Socket>| matches!(socket.try_recv(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
        self.socket.as_ref().is_some_and(silent)
    }
}

/// Serves the request that `received` begins with.
pub(super) async fn serve<'a>(
    flow: &'a Flow,
    head: PlainHead,
    received: &mut Vec<u8>,
    visit: &mut Option<Visit<'a>>,
) -> Next {
    let who = flow.learned.borrow().who.clone();
    let stays = visit.as_ref().is_some_and(|visit| visit.authority == head.authority && visit.who == who);
    if !stays && let Some(left) = visit.take() {
        close::close(flow, left.closed());
    }
    {
        let mut learned = flow.learned.borrow_mut();
        learned.authority = Some(head.authority.clone());
        learned.agent = head.agent;
    }
    let decision = match decide(flow, &head.authority) {
        Ok(decision) => decision,
        Err(refusal) => return Next::Closed(deny::answer(flow, refusal).await),
    };
    let socket = match visit.as_ref().filter(|visit| visit.is_open()).and_then(|visit| visit.socket.clone()) {
        Some(socket) => socket,
        None => match reach(flow, &head.authority).await {
            Ok(socket) => socket,
            Err(fault) => return Next::Closed(deny::answer(flow, Refusal::upstream(fault)).await),
        },
    };
    let visit = match visit {
        Some(visit) => visit,
        None => visit.insert(Visit {
            authority: head.authority,
            who,
            _active: Active::enter(flow, decision.verdict),
            decision,
            socket: None,
        }),
    };
    visit.socket = Some(socket);
    forward(flow, received, visit).await
}

/// Connects to the origin, or to the parent proxy that takes the request for it.
async fn reach(flow: &Flow, authority: &Authority) -> Result<Rc<Socket>, Fault> {
    match parent::parent_of(flow, authority) {
        Some(parent) => parent::reach(flow, parent, authority).await,
        None => dial::dial(flow, authority).await,
    }
}

/// The port and the host, by policy.
fn decide(flow: &Flow, authority: &Authority) -> Result<Decision, Refusal> {
    let snapshot = &flow.installed.snapshot;
    let listed = |name: &Sni| flow.shard.config.upstream.hosts.allows_port(name, authority.port);
    if !snapshot.opens_plain_port(authority.port) && !authority.host.name().is_some_and(listed) {
        return Err(Refusal::by_policy(Reason::Port));
    }
    let decision = flow.decide_plain();
    flow.learned.borrow_mut().decision = Some(decision.clone());
    if decision.verdict == Verdict::Deny { Err(Refusal::by_policy(decision.reason)) } else { Ok(decision) }
}

async fn forward(flow: &Flow, received: &mut Vec<u8>, visit: &mut Visit<'_>) -> Next {
    let closed = visit.closed();
    let Some(socket) = visit.socket.take() else {
        let fault = Fault::upstream(Phase::Dial, FaultKind::Closed);
        return Next::Closed(closed.with_fault(fault));
    };
    let is_inspected = visit.decision.verdict == Verdict::Inspect;
    let edit = if is_inspected { &visit.decision.edit } else { flow.installed.snapshot.no_edit() };
    let mut exchange = Exchange::plain(edit.clone(), visit.authority.clone());
    if let Some(parent) = parent::parent_of(flow, &visit.authority) {
        exchange = exchange.through(Arc::clone(&parent.authorization));
    }
    let requests = is_inspected.then(|| Requests::new(flow, &visit.decision, Http::One));
    match PlainRelay::new(flow, &socket, exchange, requests).run(received).await {
        Ok(Left::Both) => {
            visit.socket = Some(socket);
            Next::Request
        }
        Ok(Left::Downstream) => Next::Request,
        Ok(Left::Nothing) => {
            flow.control.downstream.shutdown_write();
            deny::linger(flow).await;
            Next::Closed(closed)
        }
        Err(fault) => Next::Closed(closed.with_fault(fault)),
    }
}
