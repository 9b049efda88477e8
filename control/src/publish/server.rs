//! The link's services: hand streams to sessions, audit batches to the store, and who joins to `members`.
//!
//! On this machine's socket whoever may open it is believed. Across machines nothing is served to a peer that did not prove
//! who it is, and nobody speaks for another: the name is that of the certificate.

use std::pin::Pin;
use std::sync::Arc;

use penstock_core::limits::LINK_GUEST_MESSAGE_BYTES_MAX;
use penstock_link::enrolment_server::{Enrolment, EnrolmentServer};
use penstock_link::link_server::{Link, LinkServer};
use penstock_link::{
    AuditBatch, AuditCommitted, CertificateRequest, FromNode, JoinRequest, MESSAGE_BYTES_MAX, NodeCertificate, ToNode,
};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::members::{MemberError, Members};
use super::network::{Network, NetworkError, Peer};
use super::session::Member;
use super::{Publisher, session};
use crate::audit::{moment, read_batch};
use crate::ca::Asked;
use crate::store::AuditStore;

/// Serves the link on this machine's socket until the future is dropped.
pub(crate) async fn serve(
    listener: UnixListener,
    publisher: Arc<Publisher>,
    store: Arc<dyn AuditStore>,
) -> Result<(), tonic::transport::Error> {
    tonic::transport::Server::builder()
        .add_service(link(publisher, store, Entry::Local))
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await
}

/// The link across machines, ready to serve.
pub(crate) fn network(
    members: Arc<Members>,
    publisher: Arc<Publisher>,
    store: Arc<dyn AuditStore>,
) -> Result<Network, NetworkError> {
    let fleet = Arc::clone(publisher.fleet());
    let link = Routes::new(link(publisher, store, Entry::Network(Arc::clone(&members)))).prepare();
    let enrolment = EnrolmentServer::new(Desk { members: Arc::clone(&members) })
        .max_decoding_message_size(LINK_GUEST_MESSAGE_BYTES_MAX);
    Network::new(members, fleet, link, Routes::new(enrolment).prepare())
}

fn link(publisher: Arc<Publisher>, store: Arc<dyn AuditStore>, entry: Entry) -> LinkServer<Service> {
    LinkServer::new(Service { publisher, store, entry })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

struct Service {
    publisher: Arc<Publisher>,
    store: Arc<dyn AuditStore>,
    entry: Entry,
}

/// Where a request comes from.
enum Entry {
    /// This machine's socket.
    Local,
    /// Another machine.
    Network(Arc<Members>),
}

impl Service {
    /// Who asks; `None` on this machine's socket.
    async fn member<T>(&self, request: &Request<T>) -> Result<Option<Member>, Status> {
        let Entry::Network(members) = &self.entry else { return Ok(None) };
        let certificate = request.extensions().get::<Peer>().and_then(|peer| peer.certificate.clone());
        let certificate = certificate.ok_or_else(|| Status::unauthenticated("a node has a certificate"))?;
        let member = Member { members: Arc::clone(members), certificate };
        member.check().await?;
        Ok(Some(member))
    }
}

impl From<MemberError> for Status {
    fn from(error: MemberError) -> Self {
        let reason = error.to_string();
        match error {
            MemberError::Token => Self::unauthenticated(reason),
            MemberError::Revoked(_) | MemberError::Ended(_) => Self::permission_denied(reason),
            MemberError::Store(_) => Self::unavailable(reason),
            MemberError::Ca(_) | MemberError::Life | MemberError::Name | MemberError::Random(_) => {
                Self::invalid_argument(reason)
            }
        }
    }
}

/// Where nodes join.
struct Desk {
    members: Arc<Members>,
}

#[tonic::async_trait]
impl Enrolment for Desk {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<NodeCertificate>, Status> {
        let address = request.extensions().get::<Peer>().map(|peer| peer.address);
        let JoinRequest { secret, certificate } = request.into_inner();
        let CertificateRequest { pkcs10, several } = certificate.unwrap_or_default();
        match self.members.join(&secret, Asked { pkcs10: &pkcs10, several }).await {
            Ok((node, certified)) => {
                tracing::info!(node, ?address, "a node joined the fleet");
                Ok(Response::new(certified))
            }
            Err(error) => {
                tracing::warn!(%error, ?address, "somebody could not join the fleet");
                Err(error.into())
            }
        }
    }
}

#[tonic::async_trait]
impl Link for Service {
    type AttachStream = Pin<Box<ReceiverStream<Result<ToNode, Status>>>>;

    async fn attach(&self, request: Request<Streaming<FromNode>>) -> Result<Response<Self::AttachStream>, Status> {
        let member = self.member(&request).await?;
        let (outbound, stream) = mpsc::channel(session::OUTBOUND_MESSAGES_MAX);
        tokio::spawn(session::run(Arc::clone(&self.publisher), member, request.into_inner(), outbound));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn record_audit(&self, request: Request<AuditBatch>) -> Result<Response<AuditCommitted>, Status> {
        let member = self.member(&request).await?;
        let mut batch = request.into_inner();
        if let Some(member) = member {
            member.speaks_for(&batch.node)?;
        }
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

    async fn renew_certificate(
        &self,
        request: Request<CertificateRequest>,
    ) -> Result<Response<NodeCertificate>, Status> {
        let member = self.member(&request).await?;
        let member = member.ok_or_else(|| Status::failed_precondition("this machine's socket has no certificates"))?;
        let CertificateRequest { pkcs10, several } = request.into_inner();
        let certified = member.members.renew(&member.certificate, Asked { pkcs10: &pkcs10, several }).await?;
        tracing::info!(node = member.certificate.name, "a node's certificate was renewed");
        Ok(Response::new(certified))
    }
}
