//! One connection to control, from dialling to its end.
//!
//! The node says who it is and what it has; control sends what it should have; the node answers each. Requests for
//! metrics are answered while an installation runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use penstock_link::link_client::LinkClient;
use penstock_link::{
    FromNode, Hello, Installed, MESSAGE_BYTES_MAX, MetricsReport, Refused, TicketKeys, ToNode, from_node, to_node,
};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;
use zeroize::Zeroize as _;

use super::delivery::Connection;
use super::installer::{InForce, Refusal, Request};
use super::kept::Delivered;
use crate::metrics::{ProcessCells, ShardCells, collect};
use crate::signer::SignerHandle;
use crate::tls::{TicketKey, TicketKeyring};

/// What every session of a node shares.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) labels: Vec<String>,
    pub(super) socket: PathBuf,
    /// The proxy listener, as bound.
    pub(super) proxy: SocketAddr,
    pub(super) shards: Vec<Arc<ShardCells>>,
    pub(super) cells: Arc<ProcessCells>,
    pub(super) in_force: watch::Receiver<InForce>,
    pub(super) installer: mpsc::Sender<Request>,
    pub(super) connection: watch::Sender<Connection>,
    pub(super) tickets: Arc<TicketKeyring>,
    pub(super) signer: SignerHandle,
}

/// How a session ended, and why.
pub(super) enum SessionEnd {
    /// After control took the node in.
    Gone(String),
    /// Before it did.
    Unreachable(String),
}

impl Node {
    /// Dials and stays attached for as long as control does.
    pub(super) async fn attach(&self) -> SessionEnd {
        let unreachable = |error: &dyn std::error::Error| SessionEnd::Unreachable(root_cause(error));
        // Control must not take this node for one that has no signer.
        let mut signer = self.signer.sealing_key();
        let Ok(sealing_key) = signer.wait_for(|key| !key.is_empty()).await.map(|key| key.clone()) else {
            return SessionEnd::Unreachable("there is no signer".to_owned());
        };
        let channel = match dial(&self.socket).await {
            Ok(channel) => channel,
            Err(error) => return unreachable(&error),
        };
        let mut client = LinkClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let (outbound, messages) = mpsc::channel(OUTBOUND_MESSAGES_MAX);
        // The queue is empty, so there is room.
        let _queued = outbound.try_send(self.hello(sealing_key));
        let inbound = match client.attach(ReceiverStream::new(messages)).await {
            Ok(response) => response.into_inner(),
            Err(status) => return unreachable(&status),
        };
        tracing::info!(socket = %self.socket.display(), "attached to control");
        self.cells.link_up.set((), 1);
        self.connection.send_replace(Some(client));
        let session = Session { node: self, outbound, installing: None, waiting: None };
        let end = tokio::select! {
            end = session.run(inbound) => end,
            _ = signer.changed() => "the signer has another key, which it must be told".to_owned(),
        };
        self.connection.send_replace(None);
        self.cells.link_up.set((), 0);
        SessionEnd::Gone(end)
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
}

impl Session<'_> {
    /// Runs until the stream ends; the words say why it did.
    async fn run(mut self, mut inbound: Streaming<ToNode>) -> String {
        loop {
            let answer = tokio::select! {
                received = inbound.message() => match received {
                    Ok(Some(received)) => self.receive(received),
                    Ok(None) => return "it closed the stream".to_owned(),
                    Err(status) => return format!("{}: {}", status.code(), status.message()),
                },
                answer = installed(&mut self.installing) => Some(answer),
            };
            self.install_waiting();
            if let Some(answer) = answer
                && self.outbound.send(answer).await.is_err()
            {
                return "it stopped listening".to_owned();
            }
        }
    }

    fn receive(&mut self, received: ToNode) -> Option<FromNode> {
        match received.message? {
            to_node::Message::State(state) => {
                self.waiting = Some(Delivered(state));
                None
            }
            to_node::Message::TicketKeys(keys) => {
                install_tickets(&self.node.tickets, keys);
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
fn install_tickets(tickets: &TicketKeyring, sent: TicketKeys) {
    let mut keys = Vec::with_capacity(sent.keys.len());
    for mut key in sent.keys {
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

/// Connects to control's socket. The name in the address is never looked up; gRPC wants one. A control that is stopped
/// or hangs shows by unanswered pings.
async fn dial(socket: &Path) -> Result<Channel, tonic::transport::Error> {
    let socket = socket.to_owned();
    let connect = service_fn(move |_address| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://control.invalid")
        .connect_timeout(CONNECT_DEADLINE)
        .http2_keep_alive_interval(PING_PERIOD)
        .keep_alive_timeout(PING_DEADLINE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .connect_with_connector(connect)
        .await
}

/// The innermost reason: what the operating system said, not which layers passed it on.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Answers that wait to be sent.
const OUTBOUND_MESSAGES_MAX: usize = 16;
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const PING_PERIOD: Duration = Duration::from_secs(10);
const PING_DEADLINE: Duration = Duration::from_secs(10);
/// Of the stream, so that a large policy does not wait for window updates.
const WINDOW_BYTES: u32 = 1024 * 1024;
