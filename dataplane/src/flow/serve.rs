//! A flow from its first byte to its end.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;

use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::policy::{Decision, Mode, Reason, Verdict};
use penstock_core::proxy::{Authority, ConnectHead, Host, ProxyRequest};
use penstock_core::tls::RetryWatch;
use penstock_core::tls::alert::Alert;

use super::admit::{self, Admitted};
use super::close::Closed;
use super::deny::{self, Refusal};
use super::plain::{Next, Visit};
use super::record::Flow;
use super::sniff::{self, Sniffed};
use super::{close, dial, direct, ech, inspect, own, pass, pinned, plain};
use crate::config::{ProxyProtocol, Steering, TransparentListener};
use crate::ingress::{Entrance, explicit, proxy_protocol, transparent};
use crate::panics::{Panicked, caught};
use crate::relay::splice::Opening;
use crate::ring::Socket;
use crate::shard::Shed;

/// Serves one flow and records its end, exactly once, also when it panics.
pub(crate) async fn serve(flow: &Flow) {
    let ended = {
        let task = pin!(run(flow));
        caught(task).await
    };
    let closed = match ended {
        Ok(closed) => closed,
        Err(Panicked) => {
            flow.shard.wear.note(flow.shard.now_ms());
            flow.control.give_up().await;
            Closed::fault(Fault::downstream(Phase::Serve, FaultKind::Panic))
        }
    };
    close::close(flow, closed);
}

/// A flow that knows where to: dialled, and with `received` not judged yet or, where the name said where to, judged.
struct Opened {
    upstream: Rc<Socket>,
    received: Vec<u8>,
    decided: Option<Decided>,
}

/// One that knows how, too.
struct Judged {
    upstream: Rc<Socket>,
    received: Vec<u8>,
    decision: Decision,
    /// See [`Decided`].
    alert: Option<Alert>,
    hello_bytes: Option<usize>,
}

/// The steps are boxed one by one, and so is what one hands to the next: a flow takes the memory of the step that it is at.
/// Most wait at the last one for long.
async fn run(flow: &Flow) -> Closed {
    let opened = match &flow.entrance {
        _ if flow.shard.pressure.shed() >= Shed::Flows => Err(Box::pin(turn_away(flow, FaultKind::Memory)).await),
        Entrance::Explicit => Box::pin(open_explicit(flow)).await,
        Entrance::Transparent(listener) => Box::pin(open_transparent(flow, listener)).await,
    };
    let judged = match opened {
        Ok(opened) => Box::pin(judge(flow, opened)).await,
        Err(closed) => Err(closed),
    };
    match judged {
        Ok(judged) => go(flow, judged).await,
        Err(closed) => closed,
    }
}

/// Dials where the client wanted to go. A client that reaches nobody is told so as the network would tell it, by a reset.
async fn open_transparent(flow: &Flow, listener: &TransparentListener) -> Result<Box<Opened>, Closed> {
    let mut received = Vec::new();
    enter(flow, &listener.proxy_protocol, &mut received).await?;
    let destination = match listener.steering {
        Steering::Direct { port } => {
            let (upstream, decided) = Box::pin(direct::open(flow, listener.address, port, &mut received)).await?;
            return Ok(Box::new(Opened { upstream, received, decided: Some(decided) }));
        }
        Steering::Redirect => transparent::redirected(flow, listener.address),
        Steering::Tproxy => transparent::proxied(flow, listener.address),
    };
    let dialled = match destination {
        Ok(destination) => {
            let host = Host::Address(destination.ip());
            flow.learned.borrow_mut().authority = Some(Authority { host, port: destination.port() });
            dial::dial_address(flow, destination).await
        }
        Err(fault) => Err(fault),
    };
    match dialled {
        Ok(upstream) => Ok(Box::new(Opened { upstream, received, decided: None })),
        Err(fault) => {
            flow.control.downstream.reset_on_close();
            Err(Closed::fault(fault))
        }
    }
}

/// Reads the PROXY protocol header, where `setting` has one, and counts the flow as its client's.
async fn enter(flow: &Flow, setting: &ProxyProtocol, received: &mut Vec<u8>) -> Result<(), Closed> {
    let Some(ticket) = flow.ticket.take() else {
        return Err(Box::pin(turn_away(flow, FaultKind::TooMany)).await);
    };
    match proxy_protocol::read_header(flow, setting, received).await {
        Ok(true) => {}
        Ok(false) => return Err(UNUSED),
        Err(fault) => return Err(Closed::fault(fault)),
    }
    match ticket.charge(flow.source()) {
        Ok(ticket) => {
            flow.ticket.set(Some(ticket));
            Ok(())
        }
        Err(kind) => Err(Box::pin(turn_away(flow, kind)).await),
    }
}

/// Reads requests until one makes the connection a tunnel, or ends it.
async fn open_explicit(flow: &Flow) -> Result<Box<Opened>, Closed> {
    let mut received = Vec::new();
    enter(flow, &flow.shard.config.listen.proxy_protocol, &mut received).await?;
    let mut visit = None;
    let mut is_first = true;
    loop {
        let request = match explicit::read_request(flow, &mut received, is_first).await {
            Ok(Some(request)) => request,
            Ok(None) => return Err(visit.map_or(UNUSED, |visit: Visit<'_>| visit.closed())),
            Err(refusal) => {
                leave(flow, visit.take());
                return Err(Box::pin(deny::answer(flow, refusal)).await);
            }
        };
        is_first = false;
        match Box::pin(admit::admit(flow, &request, &mut received)).await {
            Admitted::Yes => {}
            Admitted::Asked => {
                leave(flow, visit.take());
                continue;
            }
            Admitted::No(closed) => {
                leave(flow, visit.take());
                return Err(closed);
            }
        }
        match request {
            ProxyRequest::Connect(request) => {
                leave(flow, visit.take());
                let upstream = Box::pin(open_tunnel(flow, request)).await?;
                return Ok(Box::new(Opened { upstream, received, decided: None }));
            }
            ProxyRequest::Own(request) => {
                leave(flow, visit.take());
                return Err(Box::pin(own::serve(flow, &request)).await);
            }
            ProxyRequest::Plain(request) => {
                if let Next::Closed(closed) = Box::pin(plain::serve(flow, request, &mut received, &mut visit)).await {
                    return Err(closed);
                }
            }
        }
    }
}

/// Refuses a connection over a limit of flows: a client that knows of the proxy is told so, as long as not too many are
/// being told, and any other is reset.
async fn turn_away(flow: &Flow, kind: FaultKind) -> Closed {
    let refusal = Refusal::overload(kind);
    match (&flow.entrance, flow.shard.quota.refuse()) {
        (Entrance::Explicit, Some(_refused)) => deny::answer(flow, refusal).await,
        (Entrance::Explicit | Entrance::Transparent(_), _) => {
            flow.control.downstream.reset_on_close();
            refusal.closed
        }
    }
}

/// Counts the origin that the connection was at.
fn leave(flow: &Flow, visit: Option<Visit<'_>>) {
    if let Some(visit) = visit {
        close::close(flow, visit.closed());
    }
}

/// Dials what the request names, and tells the client that the tunnel stands.
///
/// The upstream is dialled before the `200`, so that a client is told honestly when it cannot be reached; the request
/// names it. The ClientHello then decides, together with that name.
async fn open_tunnel(flow: &Flow, request: ConnectHead) -> Result<Rc<Socket>, Closed> {
    let authority = request.authority.clone();
    {
        let mut learned = flow.learned.borrow_mut();
        learned.decision = None;
        learned.destination = None;
        learned.authority = Some(request.authority);
        learned.agent = request.agent;
    }
    if let Some(refusal) = explicit::refuse_by_authority(flow, &authority) {
        return Err(deny::answer(flow, refusal).await);
    }
    let upstream = match dial::dial(flow, &authority).await {
        Ok(upstream) => upstream,
        Err(fault) => return Err(deny::answer(flow, Refusal::upstream(fault)).await),
    };
    explicit::accept_request(flow).await.map_err(Closed::fault)?;
    Ok(upstream)
}

/// Reads the ClientHello, where that is not done, and decides.
async fn judge(flow: &Flow, opened: Box<Opened>) -> Result<Box<Judged>, Closed> {
    let Opened { upstream, mut received, decided } = *opened;
    let decided = match decided {
        Some(decided) => decided,
        None => match Box::pin(sniff::sniff(flow, Some(&upstream), &mut received)).await {
            Ok(sniffed) => decide(flow, &sniffed),
            Err(fault) => return Err(Closed::fault(fault)),
        },
    };
    let Decided { decision, alert, hello_bytes } = decided;
    let decision = learn(flow, decision, &received);
    Ok(Box::new(Judged { upstream, received, decision, alert, hello_bytes }))
}

/// The way of the verdict.
#[expect(clippy::boxed_local, reason = "taken out by the caller, its memory would last as long as the flow")]
fn go(flow: &Flow, judged: Box<Judged>) -> Pin<Box<dyn Future<Output = Closed> + '_>> {
    let Judged { upstream, received, decision, alert, hello_bytes } = *judged;
    match decision.verdict {
        Verdict::Deny if decision.reason == Reason::EchRejected => {
            Box::pin(async move { ech::reject(flow, &decision, &upstream, received).await })
        }
        Verdict::Deny => Box::pin(async move {
            // The upstream leg stays until the client is told.
            let _upstream = upstream;
            deny::alert(flow, decision.reason, alert).await
        }),
        Verdict::Inspect => Box::pin(async move { inspect::inspect(flow, &decision, &upstream, received).await }),
        Verdict::Pass => {
            let opening = opening(flow, &decision, received, hello_bytes);
            Box::pin(pass::pass(flow, decision.reason, upstream, opening))
        }
    }
}

/// Keeps the decision and, where the flow is not simply passed, the client's fingerprint. A client that a bypass covers
/// passes after all.
pub(super) fn learn(flow: &Flow, decision: Decision, received: &[u8]) -> Decision {
    let ja4 = if decision.verdict == Verdict::Pass { None } else { sniff::fingerprint(received) };
    flow.learned.borrow_mut().ja4 = ja4;
    let decision =
        if decision.verdict == Verdict::Inspect && pinned::passes(flow) { decision.bypassed() } else { decision };
    flow.learned.borrow_mut().decision = Some(decision.clone());
    #[cfg(debug_assertions)]
    flow.shard.config.faults.strike_name(flow.learned.borrow().sni.as_ref());
    decision
}

/// What a passed flow begins with. Where policy is enforced, the name that was decided on may not change afterwards.
fn opening(flow: &Flow, decision: &Decision, received: Vec<u8>, hello_bytes: Option<usize>) -> Box<Opening> {
    Box::new(match hello_bytes {
        Some(hello_bytes) if decision.mode == Mode::Enforce => {
            let watch = Box::new(RetryWatch::new(flow.learned.borrow().sni.clone()));
            Opening { hello_bytes, received, watch: Some(watch) }
        }
        _ => Opening { hello_bytes: received.len(), received, watch: None },
    })
}

/// A decision on what was sniffed.
pub(super) struct Decided {
    pub(super) decision: Decision,
    /// What a client would understand should it be a denial.
    pub(super) alert: Option<Alert>,
    /// Where the ClientHello ends, if there is one that can be read.
    hello_bytes: Option<usize>,
}

pub(super) fn decide(flow: &Flow, sniffed: &Sniffed) -> Decided {
    let hello_bytes = match sniffed {
        Sniffed::Hello(hello) | Sniffed::HelloBehindServer(hello) => Some(hello.bytes),
        Sniffed::NotTls | Sniffed::Rejected(_) => None,
    };
    let (decision, alert) = match sniffed {
        Sniffed::Hello(hello) => {
            let decision = flow.decide_hello(hello);
            flow.learned.borrow_mut().sni.clone_from(&hello.sni);
            (decision, Some(Alert::AccessDenied))
        }
        Sniffed::HelloBehindServer(hello) => {
            let decision = flow.decide_hello(hello);
            flow.learned.borrow_mut().sni.clone_from(&hello.sni);
            if decision.verdict == Verdict::Inspect || decision.reason == Reason::EchRejected {
                (decision.unread(Reason::MalformedHello), Some(Alert::UnexpectedMessage))
            } else {
                (decision, Some(Alert::AccessDenied))
            }
        }
        Sniffed::Rejected(reject) => {
            flow.shard.cells.faults.add(Fault::downstream(Phase::Sniff, reject.fault_kind()), 1);
            (flow.decide(None, true).unread(Reason::MalformedHello), reject.alert())
        }
        Sniffed::NotTls => (flow.decide(None, false), None),
    };
    Decided { decision, alert, hello_bytes }
}

/// A connection on which nothing was asked for that counts.
const UNUSED: Closed = Closed::of(Verdict::Deny, Reason::Credentials);
