//! The upstream's HTTP/2: every stream of a connection is kept, checked by the tripwire, and answered by the same plan as
//! a request of HTTP/1.1. What the plan writes is read as an answer of HTTP/1.1 and sent on as it comes.

use std::io::{self, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;

use crate::http::{self as http1, Request};
use crate::http2::{fields_of, send};
use crate::tripwire;
use crate::upstream::{Noted, Plan, Then};
use crate::wait;

/// Whether the ClientHello that waits on `stream` offers HTTP/2. It is read only, not taken.
pub(crate) fn is_offered(stream: &TcpStream) -> bool {
    let mut hello = vec![0; 64 * 1024];
    wait::within(wait::LIMIT, || {
        let count = stream.peek(&mut hello).ok()?;
        let mut acceptor = Acceptor::default();
        let mut rest = &hello[..count];
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest).ok()?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                Some(accepted.client_hello().alpn().is_some_and(|mut names| names.any(|name| name == b"h2")))
            }
            // More is to come, unless the client has left.
            Ok(None) => (count == 0).then_some(false),
            Err(_) => Some(false),
        }
    })
    .unwrap_or(false)
}

/// Serves one connection to its end.
pub(crate) fn serve(stream: TcpStream, config: Arc<ServerConfig>, plan: &Arc<Plan>, noted: &Noted) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        stream.set_nonblocking(true)?;
        let stream = tokio::net::TcpStream::from_std(stream)?;
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let sni = stream.get_ref().1.server_name().map(str::to_owned);
        let alpn = stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        noted.change(|seen| (seen.sni, seen.alpn) = (sni.clone(), alpn.clone()));
        let kept = Kept { stream, noted: noted.clone() };
        let mut connection = h2::server::Builder::new()
            .max_concurrent_streams(256)
            .max_header_list_size(256 * 1024)
            .handshake::<_, Bytes>(kept)
            .await
            .map_err(io::Error::other)?;
        let close = Arc::new(Notify::new());
        loop {
            let accepted = tokio::select! {
                accepted = connection.accept() => accepted,
                () = close.notified() => {
                    connection.graceful_shutdown();
                    continue;
                }
            };
            let Some(accepted) = accepted else { return Ok(()) };
            let (request, respond) = accepted.map_err(io::Error::other)?;
            let (parts, body) = request.into_parts();
            let stream = Stream {
                plan: Arc::clone(plan),
                noted: noted.clone(),
                sni: sni.clone().unwrap_or_default(),
                close: Arc::clone(&close),
            };
            tokio::spawn(stream.serve(parts, body, respond));
        }
    });
    // A plan may wait for its test, which has ended.
    runtime.shutdown_background();
    served
}

struct Stream {
    plan: Arc<Plan>,
    noted: Noted,
    sni: String,
    close: Arc<Notify>,
}

impl Stream {
    async fn serve(
        self,
        parts: Parts,
        mut body: RecvStream,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let mut request = self.head(&parts);
        tokio::time::sleep(self.plan.dawdling).await;
        if !self.plan.at_head {
            self.read(&mut request, &mut body).await?;
        }
        if let Err(violation) = self.check(&request) {
            self.noted.change(|seen| {
                seen.violation.get_or_insert(violation);
            });
            respond.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        }
        let (pieces, answer) = mpsc::unbounded_channel();
        let (plan, asked) = (Arc::clone(&self.plan), request.clone());
        let answering = tokio::task::spawn_blocking(move || (plan.answering)(&asked, &mut Pieces(pieces)));
        let without_body = request.method() == "HEAD";
        let answered = Answered { pieces: answer, pending: Vec::new() }.pass(&mut respond, without_body).await;
        if self.plan.at_head {
            self.read(&mut request, &mut body).await?;
        }
        self.noted.change(|seen| seen.requests.push(request));
        match answering.await {
            Ok(Then::Keep) if answered.is_ok() => {}
            Ok(Then::Close) if answered.is_ok() => self.close.notify_one(),
            _ => respond.send_reset(Reason::INTERNAL_ERROR),
        }
        Ok(())
    }

    fn head(&self, parts: &Parts) -> Request {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let authority = parts.uri.authority().map(|authority| (":authority".to_owned(), authority.to_string()));
        let fields = authority.into_iter().chain(fields_of(&parts.headers)).collect();
        Request { line: format!("{} {target} HTTP/2", parts.method), fields, ..Request::default() }
    }

    async fn read(&self, request: &mut Request, body: &mut RecvStream) -> Result<(), h2::Error> {
        while let Some(piece) = body.data().await.transpose()? {
            body.flow_control().release_capacity(piece.len())?;
            request.body.extend_from_slice(&piece);
        }
        request.trailers = body.trailers().await?.map_or_else(Vec::new, |trailers| fields_of(&trailers));
        Ok(())
    }

    /// The header invariant, and that the stream is for the connection's host.
    fn check(&self, request: &Request) -> Result<(), String> {
        let Some(expected) = (self.plan.expecting)(&self.sni) else { return Ok(()) };
        let hosts: Vec<&str> = request.values(":authority").chain(request.values("host")).collect();
        let own = [self.sni.clone(), format!("{}:443", self.sni)];
        if hosts.is_empty() || !hosts.iter().all(|host| own.iter().any(|own| host.eq_ignore_ascii_case(own))) {
            return Err(format!("a stream for {hosts:?} on a connection to {}", self.sni));
        }
        tripwire::check(request, expected)
    }
}

/// An answer of HTTP/1.1 as the plan writes it.
struct Answered {
    pieces: mpsc::UnboundedReceiver<Vec<u8>>,
    /// Came, and is not passed on yet.
    pending: Vec<u8>,
}

impl Answered {
    /// Sends it on as it comes. The error is an answer that is none, or a client that has left.
    async fn pass(mut self, respond: &mut SendResponse<Bytes>, without_body: bool) -> Result<(), String> {
        let (head, answer) = loop {
            let end = self.find(b"\r\n\r\n").await.ok_or("no head")? + 4;
            let answer = http1::answer_head(&self.pending[..end])?;
            self.pending.drain(..end);
            let mut head = Response::new(());
            *head.status_mut() = answer.status.try_into().map_err(|_| "no status")?;
            *head.headers_mut() = fields(&answer.fields)?;
            if answer.status >= 200 {
                break (head, answer);
            }
            respond.send_informational(head).map_err(|error| error.to_string())?;
        };
        let chunked = answer.header("transfer-encoding").is_some();
        let empty = without_body || matches!(answer.status, 204 | 304) || answer.header("content-length") == Some("0");
        let mut stream = respond.send_response(head, empty).map_err(|error| error.to_string())?;
        if empty {
            return Ok(());
        }
        let trailers = if chunked { self.pass_chunks(&mut stream).await? } else { self.pass_rest(&mut stream).await? };
        let ended = match trailers {
            Some(trailers) => stream.send_trailers(trailers),
            None => stream.send_data(Bytes::new(), true),
        };
        ended.map_err(|error| error.to_string())
    }

    async fn pass_rest(&mut self, stream: &mut SendStream<Bytes>) -> Result<Option<HeaderMap>, String> {
        loop {
            let piece = Bytes::from(std::mem::take(&mut self.pending));
            send(stream, piece).await.map_err(|error| error.to_string())?;
            if !self.more().await {
                return Ok(None);
            }
        }
    }

    async fn pass_chunks(&mut self, stream: &mut SendStream<Bytes>) -> Result<Option<HeaderMap>, String> {
        loop {
            let end = self.find(b"\r\n").await.ok_or("no chunk")?;
            let line = String::from_utf8_lossy(&self.pending[..end]).into_owned();
            let size = usize::from_str_radix(&line, 16).map_err(|error| format!("{line}: {error}"))?;
            if size == 0 {
                break;
            }
            while self.pending.len() < end + 2 + size + 2 {
                if !self.more().await {
                    return Err("a chunk cut short".to_owned());
                }
            }
            let chunk = Bytes::copy_from_slice(&self.pending[end + 2..end + 2 + size]);
            self.pending.drain(..end + 2 + size + 2);
            send(stream, chunk).await.map_err(|error| error.to_string())?;
        }
        let end = self.find(b"\r\n\r\n").await.ok_or("no end")?;
        let text = String::from_utf8_lossy(&self.pending[..end]).into_owned();
        let lines = text.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        let trailers: Vec<_> = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(if trailers.is_empty() { None } else { Some(fields(&trailers)?) })
    }

    /// Where `end` begins, once it has come.
    async fn find(&mut self, end: &[u8]) -> Option<usize> {
        loop {
            if let Some(at) = self.pending.windows(end.len()).position(|window| window == end) {
                return Some(at);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn more(&mut self) -> bool {
        let piece = self.pieces.recv().await;
        piece.inspect(|piece| self.pending.extend_from_slice(piece)).is_some()
    }
}

/// Fields as HTTP/2 has them: without those that frame a connection of HTTP/1.1.
fn fields(fields: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::try_from(name.as_str()).map_err(|error| error.to_string())?;
        if !["connection", "transfer-encoding", "keep-alive"].contains(&name.as_str()) {
            map.append(name, HeaderValue::try_from(value.as_str()).map_err(|error| error.to_string())?);
        }
    }
    Ok(map)
}

/// Where a plan writes its answer.
struct Pieces(mpsc::UnboundedSender<Vec<u8>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::ConnectionReset)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream whose every byte that is read is noted.
struct Kept<S> {
    stream: S,
    noted: Noted,
}

impl<S: AsyncRead + Unpin> AsyncRead for Kept<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let fresh = &buffer.filled()[before..];
        if !fresh.is_empty() {
            self.noted.change(|seen| seen.bytes.extend_from_slice(fresh));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Kept<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
