//! Writing blocks: with a table that equals the receiver's, where a sender's own blocks cannot be passed on any more, and
//! without one.

use alloc::vec::Vec;

use super::field::Form;
use super::size_update::{SIZE_UPDATE, SizeUpdates};
use super::static_table::{self, STATIC_ENTRIES};
use super::table::{Table, entry_size};
use super::{integer, string};
use crate::limits::HTTP2_TABLE_BYTES_MAX;

/// Stands in for a sender from some block on: the receiver's table is emptied, and from then on it is this one's.
///
/// Each block is [`Encoder::begin`], then [`Encoder::encode`] for each field; every block must reach the receiver, in order.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    /// Lowest and last size that the receiver has to be told at the next block's start.
    pending: Option<(usize, usize)>,
}

impl Encoder {
    /// An encoder whose first block begins with a change of the receiver's table to nothing and one back to
    /// `table_size_max`, the size that the receiver's table has ([`super::Decoder::table_size_max`]).
    pub fn new(table_size_max: usize) -> Self {
        let last = table_size_max.min(HTTP2_TABLE_BYTES_MAX);
        Self { table: Table::new(0), pending: Some((0, last)) }
    }

    /// Follows a change of the table's size by the sender; told at the next block's start. All of several changes between
    /// two blocks are given here, since the lowest has to be told too (RFC 7541 section 4.2).
    pub fn set_table_size_max(&mut self, bytes: usize) {
        let last = bytes.min(HTTP2_TABLE_BYTES_MAX);
        self.pending = Some((self.pending.map_or(last, |(lowest, _)| lowest.min(last)), last));
    }

    /// Follows the changes at the start of one of the sender's blocks.
    pub fn follow(&mut self, updates: &SizeUpdates) {
        if let Some((lowest, last)) = updates.sizes {
            self.set_table_size_max(lowest);
            self.set_table_size_max(last);
        }
    }

    /// The table's size, as the receiver knows it when the next block has begun.
    pub fn table_size_max(&self) -> usize {
        self.pending.map_or_else(|| self.table.size_max(), |(_, last)| last)
    }

    /// Begins a block: appends the changes of the table's size.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        let Some((lowest, last)) = self.pending.take() else { return };
        for size in [(lowest < last).then_some(lowest), Some(last)].into_iter().flatten() {
            self.table.set_size_max(size);
            integer::encode(size, 5, SIZE_UPDATE, out);
        }
    }

    /// Appends a field. `form` is how the sender sent it: what stood in its table, or entered it, does so here (unless it is
    /// larger than the table), what it would not have indexed is not, and what must never be indexed stays so.
    pub fn encode(&mut self, name: &[u8], value: &[u8], form: Form, out: &mut Vec<u8>) {
        let found = self.find(name, value);
        let name_index = found.map(|(index, _)| index);
        match form {
            Form::NeverIndexed => encode_literal(NEVER_INDEXED, name_index, name, value, out),
            Form::Plain => encode_literal(PLAIN, name_index, name, value, out),
            Form::Incremental | Form::Indexed => match found {
                Some((index, true)) => integer::encode(index, 7, INDEXED, out),
                _ if entry_size(name.len(), value.len()) > self.table.size_max() => {
                    encode_literal(PLAIN, name_index, name, value, out);
                }
                _ => {
                    encode_literal(INCREMENTAL, name_index, name, value, out);
                    self.table.insert(name, value);
                }
            },
        }
    }

    /// The index of a field, or of its name.
    fn find(&self, name: &[u8], value: &[u8]) -> Option<(usize, bool)> {
        let in_static = static_table::find(name, value);
        if let Some((index, true)) = in_static {
            return Some((index, true));
        }
        match self.table.find(name, value) {
            Some((age, is_exact)) if is_exact || in_static.is_none() => Some((age + STATIC_ENTRIES + 1, is_exact)),
            _ => in_static,
        }
    }
}

/// Appends a change of the table's size, which stands at the start of a block.
pub(in crate::http2) fn size_update(bytes: usize, out: &mut Vec<u8>) {
    integer::encode(bytes, 5, SIZE_UPDATE, out);
}

/// Appends a literal that touches no dynamic table, so that it is right in any block: not indexed, or never indexed. The name
/// may be an index of the static table.
pub fn literal(name: &[u8], value: &[u8], never_indexed: bool, out: &mut Vec<u8>) {
    let name_index = static_table::find(name, value).map(|(index, _)| index);
    encode_literal(if never_indexed { NEVER_INDEXED } else { PLAIN }, name_index, name, value, out);
}

/// Appends a literal (RFC 7541 section 6.2) of one of the three forms.
fn encode_literal(
    (flags, prefix_bits): (u8, u8),
    name_index: Option<usize>,
    name: &[u8],
    value: &[u8],
    out: &mut Vec<u8>,
) {
    integer::encode(name_index.unwrap_or(0), prefix_bits, flags, out);
    if name_index.is_none() {
        string::encode(name, out);
    }
    string::encode(value, out);
}

/// The pattern of an indexed field, over its index of seven bits.
const INDEXED: u8 = 0b1000_0000;
/// Pattern and bits of the index for a literal that enters the table.
const INCREMENTAL: (u8, u8) = (0b0100_0000, 6);
/// The same for a literal that does not.
const PLAIN: (u8, u8) = (0, 4);
/// The same for a literal that never may.
const NEVER_INDEXED: (u8, u8) = (0b0001_0000, 4);
