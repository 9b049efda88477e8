//! Frames and header blocks as a peer of the tests writes them: in every form that the RFCs allow, and without judging.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::VecDeque;

use penstock_core::http2::hpack;

pub(crate) type Pair = (Vec<u8>, Vec<u8>);

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const PRIORITY: u8 = 0x2;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PUSH_PROMISE: u8 = 0x5;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const WINDOW_UPDATE: u8 = 0x8;
pub(crate) const CONTINUATION: u8 = 0x9;

pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const WITH_PRIORITY: u8 = 0x20;

pub(crate) fn pair(name: &str, value: &str) -> Pair {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

pub(crate) fn pairs(fields: &[(&str, &str)]) -> Vec<Pair> {
    fields.iter().map(|(name, value)| pair(name, value)).collect()
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let entry = |&(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, entries.iter().flat_map(entry).collect::<Vec<u8>>())
}

pub(crate) fn ack() -> Vec<u8> {
    frame(SETTINGS, ACK, 0, [])
}

pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, code.to_be_bytes())
}

pub(crate) fn window(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
}

pub(crate) fn data(stream: u32, content: impl AsRef<[u8]>, ends: bool) -> Vec<u8> {
    frame(DATA, u8::from(ends), stream, content)
}

/// How a field is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Incremental,
    /// As an index if there is one, else incremental.
    Indexed,
    Never,
    Plain,
}

/// An encoder that sends what it is told to.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    table: VecDeque<Pair>,
    size_max: usize,
    /// Changes of the table's size that the next block begins with.
    updates: Vec<usize>,
    /// Names and values by the Huffman code.
    pub(crate) is_coded: bool,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { table: VecDeque::new(), size_max: 4096, updates: vec![], is_coded: false }
    }

    pub(crate) fn size_max(&self) -> usize {
        self.size_max
    }

    /// Changes the table's size with the next block.
    pub(crate) fn resize(&mut self, bytes: usize) {
        // The lowest, then the last.
        let lowest = self.updates.iter().copied().min().filter(|&lowest| lowest < bytes);
        self.updates = lowest.into_iter().chain([bytes]).collect();
        self.size_max = bytes;
        self.evict();
    }

    pub(crate) fn block(&mut self, fields: &[(Pair, Shape)]) -> Vec<u8> {
        let mut out = vec![];
        for size in self.updates.drain(..) {
            integer(size, 5, 0x20, &mut out);
        }
        for (field, shape) in fields {
            self.field(field, *shape, &mut out);
        }
        out
    }

    /// All in one shape.
    pub(crate) fn plain(&mut self, fields: &[(&str, &str)], shape: Shape) -> Vec<u8> {
        self.block(&pairs(fields).into_iter().map(|field| (field, shape)).collect::<Vec<_>>())
    }

    fn field(&mut self, field: &Pair, shape: Shape, out: &mut Vec<u8>) {
        let place = self.table.iter().position(|entry| entry == field).map(|place| place + 62);
        let place = STATIC.iter().find(|(_, name, value)| same(field, name, value)).map(|entry| entry.0).or(place);
        if let (Shape::Indexed, Some(index)) = (shape, place) {
            integer(index, 7, 0x80, out);
            return;
        }
        let (bits, flags) = match shape {
            Shape::Incremental | Shape::Indexed => (6, 0x40),
            Shape::Never => (4, 0x10),
            Shape::Plain => (4, 0),
        };
        let name = self.table.iter().position(|entry| entry.0 == field.0).map(|place| place + 62);
        let name = name.or_else(|| STATIC.iter().find(|entry| entry.1.as_bytes() == field.0).map(|entry| entry.0));
        integer(name.unwrap_or(0), bits, flags, out);
        if name.is_none() {
            self.string(&field.0, out);
        }
        self.string(&field.1, out);
        if bits == 6 {
            self.table.push_front(field.clone());
            self.evict();
        }
    }

    fn string(&self, text: &[u8], out: &mut Vec<u8>) {
        if self.is_coded {
            let mut literal = vec![];
            hpack::literal(b"x", text, false, &mut literal);
            out.extend_from_slice(&literal[3..]);
        } else {
            integer(text.len(), 7, 0, out);
            out.extend_from_slice(text);
        }
    }

    fn evict(&mut self) {
        let size = |table: &VecDeque<Pair>| table.iter().map(|entry| entry.0.len() + entry.1.len() + 32).sum::<usize>();
        while size(&self.table) > self.size_max {
            self.table.pop_back();
        }
    }
}

fn same(field: &Pair, name: &str, value: &str) -> bool {
    field.0 == name.as_bytes() && field.1 == value.as_bytes()
}

pub(crate) fn integer(value: usize, bits: u8, flags: u8, out: &mut Vec<u8>) {
    let max = (1usize << bits) - 1;
    if value < max {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | max as u8);
    let mut rest = value - max;
    while rest >= 128 {
        out.push(0x80 | (rest % 128) as u8);
        rest /= 128;
    }
    out.push(rest as u8);
}

/// Some of RFC 7541 appendix A.
const STATIC: &[(usize, &str, &str)] = &[
    (1, ":authority", ""),
    (2, ":method", "GET"),
    (3, ":method", "POST"),
    (4, ":path", "/"),
    (7, ":scheme", "https"),
    (8, ":status", "200"),
    (16, "accept-encoding", "gzip, deflate"),
    (28, "content-length", ""),
    (32, "cookie", ""),
    (38, "host", ""),
    (58, "user-agent", ""),
];
