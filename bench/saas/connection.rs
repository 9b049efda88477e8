//! One HTTP/1.1 connection of one host: reads, records, asks the endpoint, writes the answer.
//!
//! Owns keep-alive, `Expect: 100-continue`, body collection and the writing of every kind of content. It knows no
//! vendor.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::endpoint::Services;
use crate::plain::{digest, pattern, websocket};
use crate::request::{Head, Request};
use crate::response::{Content, Response};
use crate::seen::Kind;
use crate::wire::{Body, HeadRead, Wire};

/// Serves until the peer closes or an answer ends the connection. `name` is the handshake's; without one the Host
/// header of each request stands for it.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    name: Option<String>,
    number: u64,
    services: &Services,
) -> io::Result<()> {
    let mut session = Session { wire: Wire::new(stream), name, number, services };
    while session.exchange().await? {}
    session.wire.shutdown().await
}

struct Session<'a, S> {
    wire: Wire<S>,
    name: Option<String>,
    number: u64,
    services: &'a Services,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    /// One request and its answer; whether another may follow.
    async fn exchange(&mut self) -> io::Result<bool> {
        let raw = match self.wire.read_head().await? {
            HeadRead::Closed => return Ok(false),
            HeadRead::Head(raw) => raw,
            HeadRead::Partial(raw) => {
                self.keep(&self.host(None), Kind::Partial, &raw)?;
                let response = Response::text(400, "The request head did not end.\n").closing();
                return self.answer(response, false).await;
            }
        };
        let head = Head::parse(&raw).and_then(|head| head.framing().map(|framing| (head, framing)));
        let (head, framing) = match head {
            Ok(read) => read,
            Err(bad) => {
                self.keep(&self.host(None), Kind::Head, &raw)?;
                let response = Response::text(400, format!("Refused: {}.\n", bad.0)).closing();
                return self.answer(response, false).await;
            }
        };
        let host = self.host(Some(&head));
        self.keep(&host, Kind::Head, &raw)?;
        let mut body = framing.map(Body::new);
        let without_body = head.method == "HEAD";
        let keeps_alive = head.keeps_alive();
        let answers_early = head.target.starts_with("/early/");
        if body.is_some() && !answers_early && head.lists("expect", "100-continue") {
            self.wire.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            self.wire.flush().await?;
        }
        let mut response = match &mut body {
            Some(body) if !answers_early => self.answer_with_body(host, head, body).await?,
            _ => self.services.answer(&Request { host, head, body: Bytes::new() }),
        };
        let unread = body.is_some_and(|body| !body.is_done());
        response.closes |= unread || !keeps_alive;
        self.answer(response, without_body).await
    }

    async fn answer_with_body(&mut self, host: String, head: Head, body: &mut Body) -> io::Result<Response> {
        let response = if digest::wants(&head) {
            let mut upload = digest::Upload::new();
            while let Some(piece) = self.wire.read_body(body).await? {
                upload.update(&piece);
            }
            upload.answer()
        } else {
            let mut bytes = BytesMut::new();
            while let Some(piece) = self.wire.read_body(body).await? {
                if bytes.len() + piece.len() > BODY_BYTES_MAX {
                    return Ok(Response::text(413, "This endpoint takes small bodies only.\n"));
                }
                bytes.extend_from_slice(&piece);
            }
            self.services.answer(&Request { host: host.clone(), head, body: bytes.freeze() })
        };
        if !body.trailers().is_empty() {
            self.keep(&host, Kind::Trailers, body.trailers())?;
        }
        Ok(response)
    }

    async fn answer(&mut self, response: Response, without_body: bool) -> io::Result<bool> {
        if !response.delay.is_zero() {
            tokio::time::sleep(response.delay).await;
        }
        if let Content::Raw(bytes) = &response.content {
            self.wire.write(bytes).await?;
            self.wire.flush().await?;
            return Ok(false);
        }
        let mut head = response.encode_head();
        if without_body || !response.has_content() && response.content != Content::WebSocket {
            self.wire.write(&head).await?;
        } else if let Content::Bytes(bytes) = &response.content {
            head.extend_from_slice(bytes);
            self.wire.write(&head).await?;
        } else {
            self.wire.write(&head).await?;
            self.write_content(&response.content).await?;
        }
        self.wire.flush().await?;
        Ok(!response.closes && response.content != Content::WebSocket)
    }

    async fn write_content(&mut self, content: &Content) -> io::Result<()> {
        match content {
            Content::Bytes(_) | Content::Raw(_) => Ok(()),
            Content::Events { count, interval } => {
                for number in 1..=*count {
                    let event = format!("data: {{\"event\":{number}}}\n\n");
                    self.wire.write(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
                    self.wire.flush().await?;
                    tokio::time::sleep(*interval).await;
                }
                self.wire.write(b"0\r\n\r\n").await
            }
            Content::Pattern(bytes) => {
                for piece in pattern::pieces(*bytes) {
                    self.wire.write(piece).await?;
                }
                Ok(())
            }
            Content::Slow { count, interval } => {
                for _ in 0..*count {
                    self.wire.flush().await?;
                    tokio::time::sleep(*interval).await;
                    self.wire.write(b".").await?;
                }
                Ok(())
            }
            Content::WebSocket => {
                self.wire.flush().await?;
                websocket::echo(&mut self.wire).await
            }
        }
    }

    fn host(&self, head: Option<&Head>) -> String {
        let named = self.name.as_deref().or_else(|| head?.first("host"));
        named.unwrap_or("localhost").split(':').next().unwrap_or_default().to_ascii_lowercase()
    }

    fn keep(&self, host: &str, kind: Kind, raw: &[u8]) -> io::Result<()> {
        self.services.record.keep(host, self.number, kind, raw)
    }
}

/// What an endpoint collects before it answers; uploads to `/upload` are digested as they come and have no bound.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
