//! The server behind the proxy: TLS, one parse, one write, so that it costs less than what it measures.
//!
//! Answers `GET /bytes/N` with N bytes and anything else with 404, over HTTP/1.1 and HTTP/2. One listener shakes hands in
//! full each time, one gives out tickets, and one answers a ClientHello with an alert and holds the connection, for
//! flows that are a hello and nothing more. The simulated services have the same path and more.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::{RecvStream, SendStream, server};
use http::{Request, Response};
use penstock_bench::certificate::{Authority, OnDemand};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::hello::{self, HELLO_ANSWER};

/// Where an origin listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// Full handshakes.
    pub(crate) listen: SocketAddr,
    /// Session tickets.
    pub(crate) resuming: SocketAddr,
    /// Hellos alone.
    pub(crate) hello: SocketAddr,
}

/// A bound origin.
pub(crate) struct Origin {
    full: (TcpListener, TlsAcceptor),
    resuming: (TcpListener, TlsAcceptor),
    hello: TcpListener,
    pem: String,
}

impl Origin {
    pub(crate) async fn bind(places: Places) -> anyhow::Result<Self> {
        let authority = Authority::generate()?;
        let pem = authority.pem().to_owned();
        let names = Arc::new(OnDemand::new(authority, HashMap::new()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(hello::provider(true)))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(names);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut resuming = config.clone();
        resuming.ticketer = aws_lc_rs::Ticketer::new()?;
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Self {
            full: (TcpListener::bind(places.listen).await?, TlsAcceptor::from(Arc::new(config))),
            resuming: (TcpListener::bind(places.resuming).await?, TlsAcceptor::from(Arc::new(resuming))),
            hello: TcpListener::bind(places.hello).await?,
            pem,
        })
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn places(&self) -> io::Result<Places> {
        Ok(Places {
            listen: self.full.0.local_addr()?,
            resuming: self.resuming.0.local_addr()?,
            hello: self.hello.local_addr()?,
        })
    }

    /// Serves until the process ends.
    pub(crate) async fn serve(self) -> anyhow::Result<()> {
        tokio::try_join!(serve_tls(self.full), serve_tls(self.resuming), serve_hellos(self.hello))?;
        Ok(())
    }
}

async fn serve_tls((listener, acceptor): (TcpListener, TlsAcceptor)) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A connection that breaks is the client's to report.
            let _ = handle(stream, acceptor).await;
        });
    }
}

/// Answers the first bytes of each connection and holds it until the client has gone.
async fn serve_hellos(listener: TcpListener) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut rest = [0; 2_048];
            if matches!(stream.read(&mut rest).await, Ok(1..)) && stream.write_all(&HELLO_ANSWER).await.is_ok() {
                while let Ok(1..) = stream.read(&mut rest).await {}
            }
        });
    }
}

async fn handle(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        return serve_streams(stream).await.map_err(io::Error::other);
    }
    serve_requests(stream).await
}

async fn serve_requests(mut stream: TlsStream<TcpStream>) -> io::Result<()> {
    // Of no size before the first request: idle connections are held by the thousand.
    let mut buffer = Vec::new();
    let mut filled = 0;
    loop {
        if buffer.is_empty() {
            let mut first = [0];
            if stream.read(&mut first).await? == 0 {
                return Ok(());
            }
            buffer.resize(HEAD_BYTES_MAX, 0);
            buffer[0] = first[0];
            filled = 1;
        }
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

async fn serve_streams(stream: TlsStream<TcpStream>) -> Result<(), h2::Error> {
    let mut connection = server::handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        tokio::spawn(async move {
            let _ = answer_stream(&request, respond).await;
        });
    }
    Ok(())
}

async fn answer_stream(
    request: &Request<RecvStream>,
    mut respond: server::SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let bytes = bytes_asked(request.uri().path());
    let mut response = Response::new(());
    if bytes.is_none() {
        *response.status_mut() = http::StatusCode::NOT_FOUND;
    }
    let mut left = bytes.unwrap_or_default();
    response.headers_mut().insert(http::header::CONTENT_LENGTH, left.into());
    let mut body = respond.send_response(response, left == 0)?;
    while left > 0 {
        let room = window(&mut body, left).await?;
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(room).min(BLOCK.len());
        left -= count as u64;
        body.send_data(Bytes::from_static(BLOCK.get(..count).unwrap_or_default()), left == 0)?;
    }
    Ok(())
}

/// Bytes that may be sent now; waits until there are some.
async fn window(body: &mut SendStream<Bytes>, left: u64) -> Result<usize, h2::Error> {
    body.reserve_capacity(usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK.len()));
    while body.capacity() == 0 {
        match poll_fn(|context| body.poll_capacity(context)).await {
            Some(capacity) => capacity?,
            None => return Err(h2::Reason::CANCEL.into()),
        };
    }
    Ok(body.capacity())
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
    let bytes = request.path.and_then(|path| bytes_asked(path.split('?').next()?));
    let closes = request
        .headers
        .iter()
        .any(|header| header.name.eq_ignore_ascii_case("connection") && header.value.eq_ignore_ascii_case(b"close"));
    Some(Asked { head_bytes, bytes, closes })
}

fn bytes_asked(path: &str) -> Option<u64> {
    path.strip_prefix("/bytes/")?.parse().ok()
}

const HEAD_BYTES_MAX: usize = 16 * 1024;
static BLOCK: [u8; 64 * 1024] = [b'x'; 64 * 1024];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_how_much_and_whether_it_is_the_last() {
        let asked = parse(b"GET /bytes/5?digest=0 HTTP/1.1\r\nConnection: Close\r\n\r\nrest").unwrap();
        assert_eq!(asked, Asked { head_bytes: 53, bytes: Some(5), closes: true });
        assert_eq!(parse(b"GET / HTTP/1.1\r\n\r\n").unwrap().bytes, None);
        assert_eq!(parse(b"GET / HTTP/1.1\r\n"), None);
    }
}
