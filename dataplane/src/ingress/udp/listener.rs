//! Taking datagrams, and sending them on or answering.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Context as _;
use penstock_core::flow::{Direction, Fault, FaultKind, Phase, RelayPath};
use penstock_core::limits;
use penstock_core::policy::Snapshot;
use penstock_core::quic::{DatagramOutcome, Opening, QuicReject, connection_close, version_negotiation};

use super::cipher::Cipher;
use super::flows::{Ends, State, UdpFlow};
use super::judge::{self, Judgement};
use crate::config::{Config, Quic, QuicRefusal};
use crate::ring::{DatagramListener, DatagramSender, Received};
use crate::shard::Shard;

/// Listens on all that the configuration names, for each shard on the same addresses.
pub(crate) fn bind(config: &Config) -> anyhow::Result<Vec<Vec<DatagramListener>>> {
    let shards = usize::from(config.shards.get());
    let Some(quic) = &config.quic else { return Ok((0..shards).map(|_| Vec::new()).collect()) };
    check_rights(quic)?;
    let mut addresses = quic.listen.clone();
    let mut per_shard = Vec::new();
    for _ in 0..shards {
        let mut listeners = Vec::new();
        for address in &mut addresses {
            let listener =
                DatagramListener::bind(*address).with_context(|| format!("cannot listen on {address} (QUIC)"))?;
            // The first shard finds the ports, the others follow.
            *address = listener.local_address()?;
            listeners.push(listener);
        }
        per_shard.push(listeners);
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

/// Serves a listener until the shard drains.
pub(crate) async fn serve(shard: Rc<Shard>, listener: Rc<DatagramListener>) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let own_port = listener.local_address().map_or(0, |address| address.port());
    while !shard.is_draining() {
        if listener.readable().await.is_err() {
            return;
        }
        // Others on this thread get their turn after a batch.
        for _ in 0..RECEIVES_MAX {
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
    let Some(flow) = flows.enter(ends, now_ms) else {
        shard.cells.faults.add(Fault::downstream(Phase::Accept, FaultKind::TooMany), 1);
        return DatagramOutcome::Dropped;
    };
    let outcome = advance(&Turn { shard, quic, snapshot, ends }, flow, datagram);
    flow.touch(now_ms);
    if outcome != DatagramOutcome::Answered {
        return outcome;
    }
    let answer = match &mut flow.state {
        State::Refused { answer: Some(answer), answers } if *answers < limits::UDP_ANSWERS_PER_FLOW_MAX => {
            *answers += 1;
            answer.clone()
        }
        _ => return DatagramOutcome::Dropped,
    };
    if !flows.may_answer(now_ms) {
        return DatagramOutcome::Dropped;
    }
    let sent = DatagramSender::bind(ends.destination, None).and_then(|sender| sender.try_send(&answer, ends.source));
    sent.map_or(DatagramOutcome::Lost, |_| DatagramOutcome::Answered)
}

/// What one datagram is handled with.
struct Turn<'a> {
    shard: &'a Shard,
    quic: &'a Quic,
    snapshot: &'a Snapshot,
    ends: Ends,
}

/// Reads a datagram of a flow and acts on it; `Answered` where an answer is due.
fn advance(turn: &Turn<'_>, flow: &mut UdpFlow, datagram: &[u8]) -> DatagramOutcome {
    let Turn { shard, snapshot, ends, .. } = *turn;
    match flow.state {
        State::Refused { .. } => return DatagramOutcome::Answered,
        State::Waiting if judge::is_free(snapshot, ends) => flow.state = State::Open,
        State::Open | State::Passed | State::Waiting => {}
    }
    if flow.state == State::Open {
        return forward(turn, flow, datagram);
    }
    let judged = match flow.reader.handle_datagram(&Cipher, datagram) {
        Opening::Follows => return forward(turn, flow, datagram),
        Opening::Ignored => return DatagramOutcome::Ignored,
        Opening::Waits => None,
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
            forward(turn, flow, datagram)
        }
        Judgement::Refuse => {
            flow.release();
            let answer = answer.filter(|_| turn.quic.refuse == QuicRefusal::Close);
            flow.state = State::Refused { answer, answers: 0 };
            DatagramOutcome::Answered
        }
    }
}

/// Sends on what was held, and `datagram`, as the client. The mark makes the kernel remember the flow.
fn forward(turn: &Turn<'_>, flow: &mut UdpFlow, datagram: &[u8]) -> DatagramOutcome {
    let held = flow.release();
    let Ok(sender) = DatagramSender::bind(turn.ends.source, Some(turn.quic.mark)) else {
        turn.shard.cells.faults.add(Fault::upstream(Phase::Dial, FaultKind::Resource), 1);
        return DatagramOutcome::Lost;
    };
    let mut outcome = DatagramOutcome::Forwarded;
    for datagram in held.iter().map(Vec::as_slice).chain([datagram]) {
        match sender.try_send(datagram, turn.ends.destination) {
            Ok(bytes) => turn.shard.cells.relay_bytes.add((Direction::Egress, RelayPath::Copy), bytes as u64),
            Err(_) => outcome = DatagramOutcome::Lost,
        }
    }
    outcome
}

/// Longest datagram that there is.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Datagrams taken in one turn of the loop.
const RECEIVES_MAX: usize = 64;
