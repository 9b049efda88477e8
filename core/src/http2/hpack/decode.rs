//! Reading blocks with a shadow of the receiver's dynamic table.

use alloc::vec::Vec;

use super::field::{Field, Form, OverLimit, Summary};
use super::size_update::{SizeUpdates, is_size_update};
use super::static_table::{self, STATIC_ENTRIES};
use super::table::{Table, entry_size};
use super::{HpackFault, integer, string};
use crate::bytes::Reader;
use crate::limits::{
    HTTP2_FIELDS_MAX, HTTP2_HEADER_LIST_BYTES_MAX, HTTP2_TABLE_BYTES_INITIAL, HTTP2_TABLE_BYTES_MAX,
    HTTP2_TABLE_CHURN_BYTES_MAX,
};

/// One direction's decoder: its table equals that of the receiver whom the blocks are for.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    scratch: Scratch,
    /// The receiver's bound for the table.
    limit: usize,
    /// The lowest that `limit` has been since the last block.
    limit_lowest: usize,
    /// Sticky: behind a fault the table is not known any more.
    fault: Option<HpackFault>,
}

/// Room for names and values that do not stand in the block as they are.
#[derive(Debug, Default)]
struct Scratch {
    name: Vec<u8>,
    value: Vec<u8>,
}

/// A representation that is not a change of the table's size.
#[derive(Clone, Copy, Debug)]
struct Head {
    form: Form,
    /// Of the field, or of its name; 0 where the name stands in the block.
    index: usize,
    /// Where the representation begins in the block.
    start: usize,
}

impl Decoder {
    /// A decoder at the start of a connection: 4,096 bytes (RFC 9113 section 6.5.2).
    pub fn new() -> Self {
        let limit = HTTP2_TABLE_BYTES_INITIAL;
        Self { table: Table::new(limit), scratch: Scratch::default(), limit, limit_lowest: limit, fault: None }
    }

    /// The receiver's SETTINGS_HEADER_TABLE_SIZE is in force: the sender has acknowledged it.
    ///
    /// When it is less than the table's present size, the next block must begin with a change to no more than it (RFC 7541
    /// section 4.2), also when it has been raised again in between. Above `HTTP2_TABLE_BYTES_MAX` it counts as that.
    pub fn set_size_limit(&mut self, bytes: usize) {
        self.limit = bytes.min(HTTP2_TABLE_BYTES_MAX);
        self.limit_lowest = self.limit_lowest.min(self.limit);
    }

    /// The table's size, as changed by the blocks.
    pub fn table_size_max(&self) -> usize {
        self.table.size_max()
    }

    /// Decodes one whole block; `field` is called for each field in order, with names and values as sent.
    ///
    /// Past `HTTP2_FIELDS_MAX` or `HTTP2_HEADER_LIST_BYTES_MAX` fields are not told any more, but still decoded, so that
    /// the table stays right; [`Summary::over_limit`] says so. A fault is for good: all later blocks answer the same.
    pub fn decode(&mut self, block: &[u8], field: &mut dyn FnMut(Field<'_>)) -> Result<Summary, HpackFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let decoded = self.decode_block(block, field);
        self.fault = decoded.err();
        self.scratch.shrink();
        decoded
    }

    fn decode_block(&mut self, block: &[u8], tell: &mut dyn FnMut(Field<'_>)) -> Result<Summary, HpackFault> {
        let size_updates = SizeUpdates::parse(block)?;
        self.resize(&size_updates)?;
        let mut summary = Summary {
            table_changed: size_updates.sizes.is_some(),
            size_updates_end: size_updates.end,
            size_updates,
            ..Summary::default()
        };
        let mut reader = Reader::new(block.get(size_updates.end..).unwrap_or_default());
        let mut churned = 0usize;
        while !reader.is_empty() {
            let head = Head::parse(&mut reader, block.len())?;
            if head.form == Form::Indexed {
                let (name, value) = lookup(&self.table, head.index)?;
                if summary.admits(name, value) {
                    tell(Field { name, value, span: (head.start, block.len() - reader.len()), form: head.form });
                }
                continue;
            }
            let (name, value) = self.scratch.literal(head, &mut reader, &self.table)?;
            if summary.admits(name, value) {
                tell(Field { name, value, span: (head.start, block.len() - reader.len()), form: head.form });
            }
            if head.form == Form::Incremental {
                churned = churned.saturating_add(entry_size(name.len(), value.len()));
                if churned > HTTP2_TABLE_CHURN_BYTES_MAX {
                    return Err(HpackFault::TableChurn);
                }
                summary.table_changed = true;
                self.table.insert(name, value);
            }
        }
        Ok(summary)
    }

    /// Obeys the changes at the start of a block.
    fn resize(&mut self, updates: &SizeUpdates) -> Result<(), HpackFault> {
        let asked = (self.limit_lowest < self.table.size_max()).then_some(self.limit_lowest);
        self.limit_lowest = self.limit;
        if let Some(lowest) = asked {
            updates.first().filter(|&first| first <= lowest).ok_or(HpackFault::SizeUpdateMissing)?;
        }
        if let (Some(first), Some((lowest, last))) = (updates.first(), updates.sizes) {
            if first.max(last) > self.limit {
                return Err(HpackFault::SizeUpdateTooLarge);
            }
            self.table.set_size_max(lowest);
            self.table.set_size_max(last);
        }
        Ok(())
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Head {
    /// Reads the first byte and the index; the reader stands in a block of `block_bytes`.
    fn parse(reader: &mut Reader<'_>, block_bytes: usize) -> Result<Self, HpackFault> {
        let start = block_bytes - reader.len();
        let first = reader.u8().ok_or(HpackFault::Truncated)?;
        let (form, prefix_bits) = match first {
            0x80.. => (Form::Indexed, 7),
            0x40.. => (Form::Incremental, 6),
            _ if is_size_update(first) => return Err(HpackFault::SizeUpdateLate),
            0x10.. => (Form::NeverIndexed, 4),
            _ => (Form::Plain, 4),
        };
        Ok(Self { form, index: integer::decode(first, prefix_bits, reader)?, start })
    }
}

impl Scratch {
    /// Name and value of a literal. A name of the dynamic table is copied, since its entry may be evicted for this field.
    fn literal<'a, 'b: 'a>(
        &'a mut self,
        head: Head,
        reader: &mut Reader<'b>,
        table: &Table,
    ) -> Result<(&'a [u8], &'a [u8]), HpackFault> {
        let name = if head.index == 0 {
            string::decode(reader, &mut self.name)?
        } else if let Some((name, _)) = static_table::at(head.index) {
            name
        } else {
            self.name.clear();
            self.name.extend_from_slice(lookup(table, head.index)?.0);
            &self.name
        };
        Ok((name, string::decode(reader, &mut self.value)?))
    }

    /// Gives back what a long field took.
    fn shrink(&mut self) {
        for scratch in [&mut self.name, &mut self.value] {
            if scratch.capacity() > SCRATCH_BYTES_KEPT {
                *scratch = Vec::new();
            }
        }
    }
}

impl Summary {
    /// Counts one more field; false from the first that passes a bound.
    fn admits(&mut self, name: &[u8], value: &[u8]) -> bool {
        if self.over_limit.is_some() {
            return false;
        }
        let list_bytes = self.list_bytes.saturating_add(entry_size(name.len(), value.len()));
        if self.fields == HTTP2_FIELDS_MAX {
            self.over_limit = Some(OverLimit::Fields);
        } else if list_bytes > HTTP2_HEADER_LIST_BYTES_MAX {
            self.over_limit = Some(OverLimit::ListBytes);
        } else {
            self.fields += 1;
            self.list_bytes = list_bytes;
        }
        self.over_limit.is_none()
    }
}

/// The field that an index means (RFC 7541 section 2.3.3).
fn lookup(table: &Table, index: usize) -> Result<(&[u8], &[u8]), HpackFault> {
    match index.checked_sub(STATIC_ENTRIES + 1) {
        Some(age) => table.at(age).ok_or(HpackFault::IndexUnknown),
        None => static_table::at(index).ok_or(HpackFault::IndexUnknown),
    }
}

/// Scratch that is kept from block to block.
const SCRATCH_BYTES_KEPT: usize = 8 * 1024;
