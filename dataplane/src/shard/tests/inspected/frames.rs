//! HTTP/2 as the scripts write and read it: whole messages in frames, one stream after the other, with nothing of flow control:
//! all bodies of a visit fit into the window that each side has at first (RFC 9113 section 6.9.2).

use loona_hpack::Decoder;

use super::message::{Left, Message, Planned};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
const FRAME_BYTES: usize = 16_384;

/// SETTINGS without any.
pub(super) fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

/// A message on `stream`.
pub(super) fn message(planned: &Planned, stream: u32) -> Vec<u8> {
    let mut block = Vec::new();
    let pseudo = match &planned.host {
        Some(host) => {
            let mut line = planned.line.split(' ');
            let (method, path) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
            vec![(":method", method), (":scheme", "https"), (":authority", host.as_str()), (":path", path)]
        }
        None => vec![(":status", "200")],
    };
    for (name, value) in pseudo.into_iter().chain(planned.fields()) {
        block.push(0);
        string(name.to_ascii_lowercase().as_bytes(), &mut block);
        string(value.as_bytes(), &mut block);
    }
    let ends = |is_end| if is_end { END_STREAM } else { 0 };
    let mut out = frame(HEADERS, END_HEADERS | ends(planned.body.is_empty()), stream, &block);
    let mut chunks = planned.body.chunks(FRAME_BYTES).peekable();
    while let Some(chunk) = chunks.next() {
        out.extend(frame(DATA, ends(chunks.peek().is_none()), stream, chunk));
    }
    out
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A string literal without Huffman (RFC 7541 section 5.2).
fn string(text: &[u8], block: &mut Vec<u8>) {
    if let Some(mut rest) = text.len().checked_sub(127) {
        block.push(127);
        while rest >= 128 {
            block.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        block.push(rest as u8);
    } else {
        block.push(text.len() as u8);
    }
    block.extend_from_slice(text);
}

/// Reads one side's frames as they come.
pub(super) struct FrameReader {
    buffer: Vec<u8>,
    at: usize,
    decoder: Decoder<'static>,
    /// A header block that goes on, with its stream and whether the message ends with it.
    block: (u32, bool, Vec<u8>),
    /// What has to be said back.
    pub(super) replies: Vec<u8>,
    pub(super) is_sent_away: bool,
}

impl FrameReader {
    /// Behind `preface_bytes`.
    pub(super) fn new(preface_bytes: usize) -> Self {
        let (buffer, block) = (Vec::new(), (0, false, Vec::new()));
        Self { buffer, at: preface_bytes, decoder: Decoder::new(), block, replies: Vec::new(), is_sent_away: false }
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    pub(super) fn hear(&mut self, bytes: &[u8], messages: &mut Vec<Message>) {
        self.buffer.extend_from_slice(bytes);
        while let Some(header) = self.rest().get(..9) {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            let (kind, flags) = (header[3], header[4]);
            let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]) & 0x7fff_ffff;
            let Some(payload) = self.rest().get(9..9 + length) else { return };
            let payload = payload.to_vec();
            self.at += 9 + length;
            self.handle(kind, flags, stream, &payload, messages);
        }
    }

    fn handle(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8], messages: &mut Vec<Message>) {
        let ends = flags & END_STREAM != 0;
        match kind {
            DATA => {
                assert_eq!(flags & PADDED, 0, "padding that nobody sent");
                let message =
                    messages.iter_mut().find(|message| message.stream == stream).expect("a stream with a head");
                assert!(!message.whole, "bytes behind the end");
                message.body.extend_from_slice(payload);
                message.whole = ends;
            }
            HEADERS => {
                assert_eq!(flags & PADDED, 0, "padding that nobody sent");
                let skipped = if flags & PRIORITY == 0 { 0 } else { 5 };
                self.block = (stream, ends, payload[skipped..].to_vec());
                if flags & END_HEADERS != 0 {
                    self.end_block(messages);
                }
            }
            CONTINUATION => {
                self.block.2.extend_from_slice(payload);
                if flags & END_HEADERS != 0 {
                    self.end_block(messages);
                }
            }
            RST_STREAM => {
                let message = messages.iter_mut().find(|message| message.stream == stream);
                message.into_iter().for_each(|message| message.is_reset = true);
            }
            SETTINGS if flags & ACK == 0 => self.replies.extend(frame(SETTINGS, ACK, 0, &[])),
            PING if flags & ACK == 0 => self.replies.extend(frame(PING, ACK, 0, payload)),
            GOAWAY => self.is_sent_away = true,
            _ => {}
        }
    }

    fn end_block(&mut self, messages: &mut Vec<Message>) {
        let (stream, whole, block) = std::mem::take(&mut self.block);
        let fields = self.decoder.decode(&block).expect("a header block");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("ASCII");
        let (mut line, mut kept) = ([String::new(), String::new()], Vec::new());
        for (name, value) in fields {
            match (text(name), text(value)) {
                (name, value) if name == ":method" => line[0] = value,
                (name, value) if name == ":path" => line[1] = format!(" {value} HTTP/1.1"),
                (name, value) if name == ":status" => line[0] = format!("HTTP/1.1 {value} OK"),
                (name, _) if name == ":scheme" => {}
                (name, value) if name == ":authority" => kept.push(("Host".to_owned(), value)),
                field => kept.push(field),
            }
        }
        let message = Message::new(line.concat(), kept, Left::Close);
        messages.push(Message { whole, stream, ..message });
    }
}
