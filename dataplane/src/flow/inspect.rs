//! Inspect: the upstream's certificate is verified first, then a leaf is minted for that name, then requests are
//! edited between the two TLS connections. Where it is remembered what the origin chose and proved, `overlap` has both
//! handshakes run at once.

use std::time::Instant;

use penstock_core::flow::{Fault, FaultKind, Leg, Phase};
use penstock_core::policy::{Decision, Engines, Verdict};
use penstock_core::sni::Sni;
use penstock_core::tls::ClientHelloReader;
use penstock_core::tls::alert::{self, Alert};

use super::close::Closed;
use super::leaf;
use super::overlap;
use super::pinned;
use super::record::{Active, Flow};
use super::requests::Requests;
use crate::ingress::Entrance;
use crate::metrics::Resumed;
use crate::relay::edit::EditRelay;
use crate::relay::exchange::Exchange;
use crate::relay::transport::Transport;
use crate::ring::Socket;
use crate::shard::Shed;
use crate::tls::{Alpn, Answer, Offer, Origin};

/// Both legs, ready to be relayed between: the upstream was verified on this very connection.
pub(super) struct Legs<'a> {
    pub(super) downstream: Transport<'a>,
    pub(super) upstream: Transport<'a>,
    /// The protocol of both.
    pub(super) choice: Option<Alpn>,
}

/// Inspects a flow to its end. `received` holds the ClientHello.
pub(crate) async fn inspect(flow: &Flow, decision: &Decision, upstream: &Socket, received: Vec<u8>) -> Closed {
    let _active = Active::enter(flow, Verdict::Inspect);
    let closed = Closed::of(Verdict::Inspect, decision.reason);
    let sni = flow.learned.borrow().sni.clone();
    let Some(sni) = sni else {
        // Only a name can be inspected; the decision is never made without one.
        return closed.with_fault(Fault::downstream(Phase::Decide, FaultKind::Malformed));
    };
    match relay(flow, decision, &sni, upstream, received).await {
        Ok(()) => closed,
        Err(fault) => {
            pinned::handle_fault(flow, fault);
            closed.with_fault(fault)
        }
    }
}

async fn relay(flow: &Flow, decision: &Decision, sni: &Sni, upstream: &Socket, received: Vec<u8>) -> Result<(), Fault> {
    if flow.shard.pressure.shed() >= Shed::Inspected {
        refuse(flow, Alert::InternalError).await;
        return Err(Fault::downstream(Phase::Accept, FaultKind::Memory));
    }
    let offer = match read_offer(&received) {
        Ok(offer) => offer,
        Err(alert) => {
            refuse(flow, alert).await;
            return Err(Fault::downstream(Phase::Handshake, FaultKind::Tls));
        }
    };
    let origin = origin_of(flow, sni, offer, decision.engines);
    let remembered = flow.shard.tls.borrow_mut().origins().recall(&origin, flow.control.now_ms());
    let Legs { downstream, upstream, choice } = match remembered {
        Some(guess) => overlap::handshake(flow, &origin, guess, upstream, received).await?,
        None => origin_first(flow, &origin, upstream, received).await?,
    };
    learn_address(flow, sni);
    let exchange = Exchange::new(choice, decision.edit.clone(), sni.clone(), origin.port);
    let requests = Requests::new(flow, decision, exchange.version());
    EditRelay::new(flow, downstream, upstream, exchange, requests).run().await
}

/// The client waits for the origin, and is told by an alert when it fails.
async fn origin_first<'a>(
    flow: &'a Flow,
    origin: &Origin,
    upstream: &'a Socket,
    received: Vec<u8>,
) -> Result<Legs<'a>, Fault> {
    let _order = leaf::order_ahead(flow, &origin.name);
    let (upstream, answer) = match dial_tls(flow, origin, upstream).await {
        Ok(dialled) => dialled,
        Err(fault) => {
            // The client speaks TLS and has had no answer yet: an alert says that it was not the network.
            refuse(flow, Alert::HandshakeFailure).await;
            return Err(fault);
        }
    };
    flow.shard.tls.borrow_mut().origins().remember(origin, answer.clone(), flow.control.now_ms());
    let downstream = accept_tls(flow, origin, &answer, received).await?;
    Ok(Legs { downstream, upstream, choice: answer.choice })
}

/// What the flow meets, as far as the origin's choice may depend on it.
pub(super) fn origin_of(flow: &Flow, name: &Sni, offer: Offer, engines: Engines) -> Origin {
    let learned = flow.learned.borrow();
    let address = learned.destination.as_ref().map(|destination| destination.address);
    let port = learned.authority.as_ref().map_or(HTTPS_PORT, |authority| authority.port);
    Origin { name: name.clone(), address, port, offer, engines }
}

/// Remembers that the host, which has just proven its name, has the address that the client chose: the client's DNS may
/// know addresses that ours does not.
fn learn_address(flow: &Flow, sni: &Sni) {
    let address = flow.learned.borrow().destination.as_ref().map(|destination| destination.address);
    if let (Entrance::Transparent(_), Some(address)) = (&flow.entrance, address) {
        flow.shard.addresses.learn(sni, &[address], Instant::now());
    }
}

pub(super) async fn refuse(flow: &Flow, why: Alert) {
    super::deny::say(flow, &alert::record(why)).await;
}

/// What the ClientHello offers, or the alert that says why nothing in it will do. Said before the origin is asked for
/// anything: nothing is ever downgraded for an old client. The downstream engine would refuse too, but only afterwards
/// and with whichever alert it comes to first.
pub(super) fn read_offer(received: &[u8]) -> Result<Offer, Alert> {
    let mut reader = ClientHelloReader::new();
    let hello = reader.handle_bytes(received).complete().ok_or(Alert::InternalError)?;
    if hello.version_max() < TLS_1_2 {
        return Err(Alert::ProtocolVersion);
    }
    Offer::of(hello.alpn()).ok_or(Alert::NoApplicationProtocol)
}

/// The upstream handshake: its certificate is checked for the origin's name before anything goes on.
pub(super) async fn dial_tls<'a>(
    flow: &Flow,
    origin: &Origin,
    socket: &'a Socket,
) -> Result<(Transport<'a>, Answer), Fault> {
    let started = Instant::now();
    flow.control.set_deadline(flow.shard.config.deadlines.handshake);
    let handshake = |kind| Fault::upstream(Phase::Handshake, kind);
    let engine = flow.shard.tls.borrow_mut().upstream(&origin.name, origin.offer, origin.engines).map_err(handshake)?;
    let transport = Transport::new(Leg::Upstream, socket, engine);
    transport.handshake(flow, &[]).await.map_err(|kind| Fault::upstream(phase_of(kind), kind))?;
    let verified =
        transport.engine.borrow().verified().ok_or(Fault::upstream(Phase::Verify, FaultKind::Certificate))?;
    count_handshake(flow, &transport, origin.engines, started);
    let choice = transport.engine.borrow().alpn();
    Ok((transport, Answer { choice, verified }))
}

/// Waits for the leaf and takes the client's handshake, as `answer` says: in the protocol that the origin chose.
pub(super) async fn accept_tls<'a>(
    flow: &'a Flow,
    origin: &Origin,
    answer: &Answer,
    received: Vec<u8>,
) -> Result<Transport<'a>, Fault> {
    let started = Instant::now();
    flow.control.set_deadline(flow.shard.config.deadlines.handshake);
    let leaf = leaf::leaf_for(flow, &origin.name, &answer.verified).await?;
    let engine = flow.shard.tls.borrow().downstream(&leaf, answer.choice, origin.engines);
    let engine = engine.map_err(|kind| Fault::downstream(Phase::Handshake, kind))?;
    let transport = Transport::new(Leg::Downstream, &flow.control.downstream, engine);
    transport.handshake(flow, &received).await.map_err(|kind| Fault::downstream(Phase::Handshake, kind))?;
    if transport.engine.borrow().alpn() != answer.choice {
        // A second ClientHello may leave out what the first one offered (RFC 8446 section 4.1.2 forbids it).
        return Err(Fault::downstream(Phase::Handshake, FaultKind::Tls));
    }
    count_handshake(flow, &transport, origin.engines, started);
    Ok(transport)
}

fn count_handshake(flow: &Flow, transport: &Transport<'_>, engines: Engines, started: Instant) {
    let cells = &flow.shard.cells;
    let resumed = Resumed::from(transport.engine.borrow().is_resumed());
    cells.handshakes.add((transport.leg, engines.of(transport.leg), resumed), 1);
    cells.handshake_seconds.observe((transport.leg,), started.elapsed().as_secs_f64());
}

/// RFC 5246 section 6.2.1.
const TLS_1_2: u16 = 0x0303;
/// The port of an inspected flow that came without a request naming one.
const HTTPS_PORT: u16 = 443;

const fn phase_of(kind: FaultKind) -> Phase {
    match kind {
        FaultKind::Certificate
        | FaultKind::CertificateName
        | FaultKind::CertificateTime
        | FaultKind::CertificateUnknown
        | FaultKind::ClientCertificate => Phase::Verify,
        _ => Phase::Handshake,
    }
}
