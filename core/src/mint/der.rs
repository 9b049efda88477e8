//! The little DER (X.690) that the profiles need: a writer, and a reader for our own kind of certificate.
//!
//! Lengths are written after the content is known, so no profile has to count bytes ahead.

use alloc::vec::Vec;

use crate::bytes::Reader;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// Context-specific, primitive.
pub(super) const fn context(number: u8) -> u8 {
    0x80 | number
}

/// Context-specific, constructed.
pub(super) const fn context_constructed(number: u8) -> u8 {
    0xa0 | number
}

/// Appends DER elements to a growing buffer.
#[derive(Debug, Default)]
pub(super) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Appends what is DER already.
    pub(super) fn raw(&mut self, der: &[u8]) {
        self.out.extend_from_slice(der);
    }

    /// Appends one element with `content`.
    pub(super) fn element(&mut self, tag: u8, content: &[u8]) {
        self.out.push(tag);
        self.length(content.len());
        self.out.extend_from_slice(content);
    }

    /// Appends one element whose content is what `body` appends.
    pub(super) fn nested(&mut self, tag: u8, body: impl FnOnce(&mut Self)) {
        let mut inner = Self::with_capacity(256);
        body(&mut inner);
        self.element(tag, &inner.out);
    }

    /// Appends an INTEGER from big-endian magnitude bytes; always positive and minimal (X.690 section 8.3).
    pub(super) fn unsigned_integer(&mut self, magnitude: &[u8]) {
        let significant = magnitude.iter().position(|&byte| byte != 0).and_then(|first| magnitude.get(first..));
        let digits = significant.unwrap_or(&[0]);
        self.out.push(INTEGER);
        if digits.first().is_some_and(|&first| first >= 0x80) {
            self.length(digits.len() + 1);
            self.out.push(0);
        } else {
            self.length(digits.len());
        }
        self.out.extend_from_slice(digits);
    }

    /// Appends a BIT STRING of whole bytes.
    pub(super) fn bit_string(&mut self, bytes: &[u8]) {
        self.out.push(BIT_STRING);
        self.length(bytes.len() + 1);
        self.out.push(0);
        self.out.extend_from_slice(bytes);
    }

    /// Definite length, shortest form (X.690 section 10.1).
    fn length(&mut self, length: usize) {
        let bytes = length.to_be_bytes();
        let significant = bytes.iter().position(|&byte| byte != 0).and_then(|first| bytes.get(first..)).unwrap_or(&[0]);
        match significant {
            [short] if *short < 0x80 => self.out.push(*short),
            long => {
                // `usize` has at most 8 bytes, so the count is one byte.
                self.out.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
                self.out.extend_from_slice(long);
            }
        }
    }
}

/// One element: its tag and its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// Tag, length and content.
    pub(super) whole: &'a [u8],
}

/// Reads one element; `None` when it is cut short, has a long tag, or its length is not the shortest form.
pub(super) fn element<'a>(reader: &mut Reader<'a>) -> Option<Element<'a>> {
    let start = reader.rest();
    let tag = reader.u8()?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    let length = match reader.u8()? {
        short @ 0..=0x7f => usize::from(short),
        0x81 => usize::from(reader.u8().filter(|&length| length >= 0x80)?),
        0x82 => usize::from(reader.u16().filter(|&length| length > 0xff)?),
        0x83 => usize::try_from(reader.u24().filter(|&length| length > 0xffff)?).ok()?,
        _ => return None,
    };
    let content = reader.take(length)?;
    let whole = start.get(..start.len() - reader.len())?;
    Some(Element { tag, content, whole })
}

/// Reads one element that must have `tag`, and answers its content.
pub(super) fn expect<'a>(reader: &mut Reader<'a>, tag: u8) -> Option<&'a [u8]> {
    element(reader).filter(|found| found.tag == tag).map(|found| found.content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(body: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::default();
        body(&mut writer);
        writer.into_bytes()
    }

    #[test]
    fn lengths_take_the_shortest_form() {
        for (length, head) in [
            (0, &[4, 0][..]),
            (0x7f, &[4, 0x7f]),
            (0x80, &[4, 0x81, 0x80]),
            (0xff, &[4, 0x81, 0xff]),
            (0x100, &[4, 0x82, 1, 0]),
            (0x1_0000, &[4, 0x83, 1, 0, 0]),
        ] {
            let content = alloc::vec![7; length];
            let der = written(|writer| writer.element(OCTET_STRING, &content));
            assert_eq!(&der[..head.len()], head);
            assert_eq!(der.len(), head.len() + length);
            let mut reader = Reader::new(&der);
            assert_eq!(expect(&mut reader, OCTET_STRING), Some(&content[..]));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn integers_are_positive_and_minimal() {
        assert_eq!(written(|w| w.unsigned_integer(&[0, 0])), [2, 1, 0]);
        assert_eq!(written(|w| w.unsigned_integer(&[0, 0x7f])), [2, 1, 0x7f]);
        assert_eq!(written(|w| w.unsigned_integer(&[0x80, 1])), [2, 3, 0, 0x80, 1]);
    }

    #[test]
    fn every_prefix_and_every_longer_length_form_is_refused() {
        let der = written(|writer| writer.nested(SEQUENCE, |inner| inner.element(OCTET_STRING, &[9; 200])));
        for end in 0..der.len() {
            assert_eq!(element(&mut Reader::new(&der[..end])), None, "prefix of {end} bytes");
        }
        for long in [&[4, 0x81, 1, 9][..], &[4, 0x82, 0, 1, 9], &[4, 0x80, 0, 0], &[0x1f, 0x81, 1, 0]] {
            assert_eq!(element(&mut Reader::new(long)), None);
        }
    }
}
