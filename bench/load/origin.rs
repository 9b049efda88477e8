//! The server behind the proxy: TLS, one parse, one write, so that it costs less than what it measures.
//!
//! Answers `GET /bytes/N` with N bytes and anything else with 404. The simulated services have the same path and more.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use penstock_bench::certificate::{Authority, OnDemand};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::client;

/// A bound origin.
pub(crate) struct Origin {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    pem: String,
}

impl Origin {
    pub(crate) async fn bind(address: SocketAddr, resume: bool) -> anyhow::Result<Self> {
        let authority = Authority::generate()?;
        let pem = authority.pem().to_owned();
        let names = Arc::new(OnDemand::new(authority, HashMap::new()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(client::provider(true)))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(names);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if resume {
            config.ticketer = aws_lc_rs::Ticketer::new()?;
        } else {
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        }
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)), pem })
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the process ends.
    pub(crate) async fn serve(self) -> anyhow::Result<()> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let acceptor = self.acceptor.clone();
            tokio::spawn(async move {
                // A connection that breaks is the client's to report.
                let _ = handle(stream, acceptor).await;
            });
        }
    }
}

async fn handle(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut buffer = vec![0; HEAD_BYTES_MAX];
    let mut filled = 0;
    loop {
        let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) else { return Ok(()) };
        match stream.read(room).await? {
            0 => return Ok(()),
            count => filled += count,
        }
        while let Some(asked) = parse(buffer.get(..filled).unwrap_or_default()) {
            buffer.copy_within(asked.head_bytes..filled, 0);
            filled -= asked.head_bytes;
            answer(&mut stream, &asked).await?;
            if asked.closes {
                return stream.shutdown().await;
            }
        }
    }
}

async fn answer(stream: &mut TlsStream<TcpStream>, asked: &Asked) -> io::Result<()> {
    let Some(bytes) = asked.bytes else {
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await?;
        return stream.flush().await;
    };
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").into_bytes();
    let first = bytes.min(BLOCK.len() as u64);
    answer.extend(BLOCK.iter().take(usize::try_from(first).unwrap_or_default()));
    stream.write_all(&answer).await?;
    let mut left = bytes - first;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK.len());
        stream.write_all(BLOCK.get(..count).unwrap_or_default()).await?;
        left -= count as u64;
    }
    stream.flush().await
}

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    head_bytes: usize,
    bytes: Option<u64>,
    closes: bool,
}

fn parse(received: &[u8]) -> Option<Asked> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(head_bytes)) = request.parse(received) else { return None };
    let count = request.path.and_then(|path| path.strip_prefix("/bytes/"));
    let bytes = count.and_then(|count| count.split('?').next()?.parse().ok());
    let closes = request
        .headers
        .iter()
        .any(|header| header.name.eq_ignore_ascii_case("connection") && header.value.eq_ignore_ascii_case(b"close"));
    Some(Asked { head_bytes, bytes, closes })
}

const HEAD_BYTES_MAX: usize = 16 * 1024;
static BLOCK: [u8; 64 * 1024] = [b'x'; 64 * 1024];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Plan, tls_config};
    use crate::scenario::Scenario;
    use crate::worker::{Pace, drive};

    #[test]
    fn a_request_says_how_much_and_whether_it_is_the_last() {
        let asked = parse(b"GET /bytes/5?digest=0 HTTP/1.1\r\nConnection: Close\r\n\r\nrest").unwrap();
        assert_eq!(asked, Asked { head_bytes: 53, bytes: Some(5), closes: true });
        assert_eq!(parse(b"GET / HTTP/1.1\r\n\r\n").unwrap().bytes, None);
        assert_eq!(parse(b"GET / HTTP/1.1\r\n"), None);
    }

    async fn run(scenario: Scenario, rate: Option<f64>) -> crate::worker::Outcome {
        let origin = Origin::bind("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        let plan = Plan {
            scenario,
            proxy: origin.address().unwrap(),
            connect: false,
            host: "www.example.com".to_owned(),
            port: 443,
            bytes: 100_000,
            tls: tls_config(origin.pem().as_bytes(), false, false).unwrap(),
        };
        tokio::spawn(async { origin.serve().await });
        let time_max = std::time::Duration::from_secs(60);
        let pace = Pace { count: 20, warmup: 4, concurrency: 3, rate, time_max };
        drive(plan, pace, &[std::process::id()]).await.unwrap()
    }

    #[tokio::test]
    async fn a_closed_loop_does_what_it_was_told() {
        for scenario in [Scenario::PassNew, Scenario::InspectKeepAlive] {
            let outcome = run(scenario, None).await;
            assert_eq!((outcome.operations, outcome.bytes), (20, 2_000_000));
            assert!(outcome.failures.is_empty() && outcome.used.len() == 1);
            assert_eq!(outcome.latency.len(), 20);
        }
    }

    #[tokio::test]
    async fn an_open_loop_does_what_it_was_told() {
        let outcome = run(Scenario::InspectKeepAlive, Some(1_000.0)).await;
        assert_eq!(outcome.operations, 20);
        assert!(outcome.failures.is_empty());
    }
}
