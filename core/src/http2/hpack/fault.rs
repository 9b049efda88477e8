//! What makes a block undecodable. Each is an error of the whole connection (RFC 9113 section 4.3: COMPRESSION_ERROR), since
//! the tables of both ends are not known to be equal any more.

use crate::labelled;

labelled! {
    /// What is wrong with a block.
    pub enum HpackFault {
        /// The EOS symbol within a Huffman-coded string (RFC 7541 section 5.2).
        HuffmanEnd = "hpack_huffman_end",
        /// A Huffman-coded string whose last bits are more than 7, or not all ones.
        HuffmanPadding = "hpack_huffman_padding",
        /// Index 0, or one past the end of both tables.
        IndexUnknown = "hpack_index_unknown",
        /// An integer over its bound, or of more bytes than any needs.
        IntegerOverflow = "hpack_integer_overflow",
        /// A change of the table's size behind a field.
        SizeUpdateLate = "hpack_size_update_late",
        /// More than two changes of the table's size (section 4.2).
        SizeUpdateMany = "hpack_size_update_many",
        /// The limit fell below the table's size, and the block does not begin with the change that this asks for.
        SizeUpdateMissing = "hpack_size_update_missing",
        /// A change of the table's size to more than the receiver allows.
        SizeUpdateTooLarge = "hpack_size_update_too_large",
        /// One block makes the table copy more than any honest one: few bytes that name a long entry again and again.
        TableChurn = "hpack_table_churn",
        /// The block ends within a representation.
        Truncated = "hpack_truncated",
    }
}

impl core::error::Error for HpackFault {}
