//! A WebSocket that echoes every frame (RFC 6455): enough to prove that bytes pass untouched after an upgrade.
//!
//! Owns the opening handshake's answer and the framing of one message at a time. Frames are echoed as they are, unmasked;
//! fragments stay fragments.

use std::io;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::request::Request;
use crate::response::{Content, Response};
use crate::wire::Wire;

pub(crate) fn upgrade(request: &Request) -> Response {
    let head = &request.head;
    let asked = head.lists("upgrade", "websocket") && head.lists("connection", "upgrade");
    match head.first("sec-websocket-key") {
        Some(key) if asked => Response::new(101, "", Content::WebSocket)
            .with("Upgrade", "websocket")
            .with("Connection", "Upgrade")
            .with("Sec-WebSocket-Accept", accept(key)),
        _ => Response::text(400, "This path speaks WebSocket only.\n"),
    }
}

/// Echoes frames until a close frame has been echoed or the peer is gone.
pub(crate) async fn echo<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>) -> io::Result<()> {
    loop {
        let start = wire.read_exactly(2).await?;
        let [first, second] = *start else { return Ok(()) };
        let length = match second & 0x7f {
            126 => number(&wire.read_exactly(2).await?),
            127 => number(&wire.read_exactly(8).await?),
            short => u64::from(short),
        };
        if second & 0x80 == 0 || length > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an unmasked or oversized frame"));
        }
        let mask = wire.read_exactly(4).await?;
        let payload = wire.read_exactly(usize::try_from(length).unwrap_or(usize::MAX)).await?;
        let opcode = first & 0x0f;
        // A pong answers a ping (section 5.5.3).
        let first = if opcode == PING { first & 0xf0 | PONG } else { first };
        let mut frame = frame_head(first, length);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        wire.write(&frame).await?;
        wire.flush().await?;
        if opcode == CLOSE {
            return Ok(());
        }
    }
}

/// Section 4.2.2, item 5.4.
fn accept(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{MAGIC}").as_bytes()))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn frame_head(first: u8, length: u64) -> Vec<u8> {
    let bytes = length.to_be_bytes();
    let mut head = vec![first];
    match length {
        0..=125 => head.extend(bytes.last()),
        126..=65_535 => {
            head.push(126);
            head.extend(bytes.iter().skip(6));
        }
        _ => {
            head.push(127);
            head.extend(bytes);
        }
    }
    head
}

const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const FRAME_BYTES_MAX: u64 = 16 * 1024 * 1024;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn the_handshake_answers_the_example_of_the_standard() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let lines = ["GET /echo-ws HTTP/1.1", "Upgrade: websocket", "Connection: keep-alive, Upgrade"];
        assert_eq!(upgrade(&Request::example("a", &lines, "")).status, 400);
    }

    #[tokio::test]
    async fn frames_come_back_unmasked() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let task = tokio::spawn(async move { echo(&mut Wire::new(server)).await });
        // "Hello", masked: section 5.7.
        client.write_all(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]).await.unwrap();
        client.write_all(&[0x89, 0x80, 1, 2, 3, 4, 0x88, 0x80, 1, 2, 3, 4]).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, [&[0x81, 5][..], b"Hello", &[0x8a, 0], &[0x88, 0]].concat());
        task.await.unwrap().unwrap();
    }

    #[test]
    fn long_frames_have_long_lengths() {
        assert_eq!(frame_head(0x82, 125), [0x82, 125]);
        assert_eq!(frame_head(0x82, 126), [0x82, 126, 0, 126]);
        assert_eq!(frame_head(0x82, 65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
