//! Listens and runs the TLS handshake: one port for every host, chosen by the server name of the handshake.
//!
//! Owns sockets, the number of connections and the ALPN list. `main` starts it; `connection` speaks HTTP/1.1, `http2`
//! HTTP/2.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use penstock_bench::certificate::OnDemand;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::connection;
use crate::endpoint::Services;
use crate::http2;

/// What every connection shares.
pub(crate) struct Server {
    services: Arc<Services>,
    acceptor: TlsAcceptor,
    connections: AtomicU64,
    places: Arc<Semaphore>,
}

/// A protocol that the endpoints speak. A client that offers none of those chosen is refused, one that offers no list
/// gets HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Alpn {
    #[value(name = "h2")]
    Http2,
    #[value(name = "http/1.1")]
    Http11,
}

impl Alpn {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Http2 => b"h2",
            Self::Http11 => b"http/1.1",
        }
    }
}

/// How a listener treats what it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Plain,
    Tls,
}

impl Server {
    pub(crate) fn new(names: OnDemand, alpn: &[Alpn], services: Services) -> Result<Arc<Self>, rustls::Error> {
        let acceptor = TlsAcceptor::from(Arc::new(tls_config(names, alpn)?));
        let services = Arc::new(services);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Ok(Arc::new(Self { services, acceptor, connections: AtomicU64::new(1), places }))
    }

    /// Accepts until the process ends.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, transport: Transport) -> io::Result<()> {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return Ok(()) };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Most often out of descriptors: the next one may succeed when connections have ended.
                    tracing::warn!(%error, "accept");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                if let Err(error) = server.handle(stream, transport).await {
                    tracing::debug!(%error, "connection");
                }
                drop(place);
            });
        }
    }

    async fn handle(&self, stream: TcpStream, transport: Transport) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        match transport {
            Transport::Plain => connection::serve(stream, None, number, &self.services).await,
            Transport::Tls => {
                let handshake = self.acceptor.accept(stream);
                let Ok(stream) = tokio::time::timeout(HANDSHAKE_DEADLINE, handshake).await else {
                    return Err(io::ErrorKind::TimedOut.into());
                };
                let stream = stream?;
                let name = stream.get_ref().1.server_name().unwrap_or("localhost").to_ascii_lowercase();
                if stream.get_ref().1.alpn_protocol() == Some(Alpn::Http2.name()) {
                    return http2::serve(stream, &name, number, &self.services).await;
                }
                connection::serve(stream, Some(name), number, &self.services).await
            }
        }
    }
}

fn tls_config(names: OnDemand, alpn: &[Alpn]) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(names));
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.name().to_vec()).collect();
    Ok(config)
}

const CONNECTIONS_MAX: usize = 16_384;
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(30);
