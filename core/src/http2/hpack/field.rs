//! What a decoder tells about a block.

use super::size_update::SizeUpdates;

/// One field of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Name, as sent: not checked for case or grammar.
    pub name: &'a [u8],
    /// Value, as sent.
    pub value: &'a [u8],
    /// Where its representation stands in the block: first byte, and one past the last.
    pub span: (usize, usize),
    /// How it was sent.
    pub form: Form,
}

/// How a field was sent (RFC 7541 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A literal that enters the table.
    Incremental,
    /// An index of either table.
    Indexed,
    /// A literal that no hop may ever put into a table.
    NeverIndexed,
    /// A literal that does not enter the table.
    Plain,
}

/// The first bound that a block's fields passed. The table stays right, the fields were not all told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverLimit {
    /// More than `HTTP2_FIELDS_MAX`.
    Fields,
    /// More than `HTTP2_HEADER_LIST_BYTES_MAX`, counted as in RFC 9113 section 6.5.2.
    ListBytes,
}

/// What a whole block was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Whether the block entered a field into the table or changed its size: a receiver that does not get this block has
    /// another table than the sender thinks.
    pub table_changed: bool,
    /// Bytes of changes of the table's size at the start of the block.
    pub size_updates_end: usize,
    /// These changes.
    pub size_updates: SizeUpdates,
    /// Fields that were told.
    pub fields: usize,
    /// Names and values of the told fields, with 32 for each.
    pub list_bytes: usize,
    /// The bound that was passed; the field that passed it and all behind it were not told.
    pub over_limit: Option<OverLimit>,
}
