//! HPACK (RFC 7541): the compression of field sections on HTTP/2.
//!
//! Reads blocks with a shadow of the receiver's dynamic table, says where each field stands in its block so that a caller
//! can cut and keep representations, and writes blocks of its own where cutting is not enough. Does not own frames, nor
//! what a field means.
//!
//! | file | owns |
//! |---|---|
//! | `decode` | one direction's blocks, field by field |
//! | `size_update` | the changes of the table's size at the start of a block |
//! | `encode` | blocks of our own, with a table or without |
//! | `field`, `fault` | what the caller is told |
//! | `table`, `static_table` | the fields that an index means |
//! | `string`, `huffman`, `huffman_code`, `integer` | the primitive types |

mod decode;
mod encode;
mod fault;
mod field;
mod huffman;
mod huffman_code;
mod integer;
mod size_update;
mod static_table;
mod string;
mod table;

pub use decode::Decoder;
pub(in crate::http2) use encode::size_update;
pub use encode::{Encoder, literal};
pub use fault::HpackFault;
pub use field::{Field, Form, OverLimit, Summary};
pub use size_update::SizeUpdates;
