//! Which values occur in each block of ids, and where in it, so that a query reads only what may hold what it looks for.
//!
//! A block of 256 ids has one row, which has six bytes for each value that occurs in it: a 32-bit hash, little end first, in
//! ascending order; and 16 bits, the lowest first, one for each 16 ids.
//!
//! ```text
//! | hash of user=eve | 0b0000_0000_0000_0101 | hash of status=denied | ...
//!                      eve is in ids 0 to 15 of the block, and in 32 to 47
//! ```
//!
//! An index for each column would change a page somewhere in a tree of everything that is kept, for each column of each event, and
//! as many when the event goes. This changes the last row of a table once for each batch, and a row goes with its block. A query
//! pays for it by looking at the row of each block of its interval, half a microsecond each. Two values of one hash make a place
//! be read in vain, no more: what is found there is compared whole.

use std::hash::Hasher as _;

use fnv::FnvHasher;
use penstock_core::audit::Event;
use rusqlite::{Connection, OptionalExtension as _};

/// Columns that a query may filter by.
pub(super) const FILTER_COLUMNS: [&str; 8] =
    ["user", "source", "target_tenant", "application", "client", "status", "connector", "node"];
/// What begins a sign-in has this value in a field of this name.
pub(super) const SIGN_IN: (&str, &str) = ("sign_in", "1");

/// What an event has in [`FILTER_COLUMNS`].
pub(super) fn of_event(event: &Event) -> [Option<&str>; 8] {
    [
        event.user.as_deref(),
        Some(&event.source),
        event.target_tenant.as_deref(),
        event.application.as_deref(),
        event.client.as_deref(),
        Some(&event.status),
        event.connector.as_deref(),
        Some(&event.node),
    ]
}

/// The hash that stands for a value of a field. FNV-1a, since what is stored must mean the same to every later version.
pub(super) fn hash(name: &str, value: &str) -> u32 {
    Field::new(name).hash(value)
}

/// Where in its block a row has the hash.
pub(super) fn places(row: &[u8], hash: u32) -> Places {
    let (entries, _) = row.as_chunks::<ENTRY_BYTES>();
    let found = entries.binary_search_by_key(&hash, |entry| read(entry).0);
    found.ok().and_then(|place| entries.get(place)).map_or(0, |entry| read(entry).1)
}

/// A bit for each part of a block.
pub(super) type Places = u16;

/// Ids of a block, as a power of two.
pub(super) const BLOCK_BITS: u32 = 8;
/// Ids of a part, as a power of two.
pub(super) const PART_BITS: u32 = BLOCK_BITS - Places::BITS.ilog2();

/// A field's name, hashed.
struct Field(u64);

impl Field {
    fn new(name: &str) -> Self {
        let mut hasher = FnvHasher::default();
        hasher.write(name.as_bytes());
        hasher.write_u8(b'=');
        Self(hasher.finish())
    }

    fn hash(&self, value: &str) -> u32 {
        let mut hasher = FnvHasher::with_key(self.0);
        hasher.write(value.as_bytes());
        let hash = hasher.finish();
        #[expect(clippy::cast_possible_truncation, reason = "both halves are in the lower one")]
        let folded = (hash ^ (hash >> 32)) as u32;
        folded
    }
}

/// What a batch adds to the blocks. Ids come in ascending order.
pub(super) struct Values<'batch> {
    fields: [Field; 8],
    sign_in: u32,
    /// Numbers of blocks, and their entries in the order of hashes.
    blocks: Vec<(i64, Vec<(u32, Places)>)>,
    /// The part that the last event is in, and its values: many have the same as the one before.
    last: (i64, [Option<&'batch str>; 8]),
}

impl<'batch> Values<'batch> {
    pub(super) fn new() -> Self {
        let sign_in = hash(SIGN_IN.0, SIGN_IN.1);
        Self { fields: FILTER_COLUMNS.map(Field::new), sign_in, blocks: Vec::new(), last: (-1, [None; 8]) }
    }

    /// An event with these values was recorded under `id`.
    pub(super) fn add(&mut self, id: i64, values: [Option<&'batch str>; 8], begins_sign_in: bool) {
        let (block, part) = (id >> BLOCK_BITS, id >> PART_BITS);
        if self.blocks.last().is_none_or(|(last, _)| *last != block) {
            self.blocks.push((block, Vec::new()));
        }
        if self.last.0 != part {
            self.last = (part, [None; 8]);
        }
        let Some((_, entries)) = self.blocks.last_mut() else { return };
        let places = 1 << (part & i64::from(Places::BITS - 1));
        for ((field, value), last) in self.fields.iter().zip(values).zip(&mut self.last.1) {
            if let Some(value) = value
                && *last != Some(value)
            {
                insert(entries, (field.hash(value), places));
                *last = Some(value);
            }
        }
        if begins_sign_in {
            insert(entries, (self.sign_in, places));
        }
    }

    /// Adds to what is stored.
    pub(super) fn store(self, connection: &Connection) -> rusqlite::Result<()> {
        let select = "SELECT entries FROM audit_values WHERE block = ?";
        for (block, mut entries) in self.blocks {
            let stored = connection.prepare_cached(select)?.query_row([block], |row| row.get::<_, Vec<u8>>(0));
            for entry in stored.optional()?.unwrap_or_default().as_chunks().0 {
                insert(&mut entries, read(entry));
            }
            let mut row = Vec::with_capacity(entries.len() * ENTRY_BYTES);
            for (hash, places) in entries {
                row.extend(hash.to_le_bytes());
                row.extend(places.to_le_bytes());
            }
            connection.prepare_cached("INSERT OR REPLACE INTO audit_values VALUES (?, ?)")?.execute((block, row))?;
        }
        Ok(())
    }
}

fn insert(entries: &mut Vec<(u32, Places)>, (hash, places): (u32, Places)) {
    match entries.binary_search_by_key(&hash, |entry| entry.0) {
        Ok(place) => {
            if let Some(entry) = entries.get_mut(place) {
                entry.1 |= places;
            }
        }
        Err(place) => entries.insert(place, (hash, places)),
    }
}

fn read([a, b, c, d, low, high]: &[u8; ENTRY_BYTES]) -> (u32, Places) {
    (u32::from_le_bytes([*a, *b, *c, *d]), Places::from_le_bytes([*low, *high]))
}

const ENTRY_BYTES: usize = size_of::<u32>() + size_of::<Places>();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_what_earlier_versions_stored() {
        assert_eq!(hash("user", ""), 0x20a4_65cc);
        assert_eq!(hash("user", "eve@contoso.com"), 0x13f8_af77);
        assert_eq!(hash("sign_in", "1"), 0x2f7f_417a);
    }

    #[test]
    fn a_row_says_where_a_value_is() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE audit_values (block INTEGER PRIMARY KEY, entries BLOB)").unwrap();
        // Three batches: the first ends within a block, and a part; the last lies in another.
        for ids in [[512, 527], [528, 767], [768, 1024]] {
            let mut values = Values::new();
            for id in ids {
                let eve = Some("eve").filter(|_| id != 528);
                values.add(id, [eve, None, None, None, None, Some("denied"), None, None], id == 767);
            }
            values.store(&connection).unwrap();
        }
        let row = |block: i64| -> Vec<u8> {
            connection.query_row("SELECT entries FROM audit_values WHERE block = ?", [block], |row| row.get(0)).unwrap()
        };
        let found = |block, name, value| places(&row(block), hash(name, value));
        assert_eq!(found(2, "user", "eve"), 1 | 1 << 15);
        assert_eq!(found(2, "status", "denied"), 1 | 1 << 1 | 1 << 15);
        assert_eq!(found(2, SIGN_IN.0, SIGN_IN.1), 1 << 15);
        assert_eq!((found(3, "user", "eve"), found(4, "user", "eve")), (1, 1));
        assert_eq!((found(2, "client", "eve"), found(3, SIGN_IN.0, SIGN_IN.1)), (0, 0));
        assert_eq!(row(2).len(), 3 * ENTRY_BYTES);
    }
}
