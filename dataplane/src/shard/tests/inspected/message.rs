//! HTTP/1.1 messages as the scripts plan, write and read them; an own reader, so that the product's is not its own judge.

use crate::ring::chaos::Dice;

/// What a script means to say: all but the framing arrives as it was planned.
#[derive(Clone)]
pub(super) struct Planned {
    pub(super) wire: Vec<u8>,
    /// The first line, without its end.
    pub(super) line: String,
    /// `X-Part`, which says whose message it is.
    pub(super) part: String,
    pub(super) body: Vec<u8>,
    pub(super) framing: Framing,
}

impl std::fmt::Debug for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {}", self.part, self.framing, self.body.len())
    }
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
    pub(super) whole: bool,
    left: Left,
}

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Bytes(usize),
    /// With the CRLF behind a chunk; none of a chunk means that a chunk line is next.
    Chunk(usize),
    Close,
}

impl Message {
    /// The values of all fields of that name, in any case.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let of_name = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| value.as_str()).collect()
    }
}

impl Planned {
    pub(super) fn request(number: usize, host: &str, dice: &mut Dice) -> Self {
        let framing = if dice.percent(50) { Framing::Length } else { Framing::Chunked };
        let body = if dice.percent(60) { body(dice) } else { Vec::new() };
        let method = if body.is_empty() { "GET" } else { ["POST", "PUT", "PATCH"][dice.below(3)] };
        let mut fields = format!("Host: {host}\r\nUser-Agent: simulated\r\n");
        for _ in 0..dice.below(3) {
            let names = ["Restrict-Access-To-Tenants", "restrict-access-context", "RESTRICT-ACCESS-TO-TENANTS"];
            fields += &format!("{}: {}.example\r\n", names[dice.below(names.len())], super::FORGED);
        }
        let line = format!("{method} /{number}?{} HTTP/1.1", "q".repeat(dice.below(400)));
        Self::new(line, format!("request-{number}"), fields, body, framing, dice)
    }

    pub(super) fn answer(number: usize, is_last: bool, dice: &mut Dice) -> Self {
        let framing = match dice.below(3) {
            0 if is_last => Framing::Close,
            0 | 1 => Framing::Length,
            _ => Framing::Chunked,
        };
        let body = body(dice);
        let fields = if framing == Framing::Close { "Connection: close\r\n".to_owned() } else { String::new() };
        Self::new("HTTP/1.1 200 OK".to_owned(), format!("answer-{number}"), fields, body, framing, dice)
    }

    fn new(line: String, part: String, fields: String, body: Vec<u8>, framing: Framing, dice: &mut Dice) -> Self {
        let is_bodiless = body.is_empty() && line.starts_with("GET");
        let length = match framing {
            _ if is_bodiless => String::new(),
            Framing::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
            Framing::Close => String::new(),
            Framing::Length => format!("Content-Length: {}\r\n", body.len()),
        };
        let mut wire = format!("{line}\r\n{fields}X-Part: {part}\r\n{length}\r\n").into_bytes();
        if framing == Framing::Chunked && !is_bodiless {
            let mut rest = &body[..];
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at(1 + dice.below(rest.len()));
                wire.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
                rest = behind;
            }
            wire.extend_from_slice(b"0\r\n\r\n");
        } else {
            wire.extend_from_slice(&body);
        }
        Self { wire, line, part, body, framing }
    }
}

fn body(dice: &mut Dice) -> Vec<u8> {
    let bounds = [1, 200, 3_000, 40_000, 150_000];
    let bound = bounds[dice.below(bounds.len())];
    let count = dice.below(bound);
    dice.bytes(count)
}

/// Reads one side's messages as they come.
#[derive(Debug)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    at: usize,
    /// Of a message that says no length: requests then have no body, answers end with the connection.
    unsaid: Left,
    pub(super) messages: Vec<Message>,
}

impl Reader {
    pub(super) const fn of_requests() -> Self {
        Self { buffer: Vec::new(), at: 0, unsaid: Left::Bytes(0), messages: Vec::new() }
    }

    pub(super) const fn of_answers() -> Self {
        Self { buffer: Vec::new(), at: 0, unsaid: Left::Close, messages: Vec::new() }
    }

    /// How many messages have come to their end; one that ends with the connection has not.
    pub(super) fn whole_count(&self) -> usize {
        self.messages.iter().filter(|message| message.whole).count()
    }

    /// What is part of no message yet.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) {
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
        let mut message = Message { line, fields, body: Vec::new(), whole: false, left: self.unsaid };
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
                    assert!(
                        rest.len() < line + 4 || rest[line + 2..].starts_with(b"\r\n"),
                        "trailers that nobody sent"
                    );
                    self.whole = rest.len() >= line + 4;
                    return self.whole.then_some(line + 4);
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
