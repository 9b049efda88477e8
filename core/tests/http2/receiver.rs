//! A strict reader of one direction, with another decoder than the product's: what a peer makes of what comes out.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::VecDeque;

use super::wire::{self, Pair};

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Ack,
    Data { stream: u32, content: Vec<u8>, ends: bool },
    Goaway { last: u32, code: u32 },
    Headers { stream: u32, fields: Vec<Pair>, ends: bool },
    Other { kind: u8, stream: u32, payload: Vec<u8> },
    Reset { stream: u32, code: u32 },
    Settings(Vec<(u16, u32)>),
    Window { stream: u32, increment: u32 },
}

/// The receiving end of a connection.
pub(crate) struct Receiver {
    decoder: loona_hpack::Decoder<'static>,
    expects_preface: bool,
    waiting: Vec<u8>,
    /// Bounds for the table that this end has sent and that wait for their acknowledgement.
    pub(crate) bounds: VecDeque<Option<usize>>,
    table_max: usize,
    /// A change of the table's size to no more than this must begin the next block.
    owed: Option<usize>,
    block: Option<(u32, bool, Vec<u8>)>,
    pub(crate) items: Vec<Item>,
}

impl Receiver {
    /// Of requests.
    pub(crate) fn origin() -> Self {
        Self { expects_preface: true, ..Self::client() }
    }

    /// Of answers.
    pub(crate) fn client() -> Self {
        Self {
            decoder: loona_hpack::Decoder::new(),
            expects_preface: false,
            waiting: vec![],
            bounds: VecDeque::new(),
            table_max: 4096,
            owed: None,
            block: None,
            items: vec![],
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        if self.expects_preface && self.waiting.len() >= 24 {
            assert_eq!(self.waiting.drain(..24).collect::<Vec<u8>>(), wire::PREFACE);
            self.expects_preface = false;
        }
        while !self.expects_preface && self.waiting.len() >= 9 {
            let length = u32::from_be_bytes([0, self.waiting[0], self.waiting[1], self.waiting[2]]) as usize;
            assert!(length <= 16_384, "a frame of {length} bytes");
            if self.waiting.len() < 9 + length {
                return;
            }
            let frame: Vec<u8> = self.waiting.drain(..9 + length).collect();
            let stream = u32::from_be_bytes([frame[5], frame[6], frame[7], frame[8]]);
            self.read(frame[3], frame[4], stream, &frame[9..]);
        }
    }

    /// Whether nothing is left over.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.waiting.is_empty() && self.block.is_none()
    }

    pub(crate) fn take(&mut self) -> Vec<Item> {
        std::mem::take(&mut self.items)
    }

    /// The header blocks, in order.
    pub(crate) fn heads(&self) -> Vec<(u32, Vec<Pair>, bool)> {
        let head = |item: &Item| match item {
            Item::Headers { stream, fields, ends } => Some((*stream, fields.clone(), *ends)),
            _ => None,
        };
        self.items.iter().filter_map(head).collect()
    }

    /// The content of a stream, and whether it has ended.
    pub(crate) fn content(&self, wanted: u32) -> (Vec<u8>, bool) {
        let (mut all, mut ended) = (vec![], false);
        for item in &self.items {
            match item {
                Item::Data { stream, content, ends } if *stream == wanted => {
                    assert!(!ended);
                    all.extend_from_slice(content);
                    ended |= ends;
                }
                Item::Headers { stream, ends, .. } if *stream == wanted => {
                    assert!(!ended);
                    ended |= ends;
                }
                _ => {}
            }
        }
        (all, ended)
    }

    pub(crate) fn resets(&self) -> Vec<(u32, u32)> {
        let reset = |item: &Item| match item {
            Item::Reset { stream, code } => Some((*stream, *code)),
            _ => None,
        };
        self.items.iter().filter_map(reset).collect()
    }

    /// The code with which the connection was given up.
    pub(crate) fn goaway(&self) -> Option<u32> {
        self.items.iter().rev().find_map(|item| match item {
            Item::Goaway { code, .. } => Some(*code),
            _ => None,
        })
    }

    fn read(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        if let Some((open, ends, mut block)) = self.block.take() {
            assert_eq!((kind, stream), (wire::CONTINUATION, open), "within a header block");
            block.extend_from_slice(payload);
            return self.read_block(open, ends, block, flags);
        }
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        let item = match kind {
            wire::DATA | wire::HEADERS => {
                let mut start = 0;
                let mut end = payload.len();
                if flags & wire::PADDED != 0 {
                    start = 1;
                    end -= usize::from(payload[0]);
                }
                if kind == wire::HEADERS {
                    start += if flags & wire::WITH_PRIORITY == 0 { 0 } else { 5 };
                    let ends = flags & wire::END_STREAM != 0;
                    return self.read_block(stream, ends, payload[start..end].to_vec(), flags);
                }
                Item::Data { stream, content: payload[start..end].to_vec(), ends: flags & wire::END_STREAM != 0 }
            }
            wire::RST_STREAM => Item::Reset { stream, code: number(0) },
            wire::SETTINGS if flags & wire::ACK != 0 => {
                self.acknowledged();
                Item::Ack
            }
            wire::SETTINGS => {
                let entry = |entry: &[u8]| (u16::from_be_bytes([entry[0], entry[1]]), number_of(&entry[2..]));
                Item::Settings(payload.chunks(6).map(entry).collect())
            }
            wire::GOAWAY => Item::Goaway { last: number(0), code: number(4) },
            wire::WINDOW_UPDATE => Item::Window { stream, increment: number(0) },
            wire::CONTINUATION | wire::PUSH_PROMISE => panic!("frame of type {kind}"),
            _ => Item::Other { kind, stream, payload: payload.to_vec() },
        };
        self.items.push(item);
    }

    fn acknowledged(&mut self) {
        if let Some(bytes) = self.bounds.pop_front().expect("an acknowledgement of nothing") {
            self.decoder.set_max_allowed_table_size(bytes);
            if bytes < self.table_max {
                self.owed = Some(self.owed.map_or(bytes, |owed| owed.min(bytes)));
            }
        }
    }

    fn read_block(&mut self, stream: u32, ends: bool, block: Vec<u8>, flags: u8) {
        if flags & wire::END_HEADERS == 0 {
            self.block = Some((stream, ends, block));
            return;
        }
        // As nghttp2 does: a bound that fell has to be followed by a change of the size.
        let mut at = 0;
        let mut first = None;
        while block.get(at).is_some_and(|byte| byte & 0xe0 == 0x20) {
            let (size, bytes) = integer(&block[at..], 5);
            first.get_or_insert(size);
            self.table_max = size;
            at += bytes;
        }
        if let Some(owed) = self.owed.take() {
            assert!(first.is_some_and(|first| first <= owed), "no change of the size to {owed}: {block:x?}");
        }
        let fields = if at == block.len() && at > 0 {
            vec![]
        } else {
            self.decoder.decode(&block).unwrap_or_else(|error| panic!("{error:?} in {block:x?}"))
        };
        self.items.push(Item::Headers { stream, fields, ends });
    }
}

fn number_of(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

fn integer(bytes: &[u8], bits: u8) -> (usize, usize) {
    let max = (1usize << bits) - 1;
    let mut value = usize::from(bytes[0]) & max;
    if value < max {
        return (value, 1);
    }
    for (place, byte) in bytes[1..].iter().enumerate() {
        value += (usize::from(*byte) & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return (value, place + 2);
        }
    }
    panic!("an integer without end");
}
