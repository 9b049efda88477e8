//! Reads HTTP/1.1 heads and bodies off one connection and keeps the exact bytes.
//!
//! Owns the receive buffer, the body framing and their bounds; knows no host and no vendor. `connection` calls it.
//! A head is handed out before it is judged, so that the record shows also what a strict server refuses.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// One connection: the stream and what was received but not yet used.
pub(crate) struct Wire<S> {
    stream: S,
    buffer: BytesMut,
}

/// What came instead of, or as, the next head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeadRead {
    /// The peer closed between requests.
    Closed,
    /// The exact bytes up to and with the empty line.
    Head(Bytes),
    /// The peer closed, or went past the bound, inside a head; these bytes had come.
    Partial(Bytes),
}

/// How the body of a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Chunked,
    Length(u64),
}

/// A body that is being read.
#[derive(Debug)]
pub(crate) struct Body {
    state: BodyState,
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyState {
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Done,
    Length(u64),
    Trailers,
}

impl Body {
    pub(crate) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Chunked => BodyState::ChunkSize,
            Framing::Length(0) => BodyState::Done,
            Framing::Length(bytes) => BodyState::Length(bytes),
        };
        Self { state, trailers: Vec::new() }
    }

    /// The exact trailer lines, without the last empty line; none unless the body was chunked and has been read.
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == BodyState::Done
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::with_capacity(READ_BYTES) }
    }

    /// Waits for the next head.
    pub(crate) async fn read_head(&mut self) -> io::Result<HeadRead> {
        let mut scanned = 0;
        loop {
            if let Some(end) = head_end(&self.buffer, scanned) {
                return Ok(HeadRead::Head(self.buffer.split_to(end).freeze()));
            }
            scanned = self.buffer.len().saturating_sub(3);
            if self.buffer.len() >= HEAD_BYTES_MAX {
                return Ok(HeadRead::Partial(self.buffer.split().freeze()));
            }
            if self.fill().await? == 0 {
                let rest = self.buffer.split().freeze();
                return Ok(if rest.is_empty() { HeadRead::Closed } else { HeadRead::Partial(rest) });
            }
        }
    }

    /// The next piece of the body as it comes, `None` at its end.
    pub(crate) async fn read_body(&mut self, body: &mut Body) -> io::Result<Option<Bytes>> {
        loop {
            match body.state {
                BodyState::Done => return Ok(None),
                BodyState::Length(left) => {
                    let piece = self.piece(left).await?;
                    let left = left - piece.len() as u64;
                    body.state = if left == 0 { BodyState::Done } else { BodyState::Length(left) };
                    return Ok(Some(piece));
                }
                BodyState::ChunkData(left) => {
                    let piece = self.piece(left).await?;
                    let left = left - piece.len() as u64;
                    body.state = if left == 0 { BodyState::ChunkEnd } else { BodyState::ChunkData(left) };
                    return Ok(Some(piece));
                }
                BodyState::ChunkSize => {
                    let line = self.line().await?;
                    body.state = match chunk_size(&line)? {
                        0 => BodyState::Trailers,
                        size => BodyState::ChunkData(size),
                    };
                }
                BodyState::ChunkEnd => {
                    if !self.line().await?.is_empty() {
                        return Err(malformed("a chunk that is longer than it said"));
                    }
                    body.state = BodyState::ChunkSize;
                }
                BodyState::Trailers => {
                    let line = self.line().await?;
                    if line.is_empty() {
                        body.state = BodyState::Done;
                    } else if body.trailers.len() + line.len() > HEAD_BYTES_MAX {
                        return Err(malformed("trailers beyond the bound"));
                    } else {
                        body.trailers.extend_from_slice(&line);
                        body.trailers.extend_from_slice(b"\r\n");
                    }
                }
            }
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.stream.flush().await
    }

    /// Says that nothing more will be sent (over TLS: close_notify, then FIN).
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// At least `bytes` further bytes of a protocol that is not HTTP any more.
    pub(crate) async fn read_exactly(&mut self, bytes: usize) -> io::Result<Bytes> {
        while self.buffer.len() < bytes {
            self.fill_or_fail().await?;
        }
        Ok(self.buffer.split_to(bytes).freeze())
    }

    async fn piece(&mut self, bytes_max: u64) -> io::Result<Bytes> {
        if self.buffer.is_empty() {
            self.fill_or_fail().await?;
        }
        let bytes = usize::try_from(bytes_max).unwrap_or(usize::MAX).min(self.buffer.len());
        Ok(self.buffer.split_to(bytes).freeze())
    }

    async fn line(&mut self) -> io::Result<Bytes> {
        let mut scanned = 0;
        loop {
            if let Some(at) = memmem::find(self.buffer.get(scanned..).unwrap_or_default(), b"\r\n") {
                let line = self.buffer.split_to(scanned + at).freeze();
                self.buffer.advance(2);
                return Ok(line);
            }
            scanned = self.buffer.len().saturating_sub(1);
            if self.buffer.len() >= LINE_BYTES_MAX {
                return Err(malformed("a line beyond the bound"));
            }
            self.fill_or_fail().await?;
        }
    }

    async fn fill_or_fail(&mut self) -> io::Result<()> {
        match self.fill().await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ_BYTES);
        self.stream.read_buf(&mut self.buffer).await
    }
}

/// Where the head ends: after the first empty line, whichever line ends were used.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let rest = bytes.get(at..)?;
        let newline = memchr::memchr(b'\n', rest)?;
        match rest.get(newline + 1..)? {
            [b'\n', ..] => return Some(at + newline + 2),
            [b'\r', b'\n', ..] => return Some(at + newline + 3),
            _ => at += newline + 1,
        }
    }
}

fn chunk_size(line: &[u8]) -> io::Result<u64> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let text = std::str::from_utf8(digits).unwrap_or_default();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(malformed("a chunk size that is no hexadecimal number"));
    }
    u64::from_str_radix(text, 16).map_err(|_| malformed("a chunk size beyond 64 bits"))
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const READ_BYTES: usize = 64 * 1024;
/// More than any proxy should let through, so that the record shows what it did let through.
const HEAD_BYTES_MAX: usize = 256 * 1024;
const LINE_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    async fn fed(pieces: &[&[u8]]) -> Wire<tokio::io::DuplexStream> {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        for piece in pieces {
            client.write_all(piece).await.unwrap();
        }
        drop(client);
        Wire::new(server)
    }

    async fn whole_body(wire: &mut Wire<tokio::io::DuplexStream>, framing: Framing) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let mut body = Body::new(framing);
        let mut bytes = Vec::new();
        while let Some(piece) = wire.read_body(&mut body).await? {
            bytes.extend_from_slice(&piece);
        }
        assert!(body.is_done());
        Ok((bytes, body.trailers().to_vec()))
    }

    #[test]
    fn the_head_ends_at_the_first_empty_line_of_either_kind() {
        assert_eq!(head_end(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", 0), Some(27));
        assert_eq!(head_end(b"GET / HTTP/1.1\nHost: a\n\nrest", 0), Some(24));
        let whole = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(head_end(&whole[..end], 0), None, "{end}");
            assert_eq!(head_end(whole, end.saturating_sub(3).min(23)), Some(27));
        }
    }

    #[tokio::test]
    async fn pipelined_heads_come_out_one_by_one_with_their_exact_bytes() {
        let mut wire = fed(&[b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\nX : y\r\n\r\nGE"]).await;
        assert_eq!(wire.read_head().await.unwrap(), HeadRead::Head(Bytes::from_static(b"GET /a HTTP/1.1\r\n\r\n")));
        let second = Bytes::from_static(b"GET /b HTTP/1.1\r\nX : y\r\n\r\n");
        assert_eq!(wire.read_head().await.unwrap(), HeadRead::Head(second));
        assert_eq!(wire.read_head().await.unwrap(), HeadRead::Partial(Bytes::from_static(b"GE")));
        assert_eq!(wire.read_head().await.unwrap(), HeadRead::Closed);
    }

    #[tokio::test]
    async fn chunks_and_trailers_are_read_to_their_end() {
        let mut wire = fed(&[b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-Late: 1\r\n\r\nGET"]).await;
        let (body, trailers) = whole_body(&mut wire, Framing::Chunked).await.unwrap();
        assert_eq!((body.as_slice(), trailers.as_slice()), (b"hello!".as_slice(), b"X-Late: 1\r\n".as_slice()));
        assert_eq!(wire.read_exactly(3).await.unwrap(), Bytes::from_static(b"GET"));
    }

    #[tokio::test]
    async fn a_body_of_known_length_leaves_what_follows() {
        let mut wire = fed(&[b"helloGET"]).await;
        assert_eq!(whole_body(&mut wire, Framing::Length(5)).await.unwrap().0, b"hello");
        assert_eq!(wire.read_exactly(3).await.unwrap(), Bytes::from_static(b"GET"));
    }

    #[tokio::test]
    async fn broken_chunks_are_errors() {
        for bad in [&b"0x5\r\nhello\r\n"[..], b"\r\n", b"5\r\nhello!\r\n", b"11111111111111111\r\n", b"5\r\nhel"] {
            let mut wire = fed(&[bad]).await;
            assert!(whole_body(&mut wire, Framing::Chunked).await.is_err());
        }
    }
}
