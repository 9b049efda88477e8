//! Requests and their answers on a flow with TLS inside, over HTTP/1.1 or HTTP/2.

use std::io;
use std::time::Instant;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use crate::client::{FAREWELL_MAX, Secured, Target, broken};
use crate::profile::Http;
use crate::tally::{Failure, Open, Tally};

/// A connection that takes requests.
pub(crate) enum Session {
    One { tls: Box<TlsStream<TcpStream>>, buffer: Vec<u8>, _open: Open },
    Two { sender: SendRequest<Bytes>, driver: JoinHandle<Result<(), h2::Error>>, _open: Open },
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// Bytes of the answer.
    pub(crate) bytes: u64,
    /// The connection ends with this one.
    pub(crate) is_last: bool,
}

impl Session {
    pub(crate) async fn new(secured: Secured, http: Http) -> Result<Self, Failure> {
        let Secured { tls, open } = secured;
        if http == Http::One {
            return Ok(Self::One { tls: Box::new(tls), buffer: Vec::new(), _open: open });
        }
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
        let (sender, connection) = builder.handshake(tls).await.map_err(failed)?;
        Ok(Self::Two { sender, driver: tokio::task::spawn_local(connection), _open: open })
    }

    /// One request with its whole answer.
    pub(crate) async fn exchange(&mut self, target: &Target, ask: Ask, tally: &Tally) -> Result<(), Failure> {
        let started = Instant::now();
        match self {
            Self::One { tls, buffer, .. } => {
                buffer.resize(BUFFER_BYTES, 0);
                tls.write_all(request(target, ask).as_bytes()).await.map_err(broken(Failure::Exchange))?;
                tls.flush().await.map_err(broken(Failure::Exchange))?;
                read_answer(tls, buffer, started, tally).await?;
            }
            Self::Two { sender, .. } => ask_by_stream(sender, target, ask, started, tally).await?,
        }
        tally.answered(started.elapsed());
        Ok(())
    }

    /// Waits, not for long, until the connection has ended.
    pub(crate) async fn finish(self) {
        match self {
            Self::One { mut tls, mut buffer, .. } => {
                let end = async {
                    while let Ok(1..) = tls.read(&mut buffer).await {}
                    let _ = tls.shutdown().await;
                };
                let _ = tokio::time::timeout(FAREWELL_MAX, end).await;
            }
            Self::Two { sender, mut driver, .. } => {
                drop(sender);
                if tokio::time::timeout(FAREWELL_MAX, &mut driver).await.is_err() {
                    driver.abort();
                }
            }
        }
    }
}

fn request(target: &Target, ask: Ask) -> String {
    let close = if ask.is_last { "Connection: close\r\n" } else { "" };
    let port = target.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!(
        "GET /bytes/{}?digest=0 HTTP/1.1\r\nHost: {}{port}\r\nUser-Agent: penstock-load\r\nAccept: */*\r\n{close}\r\n",
        ask.bytes, target.stream.host,
    )
}

async fn ask_by_stream(
    sender: &mut SendRequest<Bytes>,
    target: &Target,
    ask: Ask,
    started: Instant,
    tally: &Tally,
) -> Result<(), Failure> {
    let port = target.port().map(|port| format!(":{port}")).unwrap_or_default();
    let request = Request::builder()
        .uri(format!("https://{}{port}/bytes/{}?digest=0", target.stream.host, ask.bytes))
        .version(Version::HTTP_2)
        .header("user-agent", "penstock-load")
        .header("accept", "*/*")
        .body(())
        .map_err(|_| Failure::Exchange)?;
    std::future::poll_fn(|context| sender.poll_ready(context)).await.map_err(failed)?;
    let (response, _) = sender.send_request(request, true).map_err(failed)?;
    let response = response.await.map_err(failed)?;
    tally.first_byte(started.elapsed());
    if response.status() != 200 {
        return Err(Failure::Status);
    }
    let (mut body, mut received) = (response.into_body(), 0);
    while let Some(data) = body.data().await {
        let data = data.map_err(failed)?;
        received += data.len() as u64;
        tally.received(data.len() as u64);
        body.flow_control().release_capacity(data.len()).map_err(failed)?;
    }
    if received == ask.bytes { Ok(()) } else { Err(Failure::Exchange) }
}

fn failed(error: h2::Error) -> Failure {
    match error.into_io() {
        Some(error) => broken(Failure::Exchange)(error),
        None => Failure::Exchange,
    }
}

async fn read_answer<R: AsyncRead + Unpin>(
    stream: &mut R,
    buffer: &mut [u8],
    started: Instant,
    tally: &Tally,
) -> Result<(), Failure> {
    let mut filled = 0;
    let (head_bytes, body_bytes) = loop {
        let room = buffer.get_mut(filled..).filter(|room| !room.is_empty()).ok_or(Failure::Exchange)?;
        let count = read_some(stream, room).await?;
        if filled == 0 {
            tally.first_byte(started.elapsed());
        }
        filled += count;
        if let Some(lengths) = lengths(buffer.get(..filled).unwrap_or_default())? {
            break lengths;
        }
    };
    let first = (filled - head_bytes) as u64;
    let mut left = body_bytes.checked_sub(first).ok_or(Failure::Exchange)?;
    tally.received(first);
    while left > 0 {
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = read_some(stream, buffer.get_mut(..room).unwrap_or_default()).await? as u64;
        tally.received(count);
        left -= count;
    }
    Ok(())
}

async fn read_some<R: AsyncRead + Unpin>(stream: &mut R, room: &mut [u8]) -> Result<usize, Failure> {
    let count: io::Result<usize> = stream.read(room).await;
    let count = count.map_err(broken(Failure::Exchange))?;
    if count > 0 { Ok(count) } else { Err(Failure::Exchange) }
}

/// The bytes of the head and of the body, once the head is whole.
fn lengths(bytes: &[u8]) -> Result<Option<(usize, u64)>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = response.parse(bytes).map_err(|_| Failure::Exchange)? else {
        return Ok(None);
    };
    if response.code != Some(200) {
        return Err(Failure::Status);
    }
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    length.map(|body_bytes| Some((head_bytes, body_bytes))).ok_or(Failure::Exchange)
}

const BUFFER_BYTES: usize = 64 * 1024;
/// So large that a download never waits for the window of this tool.
const WINDOW_BYTES: u32 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_read_to_its_last_byte_however_it_comes() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let tally = Tally::new().unwrap();
        for split in 1..answer.len() {
            let (first, second) = answer.split_at(split);
            let mut stream = first.chain(second);
            assert_eq!(read_answer(&mut stream, &mut [0; 256], Instant::now(), &tally).await, Ok(()), "{split}");
        }
        assert_eq!(tally.whole.borrow().bytes, 5 * (answer.len() as u64 - 1));
        let mut short = answer[..answer.len() - 1].as_ref();
        let read = read_answer(&mut short, &mut [0; 256], Instant::now(), &tally).await;
        assert_eq!(read, Err(Failure::Exchange));
    }

    #[test]
    fn only_200_with_a_length_is_an_answer() {
        assert_eq!(lengths(b"HTTP/1.1 200 OK\r\n"), Ok(None));
        assert_eq!(lengths(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"), Err(Failure::Status));
        assert_eq!(lengths(b"HTTP/1.1 200 OK\r\n\r\n"), Err(Failure::Exchange));
        assert_eq!(lengths(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n"), Ok(Some((38, 7))));
    }
}
