//! String literals (RFC 7541 section 5.2).

use alloc::vec::Vec;

use super::{HpackFault, huffman, integer};
use crate::bytes::Reader;

/// Reads a string; where it is Huffman-coded, `scratch` holds what it says.
pub(super) fn decode<'a, 'b: 'a>(reader: &mut Reader<'b>, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], HpackFault> {
    let first = reader.u8().ok_or(HpackFault::Truncated)?;
    let length = integer::decode(first, 7, reader)?;
    let bytes = reader.take(length).ok_or(HpackFault::Truncated)?;
    if first & HUFFMAN == 0 {
        return Ok(bytes);
    }
    scratch.clear();
    huffman::decode(bytes, scratch)?;
    Ok(scratch)
}

/// Appends a string, Huffman-coded when that is shorter.
pub(super) fn encode(plain: &[u8], out: &mut Vec<u8>) {
    let coded = huffman::encoded_len(plain);
    if coded < plain.len() {
        integer::encode(coded, 7, HUFFMAN, out);
        huffman::encode(plain, out);
    } else {
        integer::encode(plain.len(), 7, 0, out);
        out.extend_from_slice(plain);
    }
}

const HUFFMAN: u8 = 0x80;
