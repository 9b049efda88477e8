//! Inspect: the upstream's certificate is verified first, then a leaf is minted for that name, then requests are
//! edited between the two TLS connections.

use std::time::Instant;

use penstock_core::flow::{Fault, FaultKind, Leg, Phase};
use penstock_core::policy::{Decision, Engines, Verdict};
use penstock_core::sni::Sni;
use penstock_core::tls::ClientHelloReader;
use penstock_core::tls::alert::{self, Alert};

use super::close::Closed;
use super::pinned;
use super::record::{Active, Flow};
use super::requests::Requests;
use crate::audit::unix_now_ms;
use crate::metrics::Resumed;
use crate::relay::edit::EditRelay;
use crate::relay::exchange::Exchange;
use crate::relay::transport::Transport;
use crate::ring::Socket;
use crate::tls::{Alpn, LeafSource, Offer, VerifiedUpstream};

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
    let offer = match read_offer(&received) {
        Ok(offer) => offer,
        Err(alert) => {
            refuse(flow, alert).await;
            return Err(Fault::downstream(Phase::Handshake, FaultKind::Tls));
        }
    };
    let (upstream, verified) = match dial_tls(flow, sni, offer, decision.engines, upstream).await {
        Ok(verified) => verified,
        Err(fault) => {
            // The client speaks TLS and has had no answer yet: an alert says that it was not the network.
            refuse(flow, Alert::HandshakeFailure).await;
            return Err(fault);
        }
    };
    let choice = upstream.engine.borrow().alpn();
    let downstream = accept_tls(flow, sni, &verified, choice, decision.engines, received).await?;
    let port = flow.learned.borrow().authority.as_ref().map_or(HTTPS_PORT, |authority| authority.port);
    let exchange = Exchange::new(choice, decision.edit.clone(), sni.clone(), port);
    let requests = Requests::new(flow, decision, exchange.version());
    EditRelay::new(flow, downstream, upstream, exchange, requests).run().await
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

/// The upstream handshake: its certificate is checked for `sni` before anything is minted.
pub(super) async fn dial_tls<'a>(
    flow: &Flow,
    sni: &Sni,
    offer: Offer,
    engines: Engines,
    socket: &'a Socket,
) -> Result<(Transport<'a>, VerifiedUpstream), Fault> {
    let started = Instant::now();
    flow.control.set_deadline(flow.shard.config.deadlines.handshake);
    let handshake = |kind| Fault::upstream(Phase::Handshake, kind);
    let engine = flow.shard.tls.borrow_mut().upstream(sni, offer, engines).map_err(handshake)?;
    let transport = Transport::new(Leg::Upstream, socket, engine);
    transport.handshake(flow, &[]).await.map_err(|kind| Fault::upstream(phase_of(kind), kind))?;
    let verified =
        transport.engine.borrow().verified().ok_or(Fault::upstream(Phase::Verify, FaultKind::Certificate))?;
    count_handshake(flow, &transport, engines, started);
    Ok((transport, verified))
}

/// Mints the leaf and takes the client's handshake, in the protocol that the origin chose.
pub(super) async fn accept_tls<'a>(
    flow: &'a Flow,
    sni: &Sni,
    verified: &VerifiedUpstream,
    choice: Option<Alpn>,
    engines: Engines,
    received: Vec<u8>,
) -> Result<Transport<'a>, Fault> {
    let started = Instant::now();
    flow.control.set_deadline(flow.shard.config.deadlines.handshake);
    let now_unix = i64::try_from(unix_now_ms() / 1000).unwrap_or(i64::MAX);
    let engine = {
        let mut tls = flow.shard.tls.borrow_mut();
        let (leaf, source) = tls.leaf_for(sni, verified, now_unix)?;
        match source {
            LeafSource::Cached => flow.shard.cells.leaf_cache_hits.add((), 1),
            LeafSource::Minted => flow.shard.cells.leaf_minted.add((), 1),
        }
        tls.downstream(&leaf, choice, engines).map_err(|kind| Fault::downstream(Phase::Handshake, kind))?
    };
    let transport = Transport::new(Leg::Downstream, &flow.control.downstream, engine);
    transport.handshake(flow, &received).await.map_err(|kind| Fault::downstream(Phase::Handshake, kind))?;
    if transport.engine.borrow().alpn() != choice {
        // A second ClientHello may leave out what the first one offered (RFC 8446 section 4.1.2 forbids it).
        return Err(Fault::downstream(Phase::Handshake, FaultKind::Tls));
    }
    count_handshake(flow, &transport, engines, started);
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
