//! One data plane's stream: Hello first, then state out and acknowledgements in, until either side goes.

use std::sync::Arc;
use std::time::Duration;

use penstock_link::from_node::Message as In;
use penstock_link::to_node::Message as Out;
use penstock_link::{FromNode, Hello, MetricsRequest, ToNode};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::fleet::Seat;
use super::{Active, Fleet, Publisher};

/// Messages to a node that wait for its socket.
pub(super) const OUTBOUND_MESSAGES_MAX: usize = 4;
/// Time for the first message.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// Longest node name.
const NODE_NAME_BYTES_MAX: usize = 128;
/// No honest epoch comes near; a damaged one must not use up the numbers.
const EPOCH_MAX: u64 = 1 << 48;

/// Runs the stream to its end.
pub(super) async fn run(
    publisher: Arc<Publisher>,
    mut inbound: Streaming<FromNode>,
    outbound: mpsc::Sender<Result<ToNode, Status>>,
) {
    if let Err(status) = converse(&publisher, &mut inbound, &outbound).await {
        let (code, reason) = (status.code(), status.message());
        tracing::warn!(?code, reason, "a data plane's session ended");
        // Nobody may be listening any more.
        let _ = outbound.send(Err(status)).await;
    }
}

async fn converse(
    publisher: &Arc<Publisher>,
    inbound: &mut Streaming<FromNode>,
    outbound: &mpsc::Sender<Result<ToNode, Status>>,
) -> Result<(), Status> {
    let hello = read_hello(inbound).await?;
    tracing::info!(node = hello.node, version = hello.version, epoch = hello.epoch, "a data plane attached");
    let held_epoch = hello.epoch;
    let sealing_key = hello.sealing_key.clone();
    if sealing_key.is_empty() {
        tracing::warn!(
            node = hello.node,
            "it has no signer, being of an older version: it gets the issuer's key as it is"
        );
    }
    let (seat, mut metrics) = Fleet::seat(publisher.fleet(), hello);
    publisher.outrank(seat.node(), held_epoch).await.map_err(|error| Status::internal(error.to_string()))?;
    let mut active = publisher.subscribe();
    active.mark_changed();
    let mut rollouts = publisher.subscribe_rollout();
    let mut sent: Option<Arc<Active>> = None;
    let mut tickets = publisher.ticket_keys();
    tickets.mark_changed();
    loop {
        tokio::select! {
            message = inbound.message() => match message? {
                Some(message) => receive(&seat, message)?,
                None => return Ok(()),
            },
            changed = active.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                send_state(publisher, &seat, &sealing_key, &mut sent, outbound).await?;
            },
            changed = rollouts.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                send_state(publisher, &seat, &sealing_key, &mut sent, outbound).await?;
            },
            changed = tickets.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let keys = tickets.borrow_and_update().message();
                send(outbound, Out::TicketKeys(keys)).await?;
            },
            id = metrics.recv() => {
                let id = id.ok_or_else(|| Status::aborted("too many data planes attached under this name"))?;
                send(outbound, Out::Metrics(MetricsRequest { id })).await?;
            },
        }
    }
}

async fn read_hello(inbound: &mut Streaming<FromNode>) -> Result<Hello, Status> {
    let first = timeout(HELLO_DEADLINE, inbound.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no Hello came"))??;
    let Some(FromNode { message: Some(In::Hello(hello)) }) = first else {
        return Err(Status::failed_precondition("the first message must be Hello"));
    };
    if hello.node.is_empty() || hello.node.len() > NODE_NAME_BYTES_MAX || hello.node.contains(char::is_control) {
        return Err(Status::invalid_argument("the node's name is empty, too long or unprintable"));
    }
    if hello.epoch > EPOCH_MAX {
        return Err(Status::out_of_range("the node's epoch cannot be real; remove its last-known-good copy"));
    }
    Ok(hello)
}

fn receive(seat: &Seat, message: FromNode) -> Result<(), Status> {
    match message.message {
        Some(In::Installed(installed)) => {
            tracing::info!(node = seat.node(), epoch = installed.epoch, issuer = installed.issuer, "installed");
            seat.installed(installed.epoch, installed.issuer);
        }
        Some(In::Refused(refused)) => {
            tracing::error!(node = seat.node(), epoch = refused.epoch, reason = refused.reason, "refused");
            seat.refused(refused.epoch, refused.reason);
        }
        Some(In::Metrics(report)) => seat.reported(report.id, report.samples),
        Some(In::Hello(_)) => return Err(Status::failed_precondition("a second Hello")),
        // A kind of message that a later version knows.
        None => {}
    }
    Ok(())
}

/// Sends what the node should have, unless it was sent that last.
async fn send_state(
    publisher: &Publisher,
    seat: &Seat,
    sealing_key: &[u8],
    sent: &mut Option<Arc<Active>>,
    outbound: &mpsc::Sender<Result<ToNode, Status>>,
) -> Result<(), Status> {
    let Some(due) = publisher.state_for(seat.node()) else { return Ok(()) };
    if sent.as_ref().is_some_and(|sent| Arc::ptr_eq(sent, &due)) {
        return Ok(());
    }
    let state = due.state(sealing_key);
    let state = state.ok_or_else(|| Status::invalid_argument("no key can be sealed for the node's signer"))?;
    send(outbound, Out::State(state)).await?;
    *sent = Some(due);
    Ok(())
}

async fn send(outbound: &mpsc::Sender<Result<ToNode, Status>>, message: Out) -> Result<(), Status> {
    let sent = outbound.send(Ok(ToNode { message: Some(message) })).await;
    sent.map_err(|_| Status::unavailable("the data plane is gone"))
}
