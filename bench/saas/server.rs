//! Listens and runs the TLS handshake: one port for every host, chosen by the server name of the handshake.
//!
//! Owns sockets, the number of connections and the ALPN list. `main` starts it; `connection` speaks HTTP.

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

/// What every connection shares.
pub(crate) struct Server {
    services: Services,
    acceptor: TlsAcceptor,
    connections: AtomicU64,
    places: Arc<Semaphore>,
}

/// How a listener treats what it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Plain,
    Tls,
}

impl Server {
    pub(crate) fn new(names: OnDemand, services: Services) -> Result<Arc<Self>, rustls::Error> {
        let acceptor = TlsAcceptor::from(Arc::new(tls_config(names)?));
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
                connection::serve(stream, Some(name), number, &self.services).await
            }
        }
    }
}

fn tls_config(names: OnDemand) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(names));
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

/// What the endpoints speak. A client that offers none of these is refused, one that offers no list gets HTTP/1.1.
const ALPN: [&[u8]; 1] = [b"http/1.1"];
const CONNECTIONS_MAX: usize = 16_384;
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(30);
