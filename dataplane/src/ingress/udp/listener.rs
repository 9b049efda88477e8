//! Taking datagrams, and sending them on or answering.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use penstock_core::flow::{Direction, Fault, FaultKind, Phase, RelayPath};
use penstock_core::limits;
use penstock_core::policy::Snapshot;
use penstock_core::quic::{DatagramOutcome, Opening, QuicReject, connection_close, version_negotiation};

use super::cipher::Cipher;
use super::flows::{Ends, State, UdpFlow};
use super::judge::{self, Judgement};
use super::turn::Turn;
use crate::config::{Config, Quic, QuicRefusal};
use crate::ingress::listen::listen;
use crate::notify::Notifier;
use crate::ring::{DatagramListener, DatagramSender, Heirloom as _, Inherited, Received};
use crate::shard::Shard;

/// Listens on all that the configuration names, on sockets of the process before where there are any. All datagrams of a flow
/// come to one socket, so each has one shard: a shard without one reads none.
pub(crate) fn bind(
    config: &Config,
    inherited: &mut Inherited,
    manager: &Notifier,
) -> anyhow::Result<Vec<Vec<(DatagramListener, Turn)>>> {
    let shards = usize::from(config.shards.get());
    let mut per_shard: Vec<Vec<(DatagramListener, Turn)>> = (0..shards).map(|_| Vec::new()).collect();
    let Some(quic) = &config.quic else { return Ok(per_shard) };
    check_rights(quic)?;
    let turn = Turn::of(&config.state_directory)?;
    for wanted in &quic.listen {
        let sockets = listen(inherited, manager, &mut wanted.clone(), shards, DatagramListener::bind)
            .with_context(|| format!("cannot listen on {wanted} (QUIC)"))?;
        for (listeners, socket) in (0..shards).cycle().zip(sockets) {
            per_shard[listeners].push((socket, turn.clone()));
        }
    }
    Ok(per_shard)
}

/// Tries what every flow will need: a right that is missing is told at the start.
fn check_rights(quic: &Quic) -> anyhow::Result<()> {
    // An address of documentation (RFC 5737): nothing is sent.
    let foreign = |port| SocketAddr::from(([192, 0, 2, 1], port));
    DatagramSender::bind(foreign(0), Some(quic.mark)).context("`[quic]` needs CAP_NET_ADMIN")?;
    if quic.refuse == QuicRefusal::Close {
        DatagramSender::bind(foreign(443), None).context("`quic.refuse = \"close\"` needs CAP_NET_BIND_SERVICE")?;
    }
    Ok(())
}

/// Forgets flows that are over.
pub(crate) fn reap(shard: &Shard) {
    let mut flows = shard.udp.borrow_mut();
    let unread = flows.reap(shard.now_ms());
    shard.cells.udp_flows.set((), flows.len() as u64);
    drop(flows);
    if unread > 0 {
        shard.cells.faults.add(Fault::downstream(Phase::Sniff, FaultKind::Deadline), unread);
    }
}

/// Gives the hellos of which the beginning was read a moment to be read to their end: the next process does not have it. Then
/// nothing more is read.
pub(crate) async fn end(shard: &Shard, listeners: &[(Rc<DatagramListener>, Turn)]) {
    let until_ms = shard.now_ms() + limits::UDP_FAREWELL_MS;
    let is_done = || shard.udp.borrow().are_decided() || shard.now_ms() >= until_ms;
    while !listeners.is_empty() && !is_done() {
        tokio::time::sleep(PAUSE).await;
    }
    shard.udp.borrow_mut().close();
    listeners.iter().for_each(|(listener, _)| listener.cancel());
}

/// Serves a listener once it is this process's turn, until [`end`].
pub(crate) async fn serve(shard: Rc<Shard>, listener: Rc<DatagramListener>, turn: Turn) {
    let patience_ms = shard.now_ms() + limits::UDP_TURN_PATIENCE_MS;
    while !turn.is_taken() && shard.now_ms() < patience_ms {
        tokio::time::sleep(PAUSE).await;
    }
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let own_port = listener.local_address().map_or(0, |address| address.port());
    while !shard.udp.borrow().is_closed() && listener.readable().await.is_ok() {
        // Others on this thread get their turn after a batch. What came with the end is the next process's.
        for _ in 0..if shard.udp.borrow().is_closed() { 0 } else { RECEIVES_MAX } {
            match listener.try_recv(&mut buffer) {
                Ok(received) => {
                    let datagram = buffer.get(..received.bytes).unwrap_or_default();
                    let outcome = handle(&shard, own_port, received, datagram);
                    shard.cells.udp_datagrams.add((outcome,), 1);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => shard.cells.faults.add(Fault::downstream(Phase::Accept, FaultKind::Resource), 1),
            }
        }
    }
}

fn handle(shard: &Shard, own_port: u16, received: Received, datagram: &[u8]) -> DatagramOutcome {
    let (Some(quic), Some(installed)) = (&shard.config.quic, shard.installed()) else {
        return DatagramOutcome::Dropped;
    };
    let ends = Ends { source: received.source, destination: received.destination };
    // Sent to the listener itself: sent on, it would come back here.
    if ends.destination.port() == own_port {
        return DatagramOutcome::Dropped;
    }
    let (snapshot, now_ms) = (&installed.snapshot, shard.now_ms());
    let mut flows = shard.udp.borrow_mut();
    let flow = match flows.enter(ends, quic.flows_per_second_and_source, now_ms) {
        Ok(flow) => flow,
        Err(kind) => {
            shard.cells.faults.add(Fault::downstream(Phase::Accept, kind), 1);
            return DatagramOutcome::Dropped;
        }
    };
    let has_passed = received.mark == quic.mark.get();
    let was_waiting = flow.state == State::Waiting;
    let outcome = advance(&Step { shard, quic, snapshot, ends, has_passed }, flow, datagram);
    flow.touch(now_ms);
    let answer = if outcome == DatagramOutcome::Answered { flow.answer() } else { None };
    if was_waiting && flow.state != State::Waiting {
        flows.note_decided(ends);
    }
    if outcome != DatagramOutcome::Answered {
        return outcome;
    }
    let Some(answer) = answer.filter(|_| flows.may_answer(now_ms)) else {
        return DatagramOutcome::Dropped;
    };
    let sent = DatagramSender::bind(ends.destination, None).and_then(|sender| sender.try_send(&answer, ends.source));
    sent.map_or(DatagramOutcome::Lost, |_| DatagramOutcome::Answered)
}

/// What one datagram is handled with.
struct Step<'a> {
    shard: &'a Shard,
    quic: &'a Quic,
    snapshot: &'a Snapshot,
    ends: Ends,
    /// The kernel remembers that the flow has passed; this process may not, when it has taken over from another.
    has_passed: bool,
}

/// Reads a datagram of a flow and acts on it; `Answered` where an answer is due.
fn advance(step: &Step<'_>, flow: &mut UdpFlow, datagram: &[u8]) -> DatagramOutcome {
    let Step { shard, snapshot, ends, .. } = *step;
    match flow.state {
        State::Refused { .. } => return DatagramOutcome::Answered,
        State::Waiting if judge::is_free(snapshot, ends) => flow.state = State::Open,
        State::Open | State::Passed | State::Waiting => {}
    }
    if flow.state == State::Open {
        return forward(step, flow, datagram);
    }
    let judged = match flow.reader.handle_datagram(&Cipher, datagram) {
        Opening::Follows => return forward(step, flow, datagram),
        // A handshake in the middle of which this process took over. It can open nothing: nothing is read in it.
        Opening::Unseen if step.has_passed => {
            flow.state = State::Passed;
            return forward(step, flow, datagram);
        }
        Opening::Ignored => return DatagramOutcome::Ignored,
        Opening::Unseen | Opening::Waits => None,
        Opening::Opens { hello, version, destination, source } => {
            let decision = judge::hello(shard, snapshot, ends, &hello);
            flow.name = hello.sni;
            Some((decision, connection_close(&Cipher, version, &destination, &source), State::Passed))
        }
        Opening::Refused(reject) => {
            Some((judge::reject(shard, snapshot, ends, reject), version_negotiation(datagram), State::Open))
        }
    };
    let (decision, answer, passed) = match judged {
        Some(judged) => judged,
        None if flow.hold(datagram) => return DatagramOutcome::Held,
        None => (judge::reject(shard, snapshot, ends, QuicReject::TooMany), None, State::Open),
    };
    match judge::record(shard, snapshot, ends, flow, &decision) {
        Judgement::Pass => {
            flow.state = passed;
            forward(step, flow, datagram)
        }
        Judgement::Refuse => {
            flow.release();
            let answer = answer.filter(|_| step.quic.refuse == QuicRefusal::Close);
            flow.state = State::Refused { answer, answers: 0 };
            DatagramOutcome::Answered
        }
    }
}

/// Sends on what was held, and `datagram`, as the client. The mark makes the kernel remember the flow.
fn forward(step: &Step<'_>, flow: &mut UdpFlow, datagram: &[u8]) -> DatagramOutcome {
    // A socket of this machine may have that port on every address; what is held then waits for the client's next try.
    let Ok(sender) = DatagramSender::bind(step.ends.source, Some(step.quic.mark)) else {
        step.shard.cells.faults.add(Fault::upstream(Phase::Dial, FaultKind::Resource), 1);
        return DatagramOutcome::Lost;
    };
    let held = flow.release();
    let mut outcome = DatagramOutcome::Forwarded;
    for datagram in held.iter().map(Vec::as_slice).chain([datagram]) {
        match sender.try_send(datagram, step.ends.destination) {
            Ok(bytes) => step.shard.cells.relay_bytes.add((Direction::Egress, RelayPath::Copy), bytes as u64),
            Err(_) => outcome = DatagramOutcome::Lost,
        }
    }
    outcome
}

/// Longest datagram that there is.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Datagrams taken in one turn of the loop.
const RECEIVES_MAX: usize = 64;
/// Between two looks at what other processes or flows are to do first.
const PAUSE: Duration = Duration::from_millis(5);
