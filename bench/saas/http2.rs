//! One HTTP/2 connection of one host: streams are read, recorded and answered side by side by the same endpoints.
//!
//! Owns what differs from HTTP/1.1 on the wire: streams instead of order, frames instead of chunks. What is recorded of
//! a request is its decoded field list; copies of a name stand together, where the first of them stood.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderMap, Method, Request as Http2Request, Response as Http2Response};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::clock;
use crate::connection::{BODY_BYTES_MAX, event};
use crate::endpoint::Services;
use crate::plain::{digest, pattern};
use crate::request::{Head, Header, Request};
use crate::response::{Content, Response};
use crate::seen::Kind;

/// Serves until the peer closes. `name` is the handshake's.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    name: &str,
    number: u64,
    services: &Arc<Services>,
) -> io::Result<()> {
    let mut connection = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .handshake(stream)
        .await
        .map_err(io::Error::other)?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted.map_err(io::Error::other)?;
        let exchange = Exchange { host: name.to_owned(), number, services: Arc::clone(services) };
        tokio::spawn(async move {
            if let Err(error) = exchange.run(request, respond).await {
                tracing::debug!(%error, "stream");
            }
        });
    }
    Ok(())
}

/// One stream.
struct Exchange {
    host: String,
    number: u64,
    services: Arc<Services>,
}

impl Exchange {
    async fn run(self, request: Http2Request<RecvStream>, mut respond: SendResponse<Bytes>) -> io::Result<()> {
        let (parts, mut body) = request.into_parts();
        let authority = parts.uri.authority().map(|authority| (":authority", authority.as_str().as_bytes()));
        let fields = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let headers: Vec<Header> = authority
            .into_iter()
            .chain(fields)
            .map(|(name, value)| Header { name: name.to_owned(), value: Bytes::copy_from_slice(value) })
            .collect();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let head = Head { method: parts.method.as_str().to_owned(), target, minor_version: 1, headers };
        self.keep(Kind::Head, &lines(&format!("{} {} HTTP/2", head.method, head.target), &head.headers))?;
        let response = if head.target.starts_with("/early/") || body.is_end_stream() {
            self.services.answer(&Request { host: self.host.clone(), head, body: Bytes::new() })
        } else {
            self.answer_with_body(head, &mut body).await?
        };
        answer(response, &mut respond, parts.method == Method::HEAD).await
    }

    async fn answer_with_body(&self, head: Head, body: &mut RecvStream) -> io::Result<Response> {
        let mut upload = digest::wants(&head).then(digest::Upload::new);
        let mut bytes = BytesMut::new();
        while let Some(piece) = body.data().await {
            let piece = piece.map_err(io::Error::other)?;
            body.flow_control().release_capacity(piece.len()).map_err(io::Error::other)?;
            match &mut upload {
                Some(upload) => upload.update(&piece),
                None if bytes.len() + piece.len() > BODY_BYTES_MAX => {
                    return Ok(Response::text(413, "This endpoint takes small bodies only.\n"));
                }
                None => bytes.extend_from_slice(&piece),
            }
        }
        if let Some(trailers) = body.trailers().await.map_err(io::Error::other)? {
            self.keep(Kind::Trailers, &trailer_lines(&trailers))?;
        }
        Ok(match upload {
            Some(upload) => upload.answer(),
            None => self.services.answer(&Request { host: self.host.clone(), head, body: bytes.freeze() }),
        })
    }

    fn keep(&self, kind: Kind, raw: &[u8]) -> io::Result<()> {
        self.services.record.keep(&self.host, self.number, kind, raw)
    }
}

async fn answer(response: Response, respond: &mut SendResponse<Bytes>, without_body: bool) -> io::Result<()> {
    if !response.delay.is_zero() {
        tokio::time::sleep(response.delay).await;
    }
    if matches!(response.content, Content::Raw(_) | Content::WebSocket) {
        // Bytes that are no answer, and another protocol on the same connection: HTTP/1.1 alone has these.
        respond.send_reset(Reason::HTTP_1_1_REQUIRED);
        return Ok(());
    }
    let empty = without_body || !response.has_content();
    let mut stream = respond.send_response(head(&response)?, empty).map_err(io::Error::other)?;
    if empty {
        return Ok(());
    }
    match response.content {
        Content::Bytes(bytes) => send(&mut stream, Bytes::from(bytes)).await?,
        Content::Events { count, interval } => {
            for number in 1..=count {
                send(&mut stream, Bytes::from(event(number))).await?;
                tokio::time::sleep(interval).await;
            }
        }
        Content::Pattern(bytes) => {
            for piece in pattern::pieces(bytes) {
                send(&mut stream, Bytes::from_static(piece)).await?;
            }
        }
        Content::Slow { count, interval } => {
            for _ in 0..count {
                tokio::time::sleep(interval).await;
                send(&mut stream, Bytes::from_static(b".")).await?;
            }
        }
        Content::Raw(_) | Content::WebSocket => {}
    }
    stream.send_data(Bytes::new(), true).map_err(io::Error::other)
}

/// The head of an answer; what HTTP/1.1 says with its framing, frames say here.
fn head(response: &Response) -> io::Result<Http2Response<()>> {
    let mut head = Http2Response::builder().status(response.status).header(DATE, clock::http_date());
    for (name, value) in response.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("connection")) {
        head = head.header(*name, value);
    }
    if let Some(bytes) = response.length() {
        head = head.header(CONTENT_LENGTH, bytes);
    }
    head.body(()).map_err(io::Error::other)
}

/// Sends as the peer's windows allow.
async fn send(stream: &mut SendStream<Bytes>, mut bytes: Bytes) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        while stream.capacity() == 0 {
            match poll_fn(|context| stream.poll_capacity(context)).await {
                Some(more) => more.map_err(io::Error::other)?,
                None => return Err(io::ErrorKind::ConnectionReset.into()),
            };
        }
        let piece = bytes.split_to(stream.capacity().min(bytes.len()));
        stream.send_data(piece, false).map_err(io::Error::other)?;
    }
    Ok(())
}

/// A field list in the shape of the record: a first line, then one line for each field.
fn lines(first: &str, headers: &[Header]) -> Vec<u8> {
    let mut lines = format!("{first}\r\n").into_bytes();
    for header in headers {
        push_line(&mut lines, &header.name, &header.value);
    }
    lines.extend_from_slice(b"\r\n");
    lines
}

fn trailer_lines(trailers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::new();
    trailers.iter().for_each(|(name, value)| push_line(&mut lines, name.as_str(), value.as_bytes()));
    lines
}

fn push_line(lines: &mut Vec<u8>, name: &str, value: &[u8]) {
    lines.extend_from_slice(name.as_bytes());
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value);
    lines.extend_from_slice(b"\r\n");
}

const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const STREAMS_MAX: u32 = 256;
/// More than any proxy should let through, so that the record shows what it did let through.
const HEADER_LIST_BYTES_MAX: u32 = 256 * 1024;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::seen::Record;

    /// Sends the requests over one connection to `host`, one after the other, and answers with status and body of each,
    /// and with what is on record then.
    async fn converse(host: &str, requests: Vec<(Http2Request<()>, &'static [u8])>) -> (Vec<(u16, Vec<u8>)>, Value) {
        let services = Arc::new(Services::new(Record::new(None).unwrap()));
        let (client, server) = tokio::io::duplex(1 << 20);
        let served = (host.to_owned(), Arc::clone(&services));
        let server = tokio::spawn(async move { serve(server, &served.0, 7, &served.1).await });
        let (sender, connection) = h2::client::handshake(client).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut answers = Vec::new();
        for (request, body) in requests {
            let mut sender = sender.clone().ready().await.unwrap();
            let (answer, mut stream) = sender.send_request(request, body.is_empty()).unwrap();
            if !body.is_empty() {
                stream.send_data(Bytes::from_static(body), true).unwrap();
            }
            let (parts, mut content) = answer.await.unwrap().into_parts();
            let mut bytes = Vec::new();
            while let Some(piece) = content.data().await {
                let piece = piece.unwrap();
                content.flow_control().release_capacity(piece.len()).unwrap();
                bytes.extend_from_slice(&piece);
            }
            answers.push((parts.status.as_u16(), bytes));
        }
        drop(sender);
        connection.await.unwrap().unwrap();
        server.await.unwrap().unwrap();
        (answers, services.record.seen(host))
    }

    fn get(host: &str, path: &str) -> http::request::Builder {
        Http2Request::builder().uri(format!("https://{host}{path}"))
    }

    #[tokio::test]
    async fn fields_are_on_record_in_order_with_every_copy() {
        let request = get("www.example.com", "/a?b=c")
            .header("x-one", "1")
            .header("restrict-access-to-tenants", "evil.example")
            .header("restrict-access-to-tenants", "contoso.com")
            .header("x-two", "2");
        let (answers, seen) = converse("www.example.com", vec![(request.body(()).unwrap(), b"")]).await;
        assert_eq!(answers[0].0, 404);
        let seen = &seen["requests"][0];
        assert_eq!((&seen["request_line"], &seen["connection"]), (&json!("GET /a?b=c HTTP/2"), &json!(7)));
        let lines = [
            ":authority: www.example.com",
            "x-one: 1",
            "restrict-access-to-tenants: evil.example",
            "restrict-access-to-tenants: contoso.com",
            "x-two: 2",
        ];
        assert_eq!(seen["headers"], json!(lines));
    }

    #[tokio::test]
    async fn a_vendor_says_over_http_2_what_it_says_over_http_1_1() {
        let ask = |headers: &[&str]| {
            let mut request = get("api.openai.com", "/v1/models").header("authorization", "Bearer sk-foreign");
            for value in headers {
                request = request.header("openai-allowed-organization-ids", *value);
            }
            (request.body(()).unwrap(), &b""[..])
        };
        let requests = vec![ask(&[]), ask(&["org-contoso"]), ask(&["org-contoso", "org-contoso"])];
        let statuses: Vec<u16> =
            converse("api.openai.com", requests).await.0.into_iter().map(|(status, _)| status).collect();
        assert_eq!(statuses, [200, 403, 400]);
    }

    #[tokio::test]
    async fn bodies_go_both_ways() {
        let post = |path| get("www.example.com", path).method(Method::POST).body(()).unwrap();
        let ask = |path| (get("www.example.com", path).body(()).unwrap(), &b""[..]);
        let requests =
            vec![(post("/upload"), &b"abc"[..]), (post("/echo"), b"abc"), ask("/bytes/3000000"), ask("/sse?count=2")];
        let (answers, _) = converse("www.example.com", requests).await;
        let digest: Value = serde_json::from_slice(&answers[0].1).unwrap();
        assert_eq!(digest["sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(answers[1].1, b"abc");
        assert!(answers[2].1.iter().eq(pattern::pieces(3_000_000).flatten()));
        assert_eq!(answers[3].1, b"data: {\"event\":1}\n\ndata: {\"event\":2}\n\n");
    }
}
