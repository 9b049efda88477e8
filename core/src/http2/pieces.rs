//! What goes out in one call, in order: spans of the input, bytes of the editor's own, and the block of headers that are set.
//!
//! Owns the order and the own bytes; the exchange turns it into a gather once the call has ended.

use alloc::vec::Vec;

use smallvec::SmallVec;

use super::frame;
use crate::http::Gather;
use crate::limits::HTTP2_FRAME_BYTES_MAX;

/// The pieces of one call.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    own: Vec<u8>,
    parts: SmallVec<[Part; 16]>,
}

/// A span of one of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    source: Source,
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Block,
    Input,
    Own,
}

/// How far the pieces were at some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    count: usize,
    /// Where the last part ended, which may have grown since.
    end: usize,
}

impl Part {
    pub(super) const fn input(start: usize, end: usize) -> Self {
        Self { source: Source::Input, start, end }
    }

    pub(super) const fn block(bytes: usize) -> Self {
        Self { source: Source::Block, start: 0, end: bytes }
    }

    const fn own(start: usize, end: usize) -> Self {
        Self { source: Source::Own, start, end }
    }

    /// The part of it from `start` up to `end`, which are within it.
    pub(super) const fn slice(self, start: usize, end: usize) -> Self {
        Self { start: self.start + start, end: self.start + end, ..self }
    }

    /// The part of it from `start` on.
    pub(super) const fn slice_from(self, start: usize) -> Self {
        Self { start: self.start + start, ..self }
    }
}

impl Pieces {
    /// Forgets all, for the next call.
    pub(super) fn clear(&mut self) {
        self.own.clear();
        if self.own.capacity() > OWN_BYTES_KEPT {
            self.own = Vec::new();
        }
        self.parts.clear();
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { count: self.parts.len(), end: self.parts.last().map_or(0, |part| part.end) }
    }

    /// Takes back what came behind `mark`.
    pub(super) fn restore(&mut self, mark: Mark) {
        self.parts.truncate(mark.count);
        if let Some(last) = self.parts.last_mut() {
            last.end = mark.end;
        }
    }

    /// Forwards the bytes of the input from `start` up to `end`.
    pub(super) fn keep(&mut self, start: usize, end: usize) {
        self.push(Part::input(start, end));
    }

    /// Adds bytes of the editor's own.
    pub(super) fn insert(&mut self, bytes: &[u8]) {
        let part = self.store(bytes);
        self.push(part);
    }

    /// Keeps bytes for a part that is pushed later.
    pub(super) fn store(&mut self, bytes: &[u8]) -> Part {
        self.store_with(|own| own.extend_from_slice(bytes))
    }

    /// Keeps what `write` appends for a part that is pushed later.
    pub(super) fn store_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Part {
        let start = self.own.len();
        write(&mut self.own);
        Part::own(start, self.own.len())
    }

    /// Adds a header block: HEADERS with `flags`, and CONTINUATION as far as it is longer than one frame.
    pub(super) fn headers(&mut self, stream: u32, flags: u8, payload: impl Iterator<Item = Part> + Clone) {
        let mut left: usize = payload.clone().map(|part| part.end - part.start).sum();
        let (mut kind, mut flags) = (frame::HEADERS, flags);
        let mut parts = payload;
        let mut part = Part::own(0, 0);
        loop {
            let mut room = left.min(HTTP2_FRAME_BYTES_MAX);
            left -= room;
            let ends = if left == 0 { frame::END_HEADERS } else { 0 };
            self.insert(&frame::header(room, kind, flags | ends, stream));
            while room > 0 {
                if part.start == part.end {
                    let Some(next) = parts.next() else { break };
                    part = next;
                }
                let end = part.end.min(part.start + room);
                self.push(Part { end, ..part });
                room -= end - part.start;
                part.start = end;
            }
            (kind, flags) = (frame::CONTINUATION, 0);
            if left == 0 {
                return;
            }
        }
    }

    /// Appends the pieces to `out`.
    pub(super) fn gather<'a>(&'a self, input: &'a [u8], block: &'a [u8], out: &mut Gather<'a>) {
        for part in &self.parts {
            let source: &'a [u8] = match part.source {
                Source::Block => block,
                Source::Input => input,
                Source::Own => &self.own,
            };
            out.push(source.get(part.start..part.end).unwrap_or_default());
        }
    }

    fn push(&mut self, part: Part) {
        match self.parts.last_mut() {
            Some(last) if last.source == part.source && last.end == part.start => last.end = part.end,
            _ => self.parts.push(part),
        }
    }
}

/// Own bytes that are kept from call to call.
const OWN_BYTES_KEPT: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn joined(pieces: &Pieces, input: &[u8], block: &[u8]) -> Vec<u8> {
        let mut gather = Gather::new();
        pieces.gather(input, block, &mut gather);
        gather.pieces().concat()
    }

    #[test]
    fn what_came_behind_a_mark_is_taken_back() {
        let mut pieces = Pieces::default();
        pieces.keep(0, 2);
        let mark = pieces.mark();
        pieces.keep(2, 3);
        pieces.insert(b"x");
        pieces.restore(mark);
        pieces.insert(b"y");
        assert_eq!(joined(&pieces, b"abc", b""), b"aby");
    }

    #[test]
    fn a_long_block_continues_and_loses_nothing() {
        for block_bytes in [0, 1, 16_380, 16_381, 16_382, 40_000] {
            let input = vec![1; 3];
            let block = vec![2; block_bytes];
            let mut pieces = Pieces::default();
            let own = pieces.store(b"\x03\x03");
            pieces.headers(7, frame::END_STREAM, [Part::input(0, 2), Part::block(block_bytes), own].into_iter());
            let out = joined(&pieces, &input, &block);
            let mut payload = vec![];
            let mut at = 0;
            let mut count = 0;
            while let Some(header) = frame::FrameHeader::read(&out[at..]) {
                let is_last = at + header.bytes() == out.len();
                assert_eq!(header.kind == frame::Kind::Headers, count == 0);
                assert_eq!((header.has(frame::END_STREAM), header.stream), (count == 0, 7));
                assert_eq!(header.has(frame::END_HEADERS), is_last);
                payload.extend_from_slice(&out[at + 9..at + header.bytes()]);
                at += header.bytes();
                count += 1;
            }
            assert_eq!(payload, [vec![1; 2], block, vec![3; 2]].concat());
            assert_eq!(count, (block_bytes + 4).div_ceil(16_384).max(1));
        }
    }
}
