//! The only bounds-checked cursor of the product, and the outcome of every parser.
//!
//! Wire data is read through [`Reader`] alone, so that no parser can index past its input. Parsers that may be fed a
//! prefix answer with [`Parsed`]: "need more" is an outcome, not an error.

/// What a parser says about the bytes it was given from the start of a unit (record, hello, head).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<T, R> {
    /// The unit is whole; `consumed` bytes of the input belong to it.
    Complete {
        /// What was read.
        value: T,
        /// Bytes of the input that belong to it.
        consumed: usize,
    },
    /// The bytes are a prefix of something that may still be right.
    Incomplete {
        /// The least number of bytes that must follow before another answer is possible; at least 1.
        more_bytes_min: usize,
    },
    /// No continuation of these bytes can be right.
    Reject(R),
}

impl<T, R> Parsed<T, R> {
    /// The value when complete.
    pub fn complete(self) -> Option<T> {
        match self {
            Self::Complete { value, .. } => Some(value),
            Self::Incomplete { .. } | Self::Reject(_) => None,
        }
    }

    /// Whether more bytes are needed.
    pub const fn is_incomplete(&self) -> bool {
        matches!(self, Self::Incomplete { .. })
    }
}

/// A cursor over borrowed bytes; each read answers `None`, and moves nothing, when too few are left.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes are left.
    pub const fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether all has been read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(head)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The next two bytes, big-endian.
    pub fn u16(&mut self) -> Option<u16> {
        let (head, rest) = self.rest.split_first_chunk::<2>()?;
        self.rest = rest;
        Some(u16::from_be_bytes(*head))
    }

    /// The next three bytes, big-endian (TLS `uint24`, RFC 8446 section 3.3).
    pub fn u24(&mut self) -> Option<u32> {
        let (&[a, b, c], rest) = self.rest.split_first_chunk::<3>()?;
        self.rest = rest;
        Some(u32::from_be_bytes([0, a, b, c]))
    }

    /// A vector with a one-byte length in front (RFC 8446 section 3.4).
    pub fn vector_u8(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let count = usize::from(ahead.u8()?);
        let body = ahead.take(count)?;
        *self = ahead;
        Some(body)
    }

    /// A vector with a two-byte length in front (RFC 8446 section 3.4).
    pub fn vector_u16(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let count = usize::from(ahead.u16()?);
        let body = ahead.take(count)?;
        *self = ahead;
        Some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_read_answers_none_and_moves_nothing() {
        let mut reader = Reader::new(&[0, 3, 1, 2]);
        assert_eq!(reader.vector_u16(), None);
        assert_eq!(reader.len(), 4);
        assert_eq!(reader.u16(), Some(3));
        assert_eq!(reader.u24(), None);
        assert_eq!(reader.take(2), Some(&[1, 2][..]));
        assert!(reader.is_empty());
        assert_eq!(reader.u8(), None);
    }

    #[test]
    fn vectors_are_read_whole() {
        let mut reader = Reader::new(&[2, 7, 8, 0, 1, 9, 0, 0, 5]);
        assert_eq!(reader.vector_u8(), Some(&[7, 8][..]));
        assert_eq!(reader.vector_u16(), Some(&[9][..]));
        assert_eq!(reader.u24(), Some(5));
    }
}
