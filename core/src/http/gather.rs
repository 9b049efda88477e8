//! The pieces to be written to a leg, in order: spans of the bytes that came in, and blocks that the editor adds.
//!
//! Owns no bytes. An exchange fills one per call; the data plane hands its pieces to the TLS engine.

use smallvec::SmallVec;

/// Pieces of a message, in the order in which they go out. Holds the pieces of ordinary messages without the heap.
#[derive(Clone, Debug, Default)]
pub struct Gather<'a> {
    pieces: SmallVec<[&'a [u8]; PIECES_INLINE]>,
}

impl<'a> Gather<'a> {
    /// Nothing to write.
    pub fn new() -> Self {
        Self { pieces: SmallVec::new() }
    }

    /// Appends `piece`; an empty one is left out.
    pub fn push(&mut self, piece: &'a [u8]) {
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
    }

    /// What is to be written, in order.
    pub fn pieces(&self) -> &[&'a [u8]] {
        &self.pieces
    }

    /// Forgets all pieces.
    pub fn clear(&mut self) {
        self.pieces.clear();
    }

    /// How many bytes the pieces hold together.
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len()).sum()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

/// Appends spans of one input and blocks from elsewhere, joining spans that touch.
///
/// ```text
/// input   |request line|Host: ..|Twin: ..|Accept: ..||body|
/// pieces  [------------][block ][-------]         [-------]
/// ```
pub(crate) struct Splicer<'a, 'g> {
    input: &'a [u8],
    out: &'g mut Gather<'a>,
    /// The span of `input` that is not pushed yet.
    open: (usize, usize),
}

impl<'a, 'g> Splicer<'a, 'g> {
    pub(crate) const fn new(input: &'a [u8], out: &'g mut Gather<'a>) -> Self {
        Self { input, out, open: (0, 0) }
    }

    /// Forwards the bytes of the input from `start` up to `end`.
    pub(crate) fn keep(&mut self, start: usize, end: usize) {
        if self.open.1 == start {
            self.open.1 = end;
        } else {
            self.close();
            self.open = (start, end);
        }
    }

    /// How many pieces there are, once the open span is ended.
    pub(crate) fn pieces(&mut self) -> usize {
        self.close();
        self.out.pieces.len()
    }

    /// Takes back all pieces but the first `count`.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.close();
        self.out.pieces.truncate(count);
    }

    /// Adds `block`, which is not of the input.
    pub(crate) fn insert(&mut self, block: &'a [u8]) {
        self.close();
        self.out.push(block);
    }

    /// Ends the open span; to be called once all is kept.
    pub(crate) fn close(&mut self) {
        let (start, end) = self.open;
        self.out.push(self.input.get(start..end).unwrap_or_default());
        self.open = (end, end);
    }
}

/// Request line, inserted block, `Connection` line and what stands between a few dropped lines.
const PIECES_INLINE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn spans_that_touch_are_one_piece_and_empty_ones_none() {
        let mut gather = Gather::new();
        let mut splicer = Splicer::new(b"abcdefgh", &mut gather);
        splicer.keep(0, 2);
        splicer.keep(2, 2);
        splicer.keep(2, 3);
        splicer.insert(b"XY");
        splicer.insert(b"");
        splicer.keep(3, 4);
        splicer.keep(6, 8);
        splicer.close();
        assert_eq!(gather.pieces(), [&b"abc"[..], b"XY", b"d", b"gh"]);
        assert_eq!(gather.bytes(), 8);
        gather.clear();
        assert!(gather.is_empty());
    }

    #[test]
    fn many_pieces_are_kept_in_order() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut gather = Gather::new();
        for piece in bytes.chunks(1) {
            gather.push(piece);
        }
        assert_eq!(gather.pieces().concat(), bytes);
    }
}
