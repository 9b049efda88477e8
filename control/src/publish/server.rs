//! The link's service: hands streams to sessions and audit batches to the store.

use std::pin::Pin;
use std::sync::Arc;

use penstock_link::link_server::{Link, LinkServer};
use penstock_link::{AuditBatch, AuditCommitted, FromNode, MESSAGE_BYTES_MAX, ToNode};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::{Publisher, session};
use crate::audit::{moment, read_batch};
use crate::store::AuditStore;

/// Serves the link until the future is dropped.
pub(crate) async fn serve(
    listener: UnixListener,
    publisher: Arc<Publisher>,
    store: Arc<dyn AuditStore>,
) -> Result<(), tonic::transport::Error> {
    let service = LinkServer::new(Service { publisher, store })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await
}

struct Service {
    publisher: Arc<Publisher>,
    store: Arc<dyn AuditStore>,
}

#[tonic::async_trait]
impl Link for Service {
    type AttachStream = Pin<Box<ReceiverStream<Result<ToNode, Status>>>>;

    async fn attach(&self, request: Request<Streaming<FromNode>>) -> Result<Response<Self::AttachStream>, Status> {
        let (outbound, stream) = mpsc::channel(session::OUTBOUND_MESSAGES_MAX);
        tokio::spawn(session::run(Arc::clone(&self.publisher), request.into_inner(), outbound));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn record_audit(&self, request: Request<AuditBatch>) -> Result<Response<AuditCommitted>, Status> {
        let mut batch = request.into_inner();
        if batch.node.is_empty() || batch.boot.is_empty() {
            return Err(Status::invalid_argument("an audit batch without node or boot"));
        }
        // The answer covers the whole batch, so it is given only when the whole batch is committed.
        let sequence = batch.events.iter().map(|event| event.sequence).max();
        let sequence = sequence.ok_or_else(|| Status::invalid_argument("an audit batch without events"))?;
        let events = read_batch(&mut batch, moment::now_ms());
        for event in &events {
            if let Err(reason) = &event.event {
                tracing::error!(node = batch.node, sequence = event.sequence, reason, "an audit event cannot be read");
            }
        }
        let recorded = self.store.record(batch.node, batch.boot, events).await;
        recorded.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(AuditCommitted { sequence }))
    }
}
