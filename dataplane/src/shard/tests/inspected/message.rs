//! Messages as the scripts plan and read them, and HTTP/1.1 as they write it; an own reader, so that the product's is not its own judge.

use super::frames::{Frames, PREFACE};
use crate::ring::chaos::Dice;

/// What a script means to say: all but the framing arrives as it was planned.
#[derive(Clone)]
pub(super) struct Planned {
    /// The first line of HTTP/1.1, without its end.
    pub(super) line: String,
    /// Of a request.
    pub(super) host: Option<String>,
    /// But for those that frame the message or route it.
    fields: Vec<(String, String)>,
    /// `X-Part`, which says whose message it is.
    pub(super) part: String,
    pub(super) body: Vec<u8>,
    trailers: Vec<(String, String)>,
    pub(super) framing: Framing,
}

impl std::fmt::Debug for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {}+{}", self.part, self.framing, self.body.len(), self.trailers.len())
    }
}

/// What both ends speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked,
    Close,
    Length,
}

/// What a reader made of it.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) line: String,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<(String, String)>,
    pub(super) whole: bool,
    pub(super) left: Left,
    /// Over HTTP/2.
    pub(super) stream: u32,
    pub(super) is_reset: bool,
}

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Bytes(usize),
    /// With the CRLF behind a chunk; none of a chunk means that a chunk line is next.
    Chunk(usize),
    Close,
}

impl Message {
    pub(super) const fn new(line: String, fields: Vec<(String, String)>, left: Left) -> Self {
        Self { line, fields, body: Vec::new(), trailers: Vec::new(), whole: false, left, stream: 0, is_reset: false }
    }

    /// The values of all fields of that name, in any case.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let of_name = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| value.as_str()).collect()
    }
}

impl Planned {
    pub(super) fn request(number: usize, host: &str, dice: &mut Dice) -> Self {
        let framing = if dice.percent(50) { Framing::Length } else { Framing::Chunked };
        let body = if dice.percent(85) { body(dice) } else { Vec::new() };
        let method = if body.is_empty() { "GET" } else { ["POST", "PUT", "PATCH"][dice.below(3)] };
        let mut fields = vec![field("User-Agent", "simulated")];
        for _ in 0..dice.below(3) {
            let names = ["Restrict-Access-To-Tenants", "restrict-access-context", "RESTRICT-ACCESS-TO-TENANTS"];
            fields.push(field(names[dice.below(names.len())], &format!("{}.example", super::FORGED)));
        }
        let line = format!("{method} /{number}?{} HTTP/1.1", "q".repeat(dice.below(400)));
        let part = format!("request-{number}");
        let trailers = trailers(dice, &[("x-last", &part), ("restrict-access-to-tenants", super::FORGED)]);
        Self { line, host: Some(host.to_owned()), part, fields, body, trailers, framing }
    }

    pub(super) fn answer(number: usize, is_last: bool, version: Version, dice: &mut Dice) -> Self {
        let framing = match dice.below(3) {
            0 if is_last && version == Version::One => Framing::Close,
            0 | 1 => Framing::Length,
            _ => Framing::Chunked,
        };
        let (line, part) = ("HTTP/1.1 200 OK".to_owned(), format!("answer-{number}"));
        let (body, trailers) = (body(dice), trailers(dice, &[("grpc-status", "0"), ("x-last", &part)]));
        Self { line, host: None, part, fields: Vec::new(), body, trailers, framing }
    }

    /// What stands behind the body, where the framing has room for it.
    pub(super) fn trailers(&self) -> &[(String, String)] {
        let is_bodiless = self.body.is_empty() && self.host.is_some();
        if self.framing == Framing::Chunked && !is_bodiless { &self.trailers } else { &[] }
    }

    /// The fields that are the same in either version.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        fields.chain([("X-Part", self.part.as_str())])
    }

    /// As HTTP/1.1; the length of chunks is up to `dice`.
    pub(super) fn encode(&self, dice: &mut Dice) -> Vec<u8> {
        let is_bodiless = self.body.is_empty() && self.host.is_some();
        let mut head = format!("{}\r\n", self.line);
        for (name, value) in self.host.iter().map(|host| ("Host", host.as_str())).chain(self.fields()) {
            head += &format!("{name}: {value}\r\n");
        }
        head += &match self.framing {
            _ if is_bodiless => String::new(),
            Framing::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
            Framing::Close => "Connection: close\r\n".to_owned(),
            Framing::Length => format!("Content-Length: {}\r\n", self.body.len()),
        };
        let mut wire = format!("{head}\r\n").into_bytes();
        if self.framing != Framing::Chunked || is_bodiless {
            wire.extend_from_slice(&self.body);
            return wire;
        }
        let mut rest = &self.body[..];
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(1 + dice.below(rest.len()));
            wire.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
            rest = behind;
        }
        wire.extend_from_slice(b"0\r\n");
        self.trailers().iter().for_each(|(name, value)| wire.extend(format!("{name}: {value}\r\n").into_bytes()));
        wire.extend_from_slice(b"\r\n");
        wire
    }
}

fn field(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// None, or all of these.
fn trailers(dice: &mut Dice, fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let is_any = dice.percent(50);
    fields.iter().filter(|_| is_any).map(|(name, value)| field(name, value)).collect()
}

fn body(dice: &mut Dice) -> Vec<u8> {
    let bounds = [1, 200, 3_000, 40_000, 150_000];
    let bound = bounds[dice.below(bounds.len())];
    let count = dice.below(bound);
    dice.bytes(count)
}

/// Reads one side's messages as they come, in either version.
pub(super) struct Reader {
    buffer: Vec<u8>,
    at: usize,
    /// Of a message that says no length: requests then have no body, answers end with the connection.
    unsaid: Left,
    frames: Option<Frames>,
    pub(super) messages: Vec<Message>,
}

impl Reader {
    /// The window is the one that streams have at first, of HTTP/2.
    pub(super) fn of_requests(version: Version, window: u32) -> Self {
        Self::new(Left::Bytes(0), (version == Version::Two).then(|| Frames::new(PREFACE.len(), window)))
    }

    pub(super) fn of_answers(version: Version, window: u32) -> Self {
        Self::new(Left::Close, (version == Version::Two).then(|| Frames::new(0, window)))
    }

    const fn new(unsaid: Left, frames: Option<Frames>) -> Self {
        Self { buffer: Vec::new(), at: 0, unsaid, frames, messages: Vec::new() }
    }

    /// How many messages have come to their end; one that ends with the connection has not.
    pub(super) fn whole_count(&self) -> usize {
        self.messages.iter().filter(|message| message.whole).count()
    }

    /// The same with those that will not come to an end.
    pub(super) fn ended_count(&self) -> usize {
        self.messages.iter().filter(|message| message.whole || message.is_reset).count()
    }

    /// What is part of no message yet.
    pub(super) fn rest(&self) -> &[u8] {
        self.frames.as_ref().map_or(&self.buffer[self.at..], Frames::rest)
    }

    /// Begins a message of this end: all of it in HTTP/1.1; `stream` matters to HTTP/2.
    pub(super) fn begin(&mut self, planned: &Planned, stream: u32, dice: &mut Dice) -> Vec<u8> {
        match &mut self.frames {
            Some(frames) => frames.begin(planned, stream),
            None => planned.encode(dice),
        }
    }

    /// What must be said back for the other side to go on, and what it lets this one go on with.
    pub(super) fn speak(&mut self, dice: &mut Dice) -> Vec<u8> {
        self.frames.as_mut().map(|frames| frames.speak(dice)).unwrap_or_default()
    }

    /// Nothing is left of the messages that this end has begun.
    pub(super) fn is_sent(&self) -> bool {
        self.frames.as_ref().is_none_or(Frames::is_sent)
    }

    /// No more will come.
    pub(super) fn is_sent_away(&self) -> bool {
        self.frames.as_ref().is_some_and(|frames| frames.is_sent_away)
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) {
        if let Some(frames) = &mut self.frames {
            return frames.hear(bytes, &mut self.messages);
        }
        self.buffer.extend_from_slice(bytes);
        loop {
            let taken = match self.messages.last_mut() {
                Some(message) if !message.whole => message.read_body(&self.buffer[self.at..]),
                _ => self.read_head(),
            };
            let Some(taken) = taken else { return };
            self.at += taken;
        }
    }

    fn read_head(&mut self) -> Option<usize> {
        let rest = &self.buffer[self.at..];
        let length = rest.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&rest[..length - 4]).expect("a head in ASCII");
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let fields = lines.map(|line| line.split_once(':').expect("a field"));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        let mut message = Message::new(line, fields, self.unsaid);
        match (&message.all("content-length")[..], &message.all("transfer-encoding")[..]) {
            ([], []) => {}
            ([length], []) => message.left = Left::Bytes(length.parse().expect("a length")),
            ([], ["chunked"]) => message.left = Left::Chunk(0),
            other => panic!("framed by {other:?}"),
        }
        message.whole = message.left == Left::Bytes(0);
        self.messages.push(message);
        Some(length)
    }
}

impl Message {
    /// How many bytes it took; `None` when it needs more.
    fn read_body(&mut self, rest: &[u8]) -> Option<usize> {
        if rest.is_empty() {
            return None;
        }
        match self.left {
            Left::Close => {
                self.body.extend_from_slice(rest);
                Some(rest.len())
            }
            Left::Bytes(left) => {
                let taken = left.min(rest.len());
                self.body.extend_from_slice(&rest[..taken]);
                self.left = Left::Bytes(left - taken);
                self.whole = taken == left;
                Some(taken)
            }
            Left::Chunk(0) => {
                let line = rest.windows(2).position(|window| window == b"\r\n")?;
                let size = std::str::from_utf8(&rest[..line]).expect("a chunk line");
                let size = usize::from_str_radix(size, 16).expect("a chunk size");
                if size == 0 {
                    let length = rest[line..].windows(4).position(|window| window == b"\r\n\r\n")? + 4;
                    let lines = std::str::from_utf8(&rest[line + 2..line + length - 2]).expect("trailers in ASCII");
                    let fields = lines.lines().map(|line| line.split_once(": ").expect("a field"));
                    self.trailers = fields.map(|(name, value)| field(name, value)).collect();
                    self.whole = true;
                    return Some(line + length);
                }
                self.left = Left::Chunk(size + 2);
                Some(line + 2)
            }
            Left::Chunk(left) => {
                let taken = left.min(rest.len());
                let payload = taken.min(left.saturating_sub(2));
                self.body.extend_from_slice(&rest[..payload]);
                self.left = Left::Chunk(left - taken);
                Some(taken)
            }
        }
    }
}
