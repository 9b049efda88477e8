//! One data plane's stream: Hello first, then state out and acknowledgements in, until either side goes.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use penstock_link::from_node::Message as In;
use penstock_link::to_node::Message as Out;
use penstock_link::{Authorities, FromNode, Hello, MetricsRequest, ToNode};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::fleet::Seat;
use super::members::Members;
use super::{Active, Fleet, Publisher};
use crate::ca::NodeCertificate;

/// Messages to a node that wait for its socket.
pub(super) const OUTBOUND_MESSAGES_MAX: usize = 4;
/// Time for the first message.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// Longest node name.
const NODE_NAME_BYTES_MAX: usize = 128;
/// No honest epoch comes near; a damaged one must not use up the numbers.
const EPOCH_MAX: u64 = 1 << 48;
/// How far another machine's epoch may be ahead: as far as a store restored from a backup may be behind, and far too little
/// to use up the numbers.
const EPOCH_LEAD_MAX: u64 = 1 << 20;
/// Between two looks at whether another machine's certificate has ended.
const MEMBER_LOOK: Duration = Duration::from_secs(600);

/// Another machine's node, as its certificate says who it is.
pub(super) struct Member {
    pub(super) members: Arc<Members>,
    pub(super) certificate: NodeCertificate,
}

impl Member {
    /// Whether it may speak now.
    pub(super) async fn check(&self) -> Result<(), Status> {
        Ok(self.members.admit(&self.certificate).await?)
    }

    /// Whether it may go on.
    fn check_still(&self) -> Result<(), Status> {
        Ok(self.members.admits_still(&self.certificate)?)
    }

    /// Whether it may speak under this name.
    pub(super) fn speaks_for(&self, name: &str) -> Result<(), Status> {
        let own = &self.certificate.name;
        if own == name {
            return Ok(());
        }
        tracing::error!(node = own, name, "a node spoke for another, and is refused");
        Err(Status::permission_denied(format!("the certificate is that of {own}")))
    }

    /// Refuses what a node across a network must not say.
    fn check_hello(&self, hello: &Hello, newest: u64) -> Result<(), Status> {
        self.speaks_for(&hello.node)?;
        if hello.sealing_key.is_empty() || hello.ticket_sealing_key.is_empty() {
            return Err(Status::failed_precondition("nothing secret crosses a network unsealed: the node is too old"));
        }
        if hello.epoch > newest.saturating_add(EPOCH_LEAD_MAX) {
            return Err(Status::out_of_range("the node's epoch cannot be real; remove its last-known-good copy"));
        }
        Ok(())
    }
}

/// Runs the stream to its end.
pub(super) async fn run(
    publisher: Arc<Publisher>,
    member: Option<Member>,
    mut inbound: Streaming<FromNode>,
    outbound: mpsc::Sender<Result<ToNode, Status>>,
) {
    if let Err(status) = converse(&publisher, member.as_ref(), &mut inbound, &outbound).await {
        let (code, reason) = (status.code(), status.message());
        tracing::warn!(?code, reason, "a data plane's session ended");
        // Nobody may be listening any more.
        let _ = outbound.send(Err(status)).await;
    }
}

async fn converse(
    publisher: &Arc<Publisher>,
    member: Option<&Member>,
    inbound: &mut Streaming<FromNode>,
    outbound: &mpsc::Sender<Result<ToNode, Status>>,
) -> Result<(), Status> {
    let hello = read_hello(inbound).await?;
    if let Some(member) = member {
        member.check_hello(&hello, publisher.epoch())?;
    }
    introduce(&hello);
    let held_epoch = hello.epoch;
    let (sealing_key, ticket_sealing_key) = (hello.sealing_key.clone(), hello.ticket_sealing_key.clone());
    let (seat, mut metrics) = Fleet::seat(publisher.fleet(), hello);
    // What another machine says of its epoch moves nobody else's: the node refuses what is below it, and an operator sees that.
    if member.is_none() {
        publisher.outrank(seat.node(), held_epoch).await.map_err(|error| Status::internal(error.to_string()))?;
    }
    let mut active = publisher.subscribe();
    active.mark_changed();
    let mut rollouts = publisher.subscribe_rollout();
    let mut sent: Option<Arc<Active>> = None;
    let mut tickets = publisher.ticket_keys();
    tickets.mark_changed();
    let mut looks = tokio::time::interval(MEMBER_LOOK);
    let mut revocations = member.map(|member| member.members.revocations());
    let mut authorities = member.map(|member| member.members.authorities());
    authorities.iter_mut().for_each(watch::Receiver::mark_changed);
    loop {
        tokio::select! {
            _ = looks.tick() => if let Some(member) = member {
                member.check_still()?;
            },
            () = changed(&mut revocations) => if let Some(member) = member {
                member.check_still()?;
            },
            () = changed(&mut authorities) => if let Some(authorities) = &mut authorities {
                let certificates = authorities.borrow_and_update().certificates();
                send(outbound, Out::Authorities(Authorities { certificates })).await?;
            },
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
                let keys = tickets.borrow_and_update().message(&ticket_sealing_key);
                let keys = keys.ok_or_else(|| Status::invalid_argument("no ticket key can be sealed for the node"))?;
                send(outbound, Out::TicketKeys(keys)).await?;
            },
            id = metrics.recv() => {
                let id = id.ok_or_else(|| Status::aborted("it lost its seat: it was revoked, or too many data planes have its name"))?;
                send(outbound, Out::Metrics(MetricsRequest { id })).await?;
            },
        }
    }
}

/// Tells the log of who has come.
fn introduce(hello: &Hello) {
    tracing::info!(node = hello.node, version = hello.version, epoch = hello.epoch, "a data plane attached");
    if hello.sealing_key.is_empty() {
        tracing::warn!(
            node = hello.node,
            "it has no signer, being of an older version: it gets the issuer's key as it is"
        );
    }
}

/// Completes when it changes; never on this machine's socket.
async fn changed<T>(watched: &mut Option<watch::Receiver<T>>) {
    let Some(watched) = watched else { return pending().await };
    if watched.changed().await.is_err() {
        pending().await
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
