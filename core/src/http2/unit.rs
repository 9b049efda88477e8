//! Cuts the bytes of one side into what is taken at once: a DATA frame's head, a whole header block, any other frame.
//!
//! Owns lengths, padding and the rule that nothing stands between the frames of a header block (RFC 9113 section 4.3). Called
//! by both directions. Nothing is kept: what is not whole is presented again.

use alloc::vec::Vec;

use super::frame::{self, FRAME_HEADER_BYTES, FrameHeader, Kind};
use super::violation::Violation;
use crate::limits::{HTTP2_CONTINUATIONS_MAX, HTTP2_FRAME_BYTES_MAX, HTTP2_HEADER_BLOCK_BYTES_MAX};

/// What is taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Block(Block),
    Data(Data),
    /// Whole.
    Frame(FrameHeader),
}

/// The head of a DATA frame: its header, and the length of its padding if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) header: FrameHeader,
    /// Bytes of the head: 9 or 10.
    pub(super) head_bytes: usize,
    pub(super) data_bytes: usize,
    pub(super) padding_bytes: usize,
}

/// A header block, over all its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) stream: u32,
    pub(super) ends_stream: bool,
    /// Where its five bytes of priority stand.
    pub(super) priority: Option<usize>,
    /// Where its fragment stands, when it is one; else it was joined.
    pub(super) fragment: Option<(usize, usize)>,
    /// Of all its frames.
    pub(super) bytes: usize,
}

/// Reads the unit that `input` begins with, once it is whole. A block of several fragments is copied into `joined`.
pub(super) fn read(input: &[u8], joined: &mut Vec<u8>) -> Result<Option<Unit>, Violation> {
    let Some(header) = read_header(input)? else { return Ok(None) };
    match header.kind {
        Kind::Continuation => Err(Violation::FrameMalformed),
        Kind::Data => read_data(header, input).map(|data| data.map(Unit::Data)),
        Kind::Headers => read_block(header, input, joined).map(|block| block.map(Unit::Block)),
        _ if input.len() < header.bytes() => Ok(None),
        _ => Ok(Some(Unit::Frame(header))),
    }
}

fn read_header(input: &[u8]) -> Result<Option<FrameHeader>, Violation> {
    match FrameHeader::read(input) {
        Some(header) if header.length > HTTP2_FRAME_BYTES_MAX => Err(Violation::FrameLength),
        header => Ok(header),
    }
}

fn read_data(header: FrameHeader, input: &[u8]) -> Result<Option<Data>, Violation> {
    if !header.has(frame::PADDED) {
        let data_bytes = header.length;
        return Ok(Some(Data { header, head_bytes: FRAME_HEADER_BYTES, data_bytes, padding_bytes: 0 }));
    }
    let left = header.length.checked_sub(1).ok_or(Violation::FrameLength)?;
    let Some(&padding) = input.get(FRAME_HEADER_BYTES) else { return Ok(None) };
    let padding_bytes = usize::from(padding);
    let data_bytes = left.checked_sub(padding_bytes).ok_or(Violation::FrameMalformed)?;
    Ok(Some(Data { header, head_bytes: FRAME_HEADER_BYTES + 1, data_bytes, padding_bytes }))
}

/// ```text
/// |header HEADERS|pad length|priority|fragment..|padding| |header CONTINUATION|fragment..| ..
/// ```
fn read_block(header: FrameHeader, input: &[u8], joined: &mut Vec<u8>) -> Result<Option<Block>, Violation> {
    let (mut start, mut end) = (FRAME_HEADER_BYTES, header.bytes());
    if header.has(frame::PADDED) {
        if header.length == 0 {
            return Err(Violation::FrameLength);
        }
        let Some(&padding) = input.get(start) else { return Ok(None) };
        start += 1;
        end = end.checked_sub(usize::from(padding)).filter(|&end| end >= start).ok_or(Violation::FrameMalformed)?;
    }
    let mut priority = None;
    if header.has(frame::PRIORITY) {
        priority = Some(start);
        start += PRIORITY_BYTES;
        if end < start {
            return Err(if header.has(frame::PADDED) { Violation::FrameMalformed } else { Violation::FrameLength });
        }
    }
    let whole = |fragment, bytes| Block {
        stream: header.stream,
        ends_stream: header.has(frame::END_STREAM),
        priority,
        fragment,
        bytes,
    };
    if header.has(frame::END_HEADERS) {
        return Ok((input.len() >= header.bytes()).then(|| whole(Some((start, end)), header.bytes())));
    }
    let Some(last) = continuations(header, end - start, input)? else { return Ok(None) };
    joined.clear();
    joined.extend_from_slice(input.get(start..end).unwrap_or_default());
    let mut at = header.bytes();
    while let Some(next) = FrameHeader::read(input.get(at..last).unwrap_or_default()) {
        joined.extend_from_slice(input.get(at + FRAME_HEADER_BYTES..at + next.bytes()).unwrap_or_default());
        at += next.bytes();
    }
    Ok(Some(whole(None, last)))
}

/// Where the last CONTINUATION ends, once it is whole; bounds and order are checked as soon as a header shows them.
fn continuations(first: FrameHeader, first_bytes: usize, input: &[u8]) -> Result<Option<usize>, Violation> {
    let (mut at, mut bytes) = (first.bytes(), first_bytes);
    for _ in 0..HTTP2_CONTINUATIONS_MAX {
        let Some(next) = read_header(input.get(at..).unwrap_or_default())? else { return Ok(None) };
        if next.kind != Kind::Continuation || next.stream != first.stream {
            return Err(Violation::FrameMalformed);
        }
        bytes += next.length;
        if bytes > HTTP2_HEADER_BLOCK_BYTES_MAX {
            return Err(Violation::HeadTooLong);
        }
        at += next.bytes();
        if next.has(frame::END_HEADERS) {
            return Ok((input.len() >= at).then_some(at));
        }
    }
    Err(Violation::HeadTooLong)
}

pub(super) const PRIORITY_BYTES: usize = 5;

const _: () = assert!(HTTP2_FRAME_BYTES_MAX <= HTTP2_HEADER_BLOCK_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        frame::push(&mut out, kind, flags, stream, &[payload]);
        out
    }

    fn unit(input: &[u8]) -> Result<Option<Unit>, Violation> {
        read(input, &mut vec![])
    }

    #[test]
    fn a_block_is_whole_with_its_last_byte_and_joined() {
        let mut input = frame(frame::HEADERS, frame::PADDED | frame::PRIORITY | 1, 5, b"\x02\0\0\0\0\x10ab\0\0");
        input.extend(frame(frame::CONTINUATION, 0, 5, b""));
        input.extend(frame(frame::CONTINUATION, frame::END_HEADERS, 5, b"cd"));
        let length = input.len();
        input.extend(b"more");
        let mut joined = vec![];
        for cut in 0..length {
            assert_eq!(read(&input[..cut], &mut joined), Ok(None), "{cut}");
        }
        let block = Block { stream: 5, ends_stream: true, priority: Some(10), fragment: None, bytes: length };
        assert_eq!(read(&input, &mut joined), Ok(Some(Unit::Block(block))));
        assert_eq!(joined, b"abcd");
    }

    #[test]
    fn h078_continuations_are_bounded_in_number_and_bytes_before_they_end() {
        let mut input = frame(frame::HEADERS, 0, 1, b"");
        for _ in 0..HTTP2_CONTINUATIONS_MAX - 1 {
            input.extend(frame(frame::CONTINUATION, 0, 1, b""));
            assert_eq!(unit(&input), Ok(None));
        }
        input.extend(frame(frame::CONTINUATION, 0, 1, b""));
        assert_eq!(unit(&input), Err(Violation::HeadTooLong));
        let mut input = frame(frame::HEADERS, 0, 1, &[0; 16_384]);
        for _ in 0..3 {
            input.extend(frame(frame::CONTINUATION, 0, 1, &[0; 16_384]));
            assert_eq!(unit(&input), Ok(None));
        }
        input.extend(frame::header(1, frame::CONTINUATION, frame::END_HEADERS, 1));
        assert_eq!(unit(&input), Err(Violation::HeadTooLong));
    }

    #[test]
    fn h090_nothing_stands_between_the_frames_of_a_block() {
        let begun = frame(frame::HEADERS, 0, 1, b"a");
        for (kind, stream) in [(frame::DATA, 1), (frame::CONTINUATION, 3), (0x6, 0), (0xbb, 1), (frame::HEADERS, 1)] {
            let input = [begun.clone(), frame::header(1, kind, frame::END_HEADERS, stream).to_vec()].concat();
            assert_eq!(unit(&input), Err(Violation::FrameMalformed));
        }
        assert_eq!(unit(&frame(frame::CONTINUATION, frame::END_HEADERS, 1, b"")), Err(Violation::FrameMalformed));
    }

    #[test]
    fn h090_lengths_and_padding() {
        for (bytes, violation) in [
            (&frame::header(16_384, 0x6, 0, 0)[..], None),
            (b"\0\x40\x01\x06\0\0\0\0\0", Some(Violation::FrameLength)),
            (&frame(frame::DATA, frame::PADDED, 1, b""), Some(Violation::FrameLength)),
            (&frame(frame::DATA, frame::PADDED, 1, b"\x01"), Some(Violation::FrameMalformed)),
            (&frame(frame::DATA, frame::PADDED, 1, b"\x03ab"), Some(Violation::FrameMalformed)),
            (&frame(frame::HEADERS, frame::PADDED | 4, 1, b""), Some(Violation::FrameLength)),
            (&frame(frame::HEADERS, frame::PADDED | 4, 1, b"\x02a"), Some(Violation::FrameMalformed)),
            (&frame(frame::HEADERS, frame::PRIORITY | 4, 1, b"1234"), Some(Violation::FrameLength)),
            (
                &frame(frame::HEADERS, frame::PADDED | frame::PRIORITY | 4, 1, b"\x0112345"),
                Some(Violation::FrameMalformed),
            ),
        ] {
            assert_eq!(unit(bytes).err(), violation, "{bytes:x?}");
        }
        let data = Data {
            header: FrameHeader::read(&frame::header(4, frame::DATA, frame::PADDED, 1)).unwrap(),
            head_bytes: 10,
            data_bytes: 1,
            padding_bytes: 2,
        };
        assert_eq!(unit(&frame(frame::DATA, frame::PADDED, 1, b"\x02a\0\0")), Ok(Some(Unit::Data(data))));
    }
}
