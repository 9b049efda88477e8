//! Lines of heads and trailer sections, cut strictly: CRLF ends a line, nothing else does, nothing continues one.
//!
//! Owns the syntax of a field line; what a field means is told by the heads that call this.

use crate::http::token;

/// A field line in its two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) name: &'a [u8],
    /// All between the colon and CRLF, spaces included: whether they matter depends on the field.
    pub(crate) value: &'a [u8],
}

/// Why a line is no field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldReject {
    /// It begins with a space or tab: obs-fold (RFC 9112 section 5.2), or a space before the first field.
    Folded,
    /// It ends in LF alone.
    LineEnd,
    /// The name is empty (CVE-2023-25725), no token, or not followed at once by its colon (RFC 9112 section 5.1).
    Name,
    /// The value holds a control byte.
    Value,
}

/// Where the line ends that starts at `start`: the place of its LF. `searched` remembers, from call to call, how far there
/// is none, so that a head that comes byte by byte costs no more than one that comes whole.
pub(crate) fn line_feed(input: &[u8], start: usize, searched: &mut usize) -> Option<usize> {
    let from = (*searched).max(start);
    let found = memchr::memchr(b'\n', input.get(from..)?).map(|offset| from + offset);
    *searched = found.unwrap_or(input.len());
    found
}

/// Reads the field of `line`, which is all before the LF.
pub(crate) fn field(line: &[u8]) -> Result<Field<'_>, FieldReject> {
    let Some(line) = line.strip_suffix(b"\r") else {
        return Err(FieldReject::LineEnd);
    };
    if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
        return Err(FieldReject::Folded);
    }
    match line.split_at_checked(token::token_length(line)) {
        Some((name, [b':', value @ ..])) if !name.is_empty() => {
            if token::is_value(value) {
                Ok(Field { name, value })
            } else {
                Err(FieldReject::Value)
            }
        }
        _ => Err(FieldReject::Name),
    }
}

/// Reads the field whose line `rest` begins with, in one pass, and where its LF is; `None` when the line is not whole or not
/// right, which [`line_feed`] and [`field`] tell apart.
pub(crate) fn whole_field(rest: &[u8]) -> Option<(Field<'_>, usize)> {
    let (name, after) = rest.split_at_checked(token::token_length(rest))?;
    let after = after.strip_prefix(b":")?;
    let (value, end) = after.split_at_checked(token::value_length(after))?;
    let is_whole = !name.is_empty() && end.starts_with(b"\r\n");
    is_whole.then_some((Field { name, value }, name.len() + 1 + value.len() + 1))
}

/// The fields of a section that was already read as right.
pub(crate) fn fields(section: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = section;
    core::iter::from_fn(move || {
        let (field, line_feed) = whole_field(rest)?;
        rest = rest.get(line_feed + 1..).unwrap_or_default();
        Some(field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_lines_are_strict() {
        assert_eq!(field(b"Host: a\r"), Ok(Field { name: b"Host", value: b" a" }));
        assert_eq!(field(b"x:\r"), Ok(Field { name: b"x", value: b"" }));
        for (line, reject) in [
            (&b"Host: a"[..], FieldReject::LineEnd),
            (b"", FieldReject::LineEnd),
            (b" Host: a\r", FieldReject::Folded),
            (b"\ta\r", FieldReject::Folded),
            (b"Host : a\r", FieldReject::Name),
            (b": a\r", FieldReject::Name),
            (b"Host\r", FieldReject::Name),
            (b"\r", FieldReject::Name),
            (b"H\0st: a\r", FieldReject::Name),
            (b"H\xc3\xb6st: a\r", FieldReject::Name),
            (b"Host: a\rb\r", FieldReject::Value),
            (b"Host: a\0\r", FieldReject::Value),
            (b"Host: a\r\r", FieldReject::Value),
        ] {
            assert_eq!(field(line), Err(reject), "{line:?}");
            assert_eq!(whole_field(&[line, b"\nA: b\r\n"].concat()), None, "{line:?}");
        }
        assert_eq!(whole_field(b"A: b\r\nC: d\r\n"), Some((Field { name: b"A", value: b" b" }, 5)));
        assert_eq!(whole_field(b"A: b\r"), None);
    }

    #[test]
    fn a_section_is_cut_into_its_fields() {
        let names = fields(b"A: 1\r\nB: 2\r\n\r\n").map(|field| field.name);
        assert!(names.eq([&b"A"[..], b"B"]));
    }

    #[test]
    fn the_search_for_a_line_end_goes_on_where_it_stopped() {
        let mut searched = 0;
        assert_eq!(line_feed(b"abc", 0, &mut searched), None);
        assert_eq!(searched, 3);
        assert_eq!(line_feed(b"abc\nd", 0, &mut searched), Some(3));
        assert_eq!(line_feed(b"abc\nd\n", 4, &mut searched), Some(5));
    }
}
