//! The static table (RFC 7541 appendix A).

/// Entries of the static table; the dynamic table's first index is one more.
pub(super) const STATIC_ENTRIES: usize = 61;

/// The field at `index`, from 1.
pub(super) fn at(index: usize) -> Option<(&'static [u8], &'static [u8])> {
    ENTRIES.get(index.checked_sub(1)?).copied()
}

/// The index of a name, and whether the value stands there too. Of several entries with the name, the one with the value is
/// meant, else the first.
pub(super) fn find(name: &[u8], value: &[u8]) -> Option<(usize, bool)> {
    let start = *STARTS.get(name.len())?;
    let end = *STARTS.get(name.len() + 1)?;
    let mut found = None;
    for &position in BY_LENGTH.get(usize::from(start)..usize::from(end))? {
        let Some(&(entry_name, entry_value)) = ENTRIES.get(usize::from(position)) else { continue };
        if entry_name == name {
            if entry_value == value {
                return Some((usize::from(position) + 1, true));
            }
            found = found.or_else(|| Some((usize::from(position) + 1, false)));
        }
    }
    found
}

/// Longest name of the table, `access-control-allow-origin`.
const NAME_BYTES_MAX: usize = 27;

/// Positions in [`ENTRIES`], by the length of the name, then in the table's order.
static BY_LENGTH: [u8; STATIC_ENTRIES] = by_length().0;
/// Where in [`BY_LENGTH`] the names of each length start.
static STARTS: [u8; NAME_BYTES_MAX + 2] = by_length().1;

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "the compiler runs it, and refuses a panic"
)]
const fn by_length() -> ([u8; STATIC_ENTRIES], [u8; NAME_BYTES_MAX + 2]) {
    let (mut order, mut starts) = ([0; STATIC_ENTRIES], [0; NAME_BYTES_MAX + 2]);
    let (mut length, mut filled) = (0, 0);
    while length <= NAME_BYTES_MAX {
        starts[length] = filled as u8;
        let mut position = 0;
        while position < STATIC_ENTRIES {
            if ENTRIES[position].0.len() == length {
                order[filled] = position as u8;
                filled += 1;
            }
            position += 1;
        }
        length += 1;
    }
    starts[length] = filled as u8;
    assert!(filled == STATIC_ENTRIES);
    (order, starts)
}

const ENTRIES: [(&[u8], &[u8]); STATIC_ENTRIES] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_at_its_place() {
        for index in 1..=STATIC_ENTRIES {
            let (name, value) = at(index).unwrap();
            assert_eq!(find(name, value), Some((index, true)));
            let (first, exact) = find(name, b"no such value").unwrap();
            assert!(first <= index && !exact);
            assert_eq!(at(first).unwrap().0, name);
        }
        assert_eq!(at(0), None);
        assert_eq!(at(STATIC_ENTRIES + 1), None);
        assert_eq!(find(b"", b""), None);
        assert_eq!(find(b"x-a-name-longer-than-any-of-the-table", b""), None);
    }
}
