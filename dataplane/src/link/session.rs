//! One connection to control, from dialling to its end.
//!
//! The node says who it is and what it has; control sends what it should have; the node answers each. Requests for
//! metrics are answered while an installation runs.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use penstock_link::link_client::LinkClient;
use penstock_link::{
    CertificateRequest, FromNode, Hello, Installed, MESSAGE_BYTES_MAX, MetricsReport, Refused, SealingPair, TicketKeys,
    ToNode, from_node, to_node,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use zeroize::Zeroize as _;

use super::age::PolicyAge;
use super::background::blocking;
use super::controls::{Controls, Rests, told};
use super::delivery::Connection;
use super::identity::{self, Identity};
use super::installer::{InForce, Refusal, Request, unix_now};
use super::kept::Delivered;
use crate::metrics::{ProcessCells, ShardCells, collect};
use crate::signer::SignerHandle;
use crate::tls::{TicketKey, TicketKeyring};

/// What every session of a node shares.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) labels: Vec<String>,
    pub(super) controls: Controls,
    /// The proxy listener, as bound.
    pub(super) proxy: SocketAddr,
    pub(super) shards: Vec<Arc<ShardCells>>,
    pub(super) cells: Arc<ProcessCells>,
    pub(super) in_force: watch::Receiver<InForce>,
    pub(super) installer: mpsc::Sender<Request>,
    pub(super) connection: watch::Sender<Connection>,
    pub(super) tickets: Arc<TicketKeyring>,
    /// For the secrets of ticket keys; lives as long as this process. `None` when the system gave no random bytes.
    pub(super) ticket_pair: Option<SealingPair>,
    pub(super) age: Arc<PolicyAge>,
    pub(super) signer: SignerHandle,
}

/// How a session ended, and why.
pub(super) enum SessionEnd {
    /// After control took the node in.
    Gone(String),
    /// A control that is preferred to this one answers again.
    Preferred,
    /// Control answered, and is of no use to this node now.
    Unfit(String),
    /// Control did not answer.
    Unreachable(String),
}

impl Node {
    /// Dials the control of that place and stays attached for as long as it does, and is the one to have.
    pub(super) async fn attach(&self, index: usize, rests: &Rests) -> SessionEnd {
        // Control must not take this node for one that has no signer.
        let mut signer = self.signer.sealing_key();
        let Ok(sealing_key) = signer.wait_for(|key| !key.is_empty()).await.map(|key| key.clone()) else {
            return SessionEnd::Unreachable("there is no signer".to_owned());
        };
        let channel = match self.controls.dial(index).await {
            Ok(channel) => channel,
            Err(reason) => return SessionEnd::Unreachable(reason),
        };
        let mut client = LinkClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let (outbound, messages) = mpsc::channel(OUTBOUND_MESSAGES_MAX);
        // The queue is empty, so there is room.
        let _queued = outbound.try_send(self.hello(sealing_key));
        let inbound = match client.attach(ReceiverStream::new(messages)).await {
            Ok(response) => response.into_inner(),
            Err(status) => return SessionEnd::Unfit(told(&status)),
        };
        tracing::info!(control = self.controls.label(index), "attached to control");
        self.cells.link_up.set((), 1);
        self.connection.send_replace(Some(client.clone()));
        let (authorities, told) = watch::channel(Vec::new());
        let session = Session { node: self, outbound, installing: None, waiting: None, authorities };
        let end = tokio::select! {
            end = session.run(inbound) => end,
            _ = signer.changed() => SessionEnd::Gone("the signer has another key, which it must be told".to_owned()),
            () = self.controls.preferred_is_back(index, rests), if index > 0 => SessionEnd::Preferred,
            never = self.renew_certificate(client, told) => match never {},
        };
        self.connection.send_replace(None);
        self.cells.link_up.set((), 0);
        self.age.set_current(false);
        end
    }

    /// Has the certificate renewed when it is due, or another authority signs, for as long as the session lasts.
    async fn renew_certificate(
        &self,
        mut client: LinkClient<Channel>,
        mut told: watch::Receiver<Vec<Vec<u8>>>,
    ) -> Infallible {
        let Some(directory) = self.controls.identity_directory() else { return std::future::pending().await };
        loop {
            let authorities = told.borrow_and_update().clone();
            match renew(directory, &mut client, authorities).await {
                Ok(false) => {}
                Ok(true) => tracing::info!("the node has a new certificate"),
                Err(reason) => tracing::error!(reason, "the node's certificate is due and was not renewed"),
            }
            // The other end of `told` lives as long as the session.
            drop(tokio::time::timeout(RENEWAL_PERIOD, told.changed()).await);
        }
    }

    fn hello(&self, sealing_key: Vec<u8>) -> FromNode {
        let in_force = self.in_force.borrow().clone();
        message(from_node::Message::Hello(Hello {
            node: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            shards: u32::try_from(self.shards.len()).unwrap_or(u32::MAX),
            epoch: in_force.epoch,
            issuer: in_force.issuer,
            proxy: self.proxy.to_string(),
            sealing_key,
            labels: self.labels.clone(),
            confirmed: self.age.confirmed(),
            ticket_sealing_key: self.ticket_pair.as_ref().map_or_else(Vec::new, |pair| pair.public().to_vec()),
        }))
    }
}

/// The attached part of a session.
struct Session<'a> {
    node: &'a Node,
    outbound: mpsc::Sender<FromNode>,
    /// The epoch that is being installed and where its outcome arrives.
    installing: Option<(u64, oneshot::Receiver<Result<InForce, Refusal>>)>,
    /// What control sent meanwhile; only the newest counts.
    waiting: Option<Delivered>,
    /// DER of those by whose signature controls and nodes know each other now.
    authorities: watch::Sender<Vec<Vec<u8>>>,
}

impl Session<'_> {
    /// Runs until the stream ends, or control turns out to be of no use.
    async fn run(mut self, mut inbound: Streaming<ToNode>) -> SessionEnd {
        let gone = SessionEnd::Gone;
        loop {
            let answer = tokio::select! {
                received = inbound.message() => match received {
                    Ok(Some(received)) => self.receive(received),
                    Ok(None) => return gone("it closed the stream".to_owned()),
                    Err(status) if status.code() == Code::PermissionDenied => {
                        return SessionEnd::Unfit(status.message().to_owned());
                    }
                    Err(status) => return gone(format!("{}: {}", status.code(), status.message())),
                },
                answer = installed(&mut self.installing) => Some(answer),
            };
            self.install_waiting();
            let Some(answer) = answer else { continue };
            let behind = self.behind(&answer);
            if self.outbound.send(answer).await.is_err() {
                return gone("it stopped listening".to_owned());
            }
            if let Some(reason) = behind {
                // Long enough for control to be told.
                tokio::time::sleep(FAREWELL).await;
                return SessionEnd::Unfit(reason);
            }
        }
    }

    /// Notes what became of an installation; the words say that control is behind, where there are others to turn to.
    fn behind(&self, answer: &FromNode) -> Option<String> {
        match &answer.message {
            Some(from_node::Message::Installed(_)) => self.node.age.set_current(true),
            Some(from_node::Message::Refused(refused)) => {
                self.node.age.set_current(false);
                let is_behind = refused.epoch < self.node.in_force.borrow().epoch;
                return (is_behind && self.node.controls.count() > 1).then(|| refused.reason.clone());
            }
            _ => {}
        }
        None
    }

    fn receive(&mut self, received: ToNode) -> Option<FromNode> {
        match received.message? {
            to_node::Message::State(state) => {
                self.waiting = Some(Delivered(state));
                None
            }
            to_node::Message::TicketKeys(keys) => {
                install_tickets(&self.node.tickets, self.node.ticket_pair.as_ref(), keys);
                None
            }
            to_node::Message::Authorities(sent) => {
                self.authorities.send_replace(sent.certificates);
                None
            }
            to_node::Message::Metrics(request) => {
                let samples = collect(&self.node.shards, &self.node.cells);
                Some(message(from_node::Message::Metrics(MetricsReport { id: request.id, samples })))
            }
        }
    }

    /// Hands the newest state to the installer once the one before it is done.
    fn install_waiting(&mut self) {
        if self.installing.is_some() {
            return;
        }
        let Some(delivered) = self.waiting.take() else { return };
        let epoch = delivered.0.epoch;
        let (reply, outcome) = oneshot::channel();
        // A full queue drops the request, and with it `reply`: that is an outcome too.
        let _queued = self.node.installer.try_send(Request { delivered, reply });
        self.installing = Some((epoch, outcome));
    }
}

/// The answer to what is being installed, when there is one; never otherwise.
async fn installed(installing: &mut Option<(u64, oneshot::Receiver<Result<InForce, Refusal>>)>) -> FromNode {
    let Some((epoch, outcome)) = installing else {
        return std::future::pending().await;
    };
    let epoch = *epoch;
    let outcome = outcome.await;
    *installing = None;
    match outcome {
        Ok(Ok(InForce { epoch, issuer })) => message(from_node::Message::Installed(Installed { epoch, issuer })),
        Ok(Err(Refusal(reason))) => message(from_node::Message::Refused(Refused { epoch, reason })),
        Err(_dropped) => {
            let reason = "the node is busy with earlier states, or ending".to_owned();
            message(from_node::Message::Refused(Refused { epoch, reason }))
        }
    }
}

/// Takes the fleet's ticket keys, and wipes the message. One key that cannot be used does not keep the others out.
fn install_tickets(tickets: &TicketKeyring, pair: Option<&SealingPair>, sent: TicketKeys) {
    let mut keys = Vec::with_capacity(sent.keys.len());
    for mut key in sent.keys {
        if !key.sealed_secret.is_empty() {
            let opened = pair.and_then(|pair| pair.open(&key.name, &key.sealed_secret));
            key.secret = opened.as_deref().cloned().unwrap_or_default();
        }
        match TicketKey::new(&key.name, &key.secret, key.seals_from, key.seals_until) {
            Some(key) => keys.push(key),
            None => tracing::error!("control sent a ticket key that cannot be used"),
        }
        key.secret.zeroize();
    }
    tracing::debug!(count = keys.len(), "ticket keys of the fleet");
    tickets.install(keys);
}

fn message(message: from_node::Message) -> FromNode {
    FromNode { message: Some(message) }
}

/// Believes whom control says, and renews the certificate if it is due or by another authority than signs now; whether it was.
async fn renew(directory: &Path, client: &mut LinkClient<Channel>, believed: Vec<Vec<u8>>) -> Result<bool, String> {
    let ending = "the node is ending";
    let loading = directory.to_owned();
    let signing = believed.first().cloned();
    let identity = blocking(move || -> Result<Identity, identity::IdentityError> {
        let identity = Identity::load(&loading)?;
        let Some(believing) = identity.believing(&believed) else { return Ok(identity) };
        // Before anything is shown that only they vouch for.
        believing.save(&loading)?;
        Ok(believing)
    });
    let identity = identity.await.ok_or(ending)?.map_err(|error| error.to_string())?;
    if unix_now() < identity.renew_at && signing.is_none_or(|signing| identity.is_by(&signing)) {
        return Ok(false);
    }
    let request = identity::Request::new().map_err(|error| error.to_string())?;
    let asked = CertificateRequest { pkcs10: request.pkcs10.clone(), several: true };
    let sent = client.renew_certificate(asked).await.map_err(|status| told(&status))?.into_inner();
    let fresh = request.certified(sent).map_err(|error| error.to_string())?;
    let directory = directory.to_owned();
    let saved = blocking(move || fresh.save(&directory)).await.ok_or(ending)?;
    saved.map(|()| true).map_err(|error| error.to_string())
}

/// Answers that wait to be sent.
const OUTBOUND_MESSAGES_MAX: usize = 16;
/// Between two looks at the certificate.
const RENEWAL_PERIOD: Duration = Duration::from_secs(3_600);
/// Between the last word to control and the end of the session.
const FAREWELL: Duration = Duration::from_millis(500);
