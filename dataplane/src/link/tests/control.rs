//! A control that does as the test says. It runs on a thread of its own, so that stopping it closes its connections as
//! killing the process would.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use penstock_link::link_server::{Link, LinkServer};
use penstock_link::{
    AuditBatch, AuditCommitted, CertificateRequest, FromNode, Hello, MetricsRequest, NodeCertificate, State,
    TicketKeys, ToNode, from_node, to_node,
};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use crate::link::Background;

/// A running control.
pub(super) struct Control {
    background: Background,
    attached: mpsc::UnboundedReceiver<Attached>,
    batches: mpsc::UnboundedReceiver<Batch>,
}

/// A node's stream, after its first message.
pub(super) struct Attached {
    pub(super) hello: Hello,
    answers: mpsc::UnboundedReceiver<from_node::Message>,
    messages: mpsc::Sender<Result<ToNode, Status>>,
}

/// A batch that waits for its reply. Dropping it refuses it.
pub(super) struct Batch {
    pub(super) batch: AuditBatch,
    reply: oneshot::Sender<u64>,
}

impl Control {
    /// Listens on `socket`, in place of any that listened there before.
    pub(super) fn start(socket: &Path) -> Self {
        let _stale = std::fs::remove_file(socket);
        let background = Background::start().unwrap();
        let (attached_sender, attached) = mpsc::unbounded_channel();
        let (batch_sender, batches) = mpsc::unbounded_channel();
        let service = LinkServer::new(Service { attached: attached_sender, batches: batch_sender });
        let listener = {
            let _runtime = background.handle().enter();
            UnixListener::bind(socket).unwrap()
        };
        background.handle().spawn(async move {
            Server::builder().add_service(service).serve_with_incoming(UnixListenerStream::new(listener)).await
        });
        Self { background, attached, batches }
    }

    /// The next node that attaches.
    pub(super) async fn attached(&mut self) -> Attached {
        soon(self.attached.recv()).await.unwrap()
    }

    /// The next batch of audit events.
    pub(super) async fn batch(&mut self) -> Batch {
        soon(self.batches.recv()).await.unwrap()
    }

    /// Ends it with all its connections.
    pub(super) fn stop(self) {
        self.background.stop();
    }
}

impl Attached {
    pub(super) async fn send(&self, state: State) {
        self.messages.send(Ok(ToNode { message: Some(to_node::Message::State(state)) })).await.unwrap();
    }

    pub(super) async fn send_ticket_keys(&self, keys: TicketKeys) {
        self.messages.send(Ok(ToNode { message: Some(to_node::Message::TicketKeys(keys)) })).await.unwrap();
    }

    pub(super) async fn ask_metrics(&self, id: u64) {
        let request = to_node::Message::Metrics(MetricsRequest { id });
        self.messages.send(Ok(ToNode { message: Some(request) })).await.unwrap();
    }

    /// The node's next message.
    pub(super) async fn answer(&mut self) -> from_node::Message {
        soon(self.answers.recv()).await.unwrap()
    }

    /// The epoch and issuer that the node says it has installed.
    pub(super) async fn installed(&mut self) -> (u64, String) {
        match self.answer().await {
            from_node::Message::Installed(installed) => (installed.epoch, installed.issuer),
            other => panic!("not installed: {other:?}"),
        }
    }

    /// The epoch that the node refuses, and why.
    pub(super) async fn refused(&mut self) -> (u64, String) {
        match self.answer().await {
            from_node::Message::Refused(refused) => (refused.epoch, refused.reason),
            other => panic!("not refused: {other:?}"),
        }
    }
}

impl Batch {
    /// Says that everything up to `sequence` is committed.
    pub(super) fn commit(self, sequence: u64) {
        let _node_waits = self.reply.send(sequence);
    }

    pub(super) fn sequences(&self) -> Vec<u64> {
        self.batch.events.iter().map(|event| event.sequence).collect()
    }
}

/// What happens without being waited for happens at once; the bound only ends a test that hangs.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it does not happen")
}

struct Service {
    attached: mpsc::UnboundedSender<Attached>,
    batches: mpsc::UnboundedSender<Batch>,
}

#[tonic::async_trait]
impl Link for Service {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<ToNode, Status>> + Send>>;

    async fn attach(&self, request: Request<Streaming<FromNode>>) -> Result<Response<Self::AttachStream>, Status> {
        let mut inbound = request.into_inner();
        let first = inbound.message().await?.and_then(|first| first.message);
        let Some(from_node::Message::Hello(hello)) = first else {
            return Err(Status::invalid_argument("the first message is no Hello"));
        };
        let (messages, outbound) = mpsc::channel(16);
        let (answer_sender, answers) = mpsc::unbounded_channel();
        let _test_listens = self.attached.send(Attached { hello, answers, messages });
        tokio::spawn(async move {
            while let Ok(Some(FromNode { message: Some(answer) })) = inbound.message().await {
                let _test_listens = answer_sender.send(answer);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outbound))))
    }

    async fn record_audit(&self, request: Request<AuditBatch>) -> Result<Response<AuditCommitted>, Status> {
        let (reply, committed) = oneshot::channel();
        let _test_listens = self.batches.send(Batch { batch: request.into_inner(), reply });
        let sequence = committed.await.map_err(|_dropped| Status::unavailable("the store is not ready"))?;
        Ok(Response::new(AuditCommitted { sequence }))
    }

    async fn renew_certificate(&self, _: Request<CertificateRequest>) -> Result<Response<NodeCertificate>, Status> {
        Err(Status::failed_precondition("a node on the same machine has no certificate"))
    }
}
