//! HTTP/2 as the scripts write and read it: frames of each stream as the windows of both sides let them go.

use loona_hpack::Decoder;

use super::message::{Left, Message, Planned};
use super::windows::{Allowed, Granted};
use crate::ring::chaos::Dice;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
const INITIAL_WINDOW_SIZE: u16 = 4;
const FRAME_BYTES: usize = 16_384;

/// SETTINGS with the window that streams have at first.
pub(super) fn settings(initial_window: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &initial_window.to_be_bytes()].concat())
}

/// The first header block of a message.
fn head(planned: &Planned) -> Vec<u8> {
    let pseudo = match &planned.host {
        Some(host) => {
            let mut line = planned.line.split(' ');
            let (method, path) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
            vec![(":method", method), (":scheme", "https"), (":authority", host.as_str()), (":path", path)]
        }
        None => vec![(":status", "200")],
    };
    block(pseudo.into_iter().chain(planned.fields()))
}

/// Literals without indexing (RFC 7541 section 6.2.2).
fn block<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(name.to_ascii_lowercase().as_bytes(), &mut block);
        string(value.as_bytes(), &mut block);
    }
    block
}

const fn ends(is_end: bool) -> u8 {
    if is_end { END_STREAM } else { 0 }
}

/// What is still to go of a message.
struct Unsent {
    stream: u32,
    rest: Vec<u8>,
    trailers: Option<Vec<u8>>,
}

impl Unsent {
    /// As many frames as there is room for.
    fn frames(&mut self, allowed: &mut Allowed, dice: &mut Dice) -> Vec<u8> {
        let mut out = Vec::new();
        while !self.rest.is_empty() {
            let most = if dice.percent(30) { 1 + dice.below(FRAME_BYTES) } else { FRAME_BYTES };
            let bytes = allowed.take(self.stream, self.rest.len().min(most));
            if bytes == 0 {
                return out;
            }
            let behind = self.rest.split_off(bytes);
            let is_end = behind.is_empty() && self.trailers.is_none();
            out.extend(frame(DATA, ends(is_end), self.stream, &self.rest));
            self.rest = behind;
        }
        if let Some(trailers) = self.trailers.take() {
            out.extend(frame(HEADERS, END_HEADERS | END_STREAM, self.stream, &trailers));
        }
        out
    }

    const fn is_sent(&self) -> bool {
        self.rest.is_empty() && self.trailers.is_none()
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

fn number(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_be_bytes)
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

/// One end: reads the other side's frames as they come, and sends its own as it may.
pub(super) struct Frames {
    buffer: Vec<u8>,
    at: usize,
    decoder: Decoder<'static>,
    /// A header block that goes on, with its stream and whether the message ends with it.
    block: (u32, bool, Vec<u8>),
    /// What has to be said back.
    replies: Vec<u8>,
    unsent: Vec<Unsent>,
    allowed: Allowed,
    granted: Granted,
    /// Streams whose head has come, and that are not granted anything yet.
    begun: Vec<u32>,
    pub(super) is_sent_away: bool,
}

impl Frames {
    /// Reads behind `preface_bytes`, and has announced `initial_window`.
    pub(super) fn new(preface_bytes: usize, initial_window: u32) -> Self {
        Self {
            buffer: Vec::new(),
            at: preface_bytes,
            decoder: Decoder::new(),
            block: (0, false, Vec::new()),
            replies: Vec::new(),
            unsent: Vec::new(),
            allowed: Allowed::new(),
            granted: Granted::new(i64::from(initial_window)),
            begun: Vec::new(),
            is_sent_away: false,
        }
    }

    /// Begins a message; [`Self::speak`] has the rest of it.
    pub(super) fn begin(&mut self, planned: &Planned, stream: u32) -> Vec<u8> {
        let trailers = planned.trailers();
        let trailers =
            (!trailers.is_empty()).then(|| block(trailers.iter().map(|(name, value)| (name.as_str(), value.as_str()))));
        let is_end = planned.body.is_empty() && trailers.is_none();
        self.unsent.push(Unsent { stream, rest: planned.body.clone(), trailers });
        frame(HEADERS, END_HEADERS | ends(is_end), stream, &head(planned))
    }

    /// Replies, grants, and what may go now of the messages that have begun.
    pub(super) fn speak(&mut self, dice: &mut Dice) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.replies);
        for stream in self.begun.drain(..) {
            self.granted.begin(stream, dice);
        }
        for (stream, bytes) in self.granted.pieces(dice) {
            out.extend(frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes()));
        }
        for unsent in &mut self.unsent {
            out.extend(unsent.frames(&mut self.allowed, dice));
        }
        self.unsent.retain(|unsent| !unsent.is_sent());
        out
    }

    /// Nothing is left of the messages that have begun.
    pub(super) const fn is_sent(&self) -> bool {
        self.unsent.is_empty()
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
                self.granted.fill(stream, payload.len());
                message.body.extend_from_slice(payload);
                message.whole = ends;
                if ends {
                    self.end(stream, messages);
                }
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
                self.unsent.retain(|unsent| unsent.stream != stream);
                self.granted.end(stream);
            }
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.chunks(6) {
                    let [high, low, value @ ..] = setting else { continue };
                    if u16::from_be_bytes([*high, *low]) == INITIAL_WINDOW_SIZE {
                        self.allowed.begin_streams_with(i64::from(number(value)));
                    }
                }
                self.replies.extend(frame(SETTINGS, ACK, 0, &[]));
            }
            SETTINGS => self.granted.is_known = true,
            WINDOW_UPDATE => self.allowed.grow(stream, i64::from(number(payload))),
            PING if flags & ACK == 0 => self.replies.extend(frame(PING, ACK, 0, payload)),
            GOAWAY => self.is_sent_away = true,
            _ => {}
        }
    }

    /// A message has come to its end.
    fn end(&mut self, stream: u32, messages: &[Message]) {
        self.granted.end(stream);
        // Who was sent to another connection says no more of its request.
        if messages.iter().any(|message| message.stream == stream && message.line.starts_with("HTTP/1.1 421 ")) {
            self.unsent.retain(|unsent| unsent.stream != stream);
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
        if let Some(message) = messages.iter_mut().find(|message| message.stream == stream) {
            assert!(whole && !message.whole, "a second head");
            (message.trailers, message.whole) = (kept, true);
        } else {
            let message = Message::new(line.concat(), kept, Left::Close);
            messages.push(Message { whole, stream, ..message });
            self.begun.push(stream);
        }
        if whole {
            self.begun.retain(|begun| *begun != stream);
            self.end(stream, messages);
        }
    }
}
