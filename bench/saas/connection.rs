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
                    let event = event(number);
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

/// One server-sent event.
pub(crate) fn event(number: u32) -> String {
    format!("data: {{\"event\":{number}}}\n\n")
}

/// What an endpoint collects before it answers; uploads to `/upload` are digested as they come and have no bound.
pub(crate) const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::seen::Record;

    /// What one connection to `www.example.com` answers to `sent`, and what is on record then.
    async fn converse(sent: &[u8]) -> (String, Vec<Value>) {
        let services = Services::new(Record::new(None).unwrap());
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client.write_all(sent).await.unwrap();
        client.shutdown().await.unwrap();
        // How the connection ends is told by the answer; an error is the peer's end in the middle of a request.
        let _ = serve(server, Some("www.example.com".to_owned()), 1, &services).await;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        let seen = services.record.seen("www.example.com")["requests"].as_array().unwrap().clone();
        (String::from_utf8_lossy(&answer).into_owned(), seen)
    }

    #[tokio::test]
    async fn pipelined_requests_are_answered_in_order_until_one_closes() {
        let sent = b"GET /status/201 HTTP/1.1\r\n\r\nGET /status/202 HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        let (answer, seen) = converse(sent).await;
        let statuses: Vec<&str> = answer.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect();
        assert_eq!(statuses, ["HTTP/1.1 201 Created", "HTTP/1.1 202 Accepted"]);
        assert_eq!(seen.len(), 2);
    }

    #[tokio::test]
    async fn what_is_refused_is_on_record_too() {
        let (answer, seen) = converse(b"GET / HTTP/1.1\r\nHost : odd\r\n\r\nGET / HTTP/1.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!((seen.len(), &seen[0]["headers"][0]), (1, &Value::from("Host : odd")));
        let (answer, seen) = converse(b"GET / HTTP/1.1\r\nHo").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(seen[0]["kind"], "partial");
        let (answer, _) = converse(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }

    #[tokio::test]
    async fn an_upload_is_digested_and_its_trailers_are_kept() {
        let sent = b"POST /upload HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n\
                     3\r\nabc\r\n0\r\nRestrict-Access-To-Tenants: evil.example\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        let (answer, seen) = converse(sent).await;
        assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), "{answer}");
        assert_eq!(seen[1]["kind"], "trailers");
        assert_eq!(seen[1]["headers"][0], "Restrict-Access-To-Tenants: evil.example");
        assert_eq!(seen[2]["request_line"], "GET / HTTP/1.1");
    }

    #[tokio::test]
    async fn an_early_answer_does_not_wait_for_the_body_and_ends_the_connection() {
        let (answer, seen) = converse(b"POST /early/403 HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc").await;
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n") && answer.contains("Connection: close"), "{answer}");
        assert_eq!(seen.len(), 1);
    }

    #[tokio::test]
    async fn events_and_patterns_are_framed_as_their_heads_say() {
        let (answer, _) = converse(b"GET /sse?count=2&interval_ms=0 HTTP/1.1\r\nConnection: close\r\n\r\n").await;
        assert!(answer.ends_with("13\r\ndata: {\"event\":2}\n\n\r\n0\r\n\r\n"), "{answer}");
        let (answer, _) = converse(b"GET /bytes/70000?digest=0 HTTP/1.0\r\n\r\n").await;
        assert!(answer.contains("Content-Length: 70000\r\n"), "{answer}");
        let (answer, _) = converse(b"HEAD /bytes/70000?digest=0 HTTP/1.1\r\n\r\n").await;
        assert!(answer.contains("Content-Length: 70000\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
        let (answer, _) = converse(b"GET /__raw/SFRUUC8xLjEgMjAw HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(answer, "HTTP/1.1 200");
    }
}
