//! The link across machines: accepts, has each peer prove who it is, and serves those with a certificate the link, those
//! without one joining alone.
//!
//! ```text
//! accept ──▶ TLS 1.3 handshake ──▶ certificate of a node ──▶ the link          until either side goes
//!            few at once, briefly └▶ none ─────────────────▶ joining           few at once, briefly, small messages
//! ```

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::serve::Listener;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use penstock_core::limits::{
    LINK_GUEST_DEADLINE_MS, LINK_GUESTS_MAX, LINK_HANDSHAKE_DEADLINE_BUSY_MS, LINK_HANDSHAKE_DEADLINE_MS,
    LINK_HANDSHAKES_MAX, LINK_NODES_MAX,
};
use penstock_link::server_config;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::codegen::Service as _;
use tonic::service::Routes;

use super::Fleet;
use super::members::Members;
use super::places::Places;
use crate::ca::{CaError, LinkAuthority, NodeCertificate};

/// Why the link cannot be had across machines.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The authority's files, or the system's randomness.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// TLS does not take what the authority made.
    #[error("[link] listen: {0}")]
    Tls(#[from] rustls::Error),
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// What its certificate says; `None` for somebody who has none.
    pub(super) certificate: Option<NodeCertificate>,
    pub(super) address: SocketAddr,
}

/// The link's listener across machines.
pub(crate) struct Network {
    members: Arc<Members>,
    current: RwLock<Current>,
    /// What nodes may ask.
    link: Routes,
    /// What everybody may.
    enrolment: Routes,
    handshakes: Arc<Semaphore>,
    nodes: Arc<Semaphore>,
    places: Arc<Places>,
    /// Counts those who lose their place.
    fleet: Arc<Fleet>,
    guests: Arc<Semaphore>,
}

/// What this control shows and whom it believes, now.
#[derive(Clone)]
struct Current {
    acceptor: TlsAcceptor,
    authority: Arc<LinkAuthority>,
    /// Unix second from which it shows another certificate.
    renew_at: i64,
}

impl Network {
    pub(super) fn new(
        members: Arc<Members>,
        fleet: Arc<Fleet>,
        link: Routes,
        enrolment: Routes,
    ) -> Result<Self, NetworkError> {
        let current = RwLock::new(Current::new(&members)?);
        let places = |count| Arc::new(Semaphore::new(count));
        Ok(Self {
            members,
            current,
            link,
            enrolment,
            handshakes: places(LINK_HANDSHAKES_MAX),
            nodes: places(LINK_NODES_MAX),
            places: Arc::default(),
            fleet,
            guests: places(LINK_GUESTS_MAX),
        })
    }

    /// Serves until the future is dropped, and with it every connection.
    pub(crate) async fn serve(self, mut listener: TcpListener) -> Infallible {
        let network = Arc::new(self);
        let mut connections = JoinSet::new();
        loop {
            let (stream, address) = tokio::select! {
                accepted = Listener::accept(&mut listener) => accepted,
                Some(_ended) = connections.join_next() => continue,
            };
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&network.handshakes).acquire_owned().await else { continue };
            connections.spawn(Arc::clone(&network).meet(stream, address, place));
        }
    }

    /// Takes another certificate when half of the life of the current one is over, or another authority has come.
    fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if self.members.now() < current.renew_at && Arc::ptr_eq(&current.authority, &self.members.authority()) {
            return current.acceptor;
        }
        match Current::new(&self.members) {
            Ok(fresh) => {
                let acceptor = fresh.acceptor.clone();
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
                acceptor
            }
            Err(error) => {
                tracing::error!(%error, "this control has no new certificate for the link");
                current.acceptor
            }
        }
    }

    async fn meet(self: Arc<Self>, stream: TcpStream, address: SocketAddr, place: OwnedSemaphorePermit) {
        let is_busy = self.handshakes.available_permits() < LINK_HANDSHAKES_MAX / 2;
        let patience_ms = if is_busy { LINK_HANDSHAKE_DEADLINE_BUSY_MS } else { LINK_HANDSHAKE_DEADLINE_MS };
        drop(stream.set_nodelay(true));
        let stream = match timeout(Duration::from_millis(patience_ms), self.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, %address, "no TLS handshake on the link"),
            Err(_) => return tracing::debug!(%address, "a TLS handshake on the link took too long"),
        };
        drop(place);
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let Some(shown) = shown else { return self.receive_guest(stream, address).await };
        let Some(certificate) = LinkAuthority::read_node(shown) else {
            return tracing::warn!(%address, "a certificate of the link's authority that is no node's");
        };
        let name = certificate.name.clone();
        let (mut place, is_full) = self.places.take(&name);
        if is_full {
            self.fleet.count_displaced();
        }
        let Ok(_place) = Arc::clone(&self.nodes).try_acquire_owned() else {
            return tracing::error!(%address, node = name, "there are too many nodes");
        };
        let mut settings = http2::Builder::new(TokioExecutor::new());
        settings.timer(TokioTimer::new()).keep_alive_interval(PING_PERIOD).keep_alive_timeout(PING_DEADLINE);
        settings.max_concurrent_streams(NODE_STREAMS_MAX);
        tokio::select! {
            () = serve(&settings, stream, &self.link, Peer { certificate: Some(certificate), address }) => {}
            () = place.lost() => tracing::warn!(%address, node = name, "too many connections of one node: the oldest ends"),
        }
    }

    /// Somebody who may join, and nothing else.
    async fn receive_guest(&self, stream: TlsStream<TcpStream>, address: SocketAddr) {
        let Ok(_place) = self.guests.try_acquire() else {
            return tracing::debug!(%address, "there are too many connections without a certificate");
        };
        let mut settings = http2::Builder::new(TokioExecutor::new());
        settings.max_concurrent_streams(1).max_header_list_size(GUEST_HEADERS_BYTES_MAX);
        settings.initial_stream_window_size(GUEST_WINDOW_BYTES).initial_connection_window_size(GUEST_WINDOW_BYTES);
        let served = serve(&settings, stream, &self.enrolment, Peer { certificate: None, address });
        if timeout(Duration::from_millis(LINK_GUEST_DEADLINE_MS), served).await.is_err() {
            tracing::debug!(%address, "a connection without a certificate stayed too long");
        }
    }
}

/// Serves one connection to its end.
async fn serve(settings: &http2::Builder<TokioExecutor>, stream: TlsStream<TcpStream>, routes: &Routes, peer: Peer) {
    let address = peer.address;
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        routes.clone().call(request)
    });
    if let Err(error) = settings.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, %address, "a connection of the link failed");
    }
}

impl Current {
    /// A fresh certificate with its key.
    fn new(members: &Members) -> Result<Self, NetworkError> {
        let authority = members.authority();
        let identity = authority.certify_control(members.now())?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.to_vec()));
        let chain = identity.chain.into_iter().map(CertificateDer::from).collect();
        let key = CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider())?;
        let believed = authority.certificates().into_iter().map(CertificateDer::from);
        let config = server_config(believed, Arc::new(SingleCertAndKey::from(key)))?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), authority, renew_at: identity.renew_at })
    }
}

/// A node that is gone without a word shows by unanswered pings.
const PING_PERIOD: Duration = Duration::from_secs(10);
const PING_DEADLINE: Duration = Duration::from_secs(10);
/// Attach, batches of two processes while one drains, a renewal, and some.
const NODE_STREAMS_MAX: u32 = 16;
const GUEST_HEADERS_BYTES_MAX: u32 = 4_096;
const GUEST_WINDOW_BYTES: u32 = 16_384;
