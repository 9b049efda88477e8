//! An HTTP/2 client through the appliance: many streams of one connection, with every field as the test tells it.
//!
//! The `h2` crate under it encodes header blocks as real clients do, into the connection's dynamic table unless a field is
//! marked sensitive.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use crate::http::Answer;
use crate::wait;

/// One connection. It is driven on a thread of its own.
pub struct Http2Client {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    /// Resolves when the connection has ended, with what went wrong.
    ended: Option<oneshot::Receiver<Option<h2::Error>>>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    method: Method,
    authority: String,
    path: String,
    fields: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

/// An answer whose body is still to come.
pub struct Opened {
    /// Status and fields.
    pub answer: Answer,
    body: RecvStream,
}

impl Ask {
    /// GET of `path` at `authority`.
    pub fn get(authority: &str, path: &str) -> Self {
        Self {
            method: Method::GET,
            authority: authority.to_owned(),
            path: path.to_owned(),
            fields: HeaderMap::new(),
            body: Vec::new(),
            trailers: None,
        }
    }

    /// POST of `body`.
    pub fn post(authority: &str, path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { method: Method::POST, body: body.into(), ..Self::get(authority, path) }
    }

    /// One more field; a name may come more than once.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        self
    }

    /// One more field that no hop may keep in a table.
    pub fn sensitive(mut self, name: &str, value: &str) -> Self {
        let mut value = HeaderValue::try_from(value).unwrap();
        value.set_sensitive(true);
        self.fields.append(HeaderName::try_from(name).unwrap(), value);
        self
    }

    /// A trailer behind the body.
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        let trailers = self.trailers.get_or_insert_default();
        trailers.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        self
    }

    fn head(&self) -> Request<()> {
        let uri = Uri::builder().scheme("https").authority(self.authority.as_str()).path_and_query(self.path.as_str());
        let mut head = Request::new(());
        *head.method_mut() = self.method.clone();
        *head.uri_mut() = uri.build().unwrap();
        *head.version_mut() = Version::HTTP_2;
        head.headers_mut().clone_from(&self.fields);
        head
    }
}

impl Http2Client {
    /// Shakes hands over `stream`, and fails when HTTP/2 is not what was agreed.
    pub fn connect(stream: TcpStream, name: &str, mut config: ClientConfig) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let (sender, ended) = runtime.block_on(async {
            stream.set_nonblocking(true)?;
            let stream = tokio::net::TcpStream::from_std(stream)?;
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
            if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                return Err(io::Error::other(format!("agreed on {:?}", stream.get_ref().1.alpn_protocol())));
            }
            let (sender, connection) = h2::client::Builder::new()
                .initial_window_size(WINDOW_BYTES)
                .initial_connection_window_size(WINDOW_BYTES)
                .enable_push(false)
                .handshake(stream)
                .await
                .map_err(io::Error::other)?;
            let (tell, ended) = oneshot::channel();
            tokio::spawn(async move {
                let _ = tell.send(connection.await.err());
            });
            Ok((sender, ended))
        })?;
        Ok(Self { runtime, sender, ended: Some(ended) })
    }

    /// Asks, and reads the whole answer.
    pub fn ask(&self, ask: Ask) -> Result<Answer, h2::Error> {
        self.ask_all(vec![ask]).remove(0)
    }

    /// Asks all at once, each on its stream; the answers come in the order of the requests.
    pub fn ask_all(&self, asks: Vec<Ask>) -> Vec<Result<Answer, h2::Error>> {
        self.runtime.block_on(async {
            let tasks: Vec<_> = asks.into_iter().map(|ask| tokio::spawn(converse(self.sender.clone(), ask))).collect();
            let mut answers = Vec::new();
            for task in tasks {
                let answered = tokio::time::timeout(wait::LIMIT, task).await.expect("an answer within a minute");
                answers.push(answered.unwrap());
            }
            answers
        })
    }

    /// Asks, and waits for the answer's head only.
    pub fn open(&self, ask: Ask) -> Result<Opened, h2::Error> {
        self.runtime.block_on(async {
            let opened = tokio::time::timeout(wait::LIMIT, open(self.sender.clone(), ask));
            opened.await.expect("a head within a minute")
        })
    }

    /// The next piece of a body; `None` at its end.
    pub fn piece(&self, opened: &mut Opened) -> Result<Option<Bytes>, h2::Error> {
        self.runtime.block_on(async {
            tokio::time::timeout(wait::LIMIT, piece(&mut opened.body)).await.expect("a piece within a minute")
        })
    }

    /// What is left of a body.
    pub fn rest(&self, opened: &mut Opened) -> Result<Bytes, h2::Error> {
        let mut rest = Vec::new();
        while let Some(piece) = self.piece(opened)? {
            rest.extend_from_slice(&piece);
        }
        Ok(rest.into())
    }

    /// Waits until the connection has ended; the error that was said at its end, if any.
    pub fn ended(&mut self) -> Option<Reason> {
        let ended = self.ended.take().expect("asked once");
        let ended = self.runtime.block_on(async { tokio::time::timeout(wait::LIMIT, ended).await });
        let error = ended.expect("an end within a minute").unwrap();
        error.and_then(|error| error.reason()).filter(|reason| *reason != Reason::NO_ERROR)
    }
}

async fn converse(sender: SendRequest<Bytes>, ask: Ask) -> Result<Answer, h2::Error> {
    let mut opened = open(sender, ask).await?;
    while let Some(bytes) = piece(&mut opened.body).await? {
        opened.answer.body.extend_from_slice(&bytes);
    }
    if let Some(trailers) = opened.body.trailers().await? {
        opened.answer.trailers = fields_of(&trailers);
    }
    Ok(opened.answer)
}

/// The body goes up beside the answer coming down, as an answer need not wait for it.
async fn open(sender: SendRequest<Bytes>, ask: Ask) -> Result<Opened, h2::Error> {
    let ends_at_head = ask.body.is_empty() && ask.trailers.is_none();
    let (response, stream): (ResponseFuture, SendStream<Bytes>) =
        sender.ready().await?.send_request(ask.head(), ends_at_head)?;
    if !ends_at_head {
        tokio::spawn(async move {
            // A refusal ends the stream; the answer says it.
            let _ = upload(stream, Bytes::from(ask.body), ask.trailers).await;
        });
    }
    let (parts, body) = response.await?.into_parts();
    let answer = Answer { status: parts.status.as_u16(), fields: fields_of(&parts.headers), ..Answer::default() };
    Ok(Opened { answer, body })
}

async fn upload(mut stream: SendStream<Bytes>, body: Bytes, trailers: Option<HeaderMap>) -> Result<(), h2::Error> {
    send(&mut stream, body).await?;
    match trailers {
        Some(trailers) => stream.send_trailers(trailers),
        None => stream.send_data(Bytes::new(), true),
    }
}

async fn piece(body: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let Some(bytes) = body.data().await.transpose()? else { return Ok(None) };
    body.flow_control().release_capacity(bytes.len())?;
    Ok(Some(bytes))
}

/// Sends as the peer's windows allow.
pub(crate) async fn send(stream: &mut SendStream<Bytes>, mut bytes: Bytes) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        while stream.capacity() == 0 {
            if let Some(more) = std::future::poll_fn(|context| stream.poll_capacity(context)).await {
                more?;
            } else {
                return Err(Reason::CANCEL.into());
            }
        }
        let piece = bytes.split_to(stream.capacity().min(bytes.len()));
        stream.send_data(piece, false)?;
    }
    Ok(())
}

/// Names and values in order; copies of a name stand together.
pub(crate) fn fields_of(map: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    map.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

const WINDOW_BYTES: u32 = 1024 * 1024;
