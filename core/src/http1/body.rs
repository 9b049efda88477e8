//! Where a body ends, and which of its bytes are payload: by length, by chunks (RFC 9112 section 7.1), or by the close of
//! the connection.
//!
//! Bytes are told apart as they come and never kept: only the line that announces a chunk must be whole before it goes on,
//! so that no half of a malformed one ever does.

use super::line;
use crate::http::token;
use crate::limits::{HTTP1_CHUNK_LINE_BYTES_MAX, HTTP1_TRAILER_BYTES_MAX};

/// What is left of a body.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Chunked(Chunked),
    /// So many bytes are to come.
    Length(u64),
    /// All to the end of the connection.
    UntilClose,
}

/// The place in a chunked body.
#[derive(Clone, Debug)]
pub(crate) struct Chunked {
    at: Place,
    trailers: Trailers,
    trailer_bytes: usize,
}

/// What becomes of a trailer section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trailers {
    /// Its fields are left out; the line that ends it stays.
    Drop,
    Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a chunk line.
    Line,
    /// In a chunk's data, of which so many bytes are to come.
    Data(u64),
    /// Before the CRLF that ends a chunk's data.
    DataEnd,
    /// Before a trailer field or the line that ends the body.
    Trailer,
    Ended,
}

/// The next bytes of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Bytes that carry framing.
    Frame(usize),
    /// Bytes of the payload.
    Payload(usize),
    /// Bytes to leave out.
    Drop(usize),
    /// Too few bytes to tell.
    Starved,
}

/// Why a chunked body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkReject {
    /// A chunk line that is malformed, or data that do not end in CRLF.
    Chunk,
    LineTooLong,
    Trailer,
    TrailersTooLong,
}

impl Body {
    pub(crate) const fn chunked(trailers: Trailers) -> Self {
        Self::Chunked(Chunked { at: Place::Line, trailers, trailer_bytes: 0 })
    }

    /// Classifies what `input` begins with; those bytes are then done with.
    pub(crate) fn step(&mut self, input: &[u8]) -> Result<Step, ChunkReject> {
        match self {
            Self::Chunked(chunked) => chunked.step(input),
            Self::Length(rest) => Ok(payload(rest, input)),
            Self::UntilClose if input.is_empty() => Ok(Step::Starved),
            Self::UntilClose => Ok(Step::Payload(input.len())),
        }
    }

    /// Whether all of the body was there.
    pub(crate) const fn is_ended(&self) -> bool {
        match self {
            Self::Chunked(chunked) => matches!(chunked.at, Place::Ended),
            Self::Length(rest) => *rest == 0,
            Self::UntilClose => false,
        }
    }
}

impl Chunked {
    fn step(&mut self, input: &[u8]) -> Result<Step, ChunkReject> {
        match &mut self.at {
            Place::Line => self.chunk_line(input),
            Place::Data(rest) => {
                let step = payload(rest, input);
                if *rest == 0 {
                    self.at = Place::DataEnd;
                }
                Ok(step)
            }
            Place::DataEnd => match input {
                [b'\r', b'\n', ..] => {
                    self.at = Place::Line;
                    Ok(Step::Frame(2))
                }
                [] | [b'\r'] => Ok(Step::Starved),
                _ => Err(ChunkReject::Chunk),
            },
            Place::Trailer => self.trailer_line(input),
            Place::Ended => Ok(Step::Starved),
        }
    }

    fn chunk_line(&mut self, input: &[u8]) -> Result<Step, ChunkReject> {
        let end = memchr::memchr(b'\n', input);
        if end.unwrap_or(input.len()) > HTTP1_CHUNK_LINE_BYTES_MAX {
            return Err(ChunkReject::LineTooLong);
        }
        let Some((line, _)) = end.and_then(|end| input.split_at_checked(end)) else {
            return Ok(Step::Starved);
        };
        let size = line.strip_suffix(b"\r").and_then(chunk_size).ok_or(ChunkReject::Chunk)?;
        self.at = if size == 0 { Place::Trailer } else { Place::Data(size) };
        Ok(Step::Frame(line.len() + 1))
    }

    fn trailer_line(&mut self, input: &[u8]) -> Result<Step, ChunkReject> {
        let end = memchr::memchr(b'\n', input);
        if self.trailer_bytes + end.unwrap_or(input.len()) > HTTP1_TRAILER_BYTES_MAX {
            return Err(ChunkReject::TrailersTooLong);
        }
        let Some((line, _)) = end.and_then(|end| input.split_at_checked(end)) else {
            return Ok(Step::Starved);
        };
        if line == b"\r" {
            self.at = Place::Ended;
            return Ok(Step::Frame(2));
        }
        line::field(line).map_err(|_| ChunkReject::Trailer)?;
        let bytes = line.len() + 1;
        self.trailer_bytes += bytes;
        Ok(match self.trailers {
            Trailers::Drop => Step::Drop(bytes),
            Trailers::Keep => Step::Frame(bytes),
        })
    }
}

/// Takes payload out of `input`, at most `rest` bytes.
fn payload(rest: &mut u64, input: &[u8]) -> Step {
    let count = usize::try_from(*rest).unwrap_or(usize::MAX).min(input.len());
    // A count is never over `rest`, which is 64 bits wide.
    *rest -= count as u64;
    if count == 0 { Step::Starved } else { Step::Payload(count) }
}

/// Reads a chunk line without its CRLF: `1*HEXDIG *( ";" name [ "=" value ] )` (RFC 9112 section 7.1.1), without the space
/// that the grammar tolerates for the sake of old senders (`BWS`), and at most sixteen digits.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, mut extensions) = line.split_at_checked(digits)?;
    if digits.is_empty() || digits.len() > CHUNK_SIZE_DIGITS_MAX {
        return None;
    }
    while let [b';', rest @ ..] = extensions {
        extensions = after_extension(rest)?;
    }
    let size = u64::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?;
    // A hop that counts in signed numbers must not see a negative one.
    (extensions.is_empty() && size <= i64::MAX.unsigned_abs()).then_some(size)
}

/// What follows one `name [ "=" value ]`.
fn after_extension(extension: &[u8]) -> Option<&[u8]> {
    let after_name = after_token(extension)?;
    match after_name {
        [b'=', b'"', rest @ ..] => after_quoted(rest),
        [b'=', rest @ ..] => after_token(rest),
        _ => Some(after_name),
    }
}

fn after_token(bytes: &[u8]) -> Option<&[u8]> {
    match token::token_length(bytes) {
        0 => None,
        count => bytes.get(count..),
    }
}

/// What follows a quoted string whose opening quote is gone (RFC 9110 section 5.6.4); bytes over 0x7f are not let through.
fn after_quoted(mut bytes: &[u8]) -> Option<&[u8]> {
    let is_text = |byte: u8| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic();
    loop {
        bytes = match bytes {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] if is_text(*escaped) => rest,
            [b'\\', ..] | [] => return None,
            [byte, rest @ ..] if is_text(*byte) => rest,
            _ => return None,
        };
    }
}

const CHUNK_SIZE_DIGITS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    /// Forwarded bytes, payload, and how it went on.
    fn run(input: &[u8], split: usize, trailers: Trailers) -> (Vec<u8>, Vec<u8>, Result<bool, ChunkReject>) {
        let mut body = Body::chunked(trailers);
        let (mut forwarded, mut payload, mut at) = (Vec::new(), Vec::new(), 0);
        for end in [split, input.len()] {
            while !body.is_ended() {
                let rest = &input[at..end];
                let count = match body.step(rest) {
                    Ok(Step::Frame(count)) => {
                        forwarded.extend(&rest[..count]);
                        count
                    }
                    Ok(Step::Payload(count)) => {
                        forwarded.extend(&rest[..count]);
                        payload.extend(&rest[..count]);
                        count
                    }
                    Ok(Step::Drop(count)) => count,
                    Ok(Step::Starved) => break,
                    Err(reject) => return (forwarded, payload, Err(reject)),
                };
                at += count;
            }
        }
        (forwarded, payload, Ok(body.is_ended()))
    }

    #[test]
    fn a_chunked_body_of_rfc_9112_at_every_split() {
        let input = b"4;a=b;c=\"d \\\" e\";f\r\nWiki\r\n5\r\npedia\r\nA\r\n in chunks\r\n000\r\nX-Sum: 1\r\nY:\r\n\r\n";
        for split in 0..=input.len() {
            let (forwarded, payload, ended) = run(input, split, Trailers::Drop);
            assert_eq!(String::from_utf8(payload).unwrap(), "Wikipedia in chunks");
            assert_eq!(forwarded, [&input[..input.len() - 16], b"\r\n"].concat(), "{split}");
            assert_eq!(ended, Ok(true));
            assert_eq!(run(input, split, Trailers::Keep).0, input);
        }
    }

    #[test]
    fn every_prefix_of_a_chunked_body_waits() {
        let input = b"5;x\r\nhello\r\n0\r\nA: b\r\n\r\n";
        for end in 0..input.len() {
            assert_eq!(run(&input[..end], 0, Trailers::Drop).2, Ok(false), "{end}");
        }
    }

    #[test]
    fn h062_h063_chunk_lines_that_are_refused() {
        for line in [
            "0x5",
            "5_",
            " 5",
            "5 ",
            "-1",
            "+5",
            "",
            "FFFFFFFFFFFFFFFF",
            "8000000000000000",
            "10000000000000005",
            "5;",
            "5;;a",
            "5 ;a",
            "5; a",
            "5;a =b",
            "5;a=",
            "5;a=\"b",
            "5;a=\"b\"c",
            "5;bad[=x",
            "5;a\rX",
            "5;\0a",
            "5;a=\"\\\"",
            "5;a=\"\u{e9}\"",
            "5\r",
            "g",
            "5,5",
        ] {
            let input = std::format!("{line}\r\nhello\r\n0\r\n\r\n");
            for split in 0..input.len() {
                let (forwarded, _, outcome) = run(input.as_bytes(), split, Trailers::Drop);
                assert_eq!(outcome, Err(ChunkReject::Chunk), "{line:?}");
                assert!(forwarded.is_empty(), "{line:?}");
            }
        }
        let zeros = "0".repeat(1000);
        assert_eq!(run(std::format!("{zeros}5\r\n").as_bytes(), 0, Trailers::Drop).2, Err(ChunkReject::Chunk));
        for whole in [
            "5\nhello\r\n",
            "5\rhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello!!\r\n",
            "5\r\nhello0\r\n\r\n",
            "5;\nhello\r\n0\r\n\r\n",
        ] {
            assert_eq!(run(whole.as_bytes(), 0, Trailers::Drop).2, Err(ChunkReject::Chunk), "{whole:?}");
        }
        for whole in
            ["0\r\n\n", "0\r\nA\r\n\r\n", "0\r\n : b\r\n\r\n", "0\r\nA: b\n\r\n", "0\r\n\rA\n", "0\r\nA : b\r\n\r\n"]
        {
            assert_eq!(run(whole.as_bytes(), 0, Trailers::Drop).2, Err(ChunkReject::Trailer), "{whole:?}");
        }
    }

    #[test]
    fn lines_and_trailers_are_bounded() {
        let long = std::format!("5;a={}", "b".repeat(HTTP1_CHUNK_LINE_BYTES_MAX));
        assert_eq!(run(long.as_bytes(), 0, Trailers::Drop).2, Err(ChunkReject::LineTooLong));
        assert_eq!(run(std::format!("{long}\r\n").as_bytes(), 9, Trailers::Drop).2, Err(ChunkReject::LineTooLong));
        let many = std::format!("0\r\n{}\r\n", "A: b\r\n".repeat(HTTP1_TRAILER_BYTES_MAX / 6 + 1));
        for split in [0, 100, many.len() - 1] {
            assert_eq!(run(many.as_bytes(), split, Trailers::Drop).2, Err(ChunkReject::TrailersTooLong));
        }
    }

    #[test]
    fn a_length_is_counted_and_the_rest_left() {
        let mut body = Body::Length(5);
        assert_eq!(body.step(b""), Ok(Step::Starved));
        assert_eq!(body.step(b"abc"), Ok(Step::Payload(3)));
        assert!(!body.is_ended());
        assert_eq!(body.step(b"defg"), Ok(Step::Payload(2)));
        assert!(body.is_ended());
    }
}
