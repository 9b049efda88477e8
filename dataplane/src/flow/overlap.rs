//! Both handshakes of an inspected flow at once, when it is remembered what the origin chose the last time.
//!
//! ```text
//!                 downstream                        upstream
//! ClientHello ──▶ leaf and protocol of last time    ClientHello ──▶
//!             ◀── ServerHello .. Finished                       ◀── ServerHello .. Finished: verified here and now
//!    Finished ──▶ whatever follows waits unread     same protocol? ──▶ the relay begins
//! ```
//!
//! What the origin proves in this flow alone lets anything through. It may show another certificate than the last time, as
//! long as that is verified too. When it chooses another protocol, or fails, the client is told to come back, and the
//! flow that it comes back with waits for the origin. The client has its 200 and its ServerHello by then, so an origin that
//! fails can no longer be told by an alert: over HTTP/1.1 it is a 502, over HTTP/2 the client is turned away and hears the
//! alert when it comes back.

use std::cell::Cell;
use std::time::Duration;

use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::http2::TurnAway;
use penstock_core::{limits, proxy};

use super::control::Stop;
use super::deny::{self, Refusal};
use super::inspect::{Legs, accept_tls, dial_tls};
use super::record::Flow;
use crate::metrics::Overlap;
use crate::relay::transport::Transport;
use crate::ring::Socket;
use crate::tls::{Alpn, Answer, Origin, PlainRead};

/// Shakes hands with both sides, the client by `guess`. `received` holds the ClientHello.
pub(super) async fn handshake<'a>(
    flow: &'a Flow,
    origin: &Origin,
    guess: Answer,
    upstream: &'a Socket,
    received: Vec<u8>,
) -> Result<Legs<'a>, Fault> {
    let is_answered = Cell::new(false);
    let accept = async {
        let accepted = accept_tls(flow, origin, &guess, received).await;
        if accepted.is_err() && !is_answered.get() {
            // Nobody is left to ask for. A stop that was ordered before stays what it was.
            flow.control.stop(Stop::Aborted);
        }
        accepted
    };
    let dial = async {
        let dialled = dial_tls(flow, origin, upstream).await;
        is_answered.set(true);
        dialled
    };
    let (downstream, upstream) = tokio::join!(accept, dial);
    let was_left = flow.control.check() == Err(Stop::Aborted);
    learn(flow, origin, &guess, upstream.as_ref().ok().map(|(_, found)| found), was_left);
    let outcome = |outcome| flow.shard.cells.handshake_overlaps.add((outcome,), 1);
    match (downstream, upstream) {
        (Ok(downstream), Ok((upstream, found))) if found.choice == guess.choice => {
            outcome(Overlap::Confirmed);
            Ok(Legs { downstream, upstream, choice: found.choice })
        }
        (Ok(downstream), Ok((upstream, _))) => {
            outcome(Overlap::Refuted);
            turn_away(flow, &downstream, guess.choice, None).await;
            upstream.close(flow).await;
            Err(Fault::upstream(Phase::Handshake, FaultKind::AlpnChanged))
        }
        (Ok(downstream), Err(fault)) => {
            outcome(Overlap::Upstream);
            turn_away(flow, &downstream, guess.choice, Some(fault)).await;
            Err(fault)
        }
        (Err(_), Err(fault)) if !was_left => {
            outcome(Overlap::Upstream);
            Err(fault)
        }
        (Err(fault), _) => {
            outcome(Overlap::Downstream);
            Err(fault)
        }
    }
}

/// Remembers what the origin did now, or distrusts it when that is not what was remembered.
fn learn(flow: &Flow, origin: &Origin, guess: &Answer, found: Option<&Answer>, was_left: bool) {
    let (mut tls, now_ms) = (flow.shard.tls.borrow_mut(), flow.control.now_ms());
    match found {
        Some(found) if found.choice == guess.choice => tls.origins().remember(origin, found.clone(), now_ms),
        // Nothing was learned: the client left before the origin had answered.
        None if was_left => {}
        Some(_) | None => tls.origins().distrust(origin, now_ms),
    }
}

/// Ends the client's connection, none of whose requests went on, in the way that makes clients ask again by themselves:
/// GOAWAY over HTTP/2, and over HTTP/1.1 an end without an answer (RFC 9110 section 9.2.2). But HTTP/1.1 has an honest
/// answer for a `fault` of the origin. Answers wait for a question: many clients are lost when they come before.
async fn turn_away(flow: &Flow, downstream: &Transport<'_>, spoken: Option<Alpn>, fault: Option<Fault>) {
    renew_deadline(flow);
    match (spoken, fault) {
        (Some(Alpn::Http2), _) => {
            downstream.encrypt(&[&TurnAway::greeting()]);
            let mut reader = TurnAway::default();
            let _ = hear(flow, downstream, |bytes| reader.handle_bytes(bytes)).await;
            downstream.encrypt(&[&TurnAway::farewell()]);
        }
        (Some(Alpn::Http11) | None, Some(fault)) => {
            let _ = hear(flow, downstream, |_| true).await;
            let refusal = Refusal::upstream(fault);
            let answer = proxy::response(refusal.status, refusal.reason, &flow.control.id.to_string());
            downstream.encrypt(&[&answer]);
        }
        (Some(Alpn::Http11) | None, None) => {}
    }
    renew_deadline(flow);
    downstream.close(flow).await;
    deny::linger(flow).await;
}

/// Reads and drops what the client sends until `is_enough`, until it ends, or for as long as the deadline and the bound on
/// what a leg may hold allow.
async fn hear(
    flow: &Flow,
    downstream: &Transport<'_>,
    mut is_enough: impl FnMut(&[u8]) -> bool,
) -> Result<(), FaultKind> {
    downstream.finish(flow).await?;
    let mut heard_bytes = 0;
    while heard_bytes < limits::INSPECT_BUFFER_BYTES_MAX {
        let (read, was_enough) = {
            let mut scratch = flow.shard.scratch.borrow_mut();
            let read = downstream.engine.borrow_mut().read_plain(&mut scratch);
            let count = if let PlainRead::Bytes(count) = read { count } else { 0 };
            heard_bytes += count;
            (read, count > 0 && is_enough(scratch.get(..count).unwrap_or_default()))
        };
        match read {
            PlainRead::Bytes(_) if was_enough => break,
            PlainRead::Bytes(_) => {}
            PlainRead::Closed | PlainRead::Truncated => break,
            PlainRead::WouldBlock => {
                while !downstream.receive()? {
                    flow.control.readable(downstream.socket).await.map_err(Stop::kind)?;
                }
                downstream.process(flow).await?;
            }
        }
    }
    Ok(())
}

/// The deadline before was the origin's.
fn renew_deadline(flow: &Flow) {
    flow.control.forgive_deadline();
    flow.control.set_deadline(FAREWELL);
}

/// How long a client is given to ask, and then to take what it is told.
const FAREWELL: Duration = Duration::from_secs(2);
