//! Numbers and vectors of the messages, as both sides write them.

use alloc::vec::Vec;

use crate::bytes::Reader;

/// The next eight bytes, big-endian.
pub(super) fn read_u64(reader: &mut Reader<'_>) -> Option<u64> {
    reader.take(8)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// A vector with a three-byte length in front.
pub(super) fn read_vector_u24<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let count = usize::try_from(reader.u24()?).ok()?;
    reader.take(count)
}

/// Appends `bytes` with a length of `width` bytes in front; what is longer than that can say is cut to nothing, which no
/// reader takes for a message of ours.
pub(super) fn write_vector(out: &mut Vec<u8>, width: usize, bytes: &[u8]) {
    let length = bytes.len().to_be_bytes();
    let (zeros, significant) = length.split_at_checked(length.len() - width).unwrap_or_default();
    if zeros.iter().any(|&byte| byte != 0) {
        return;
    }
    out.extend_from_slice(significant);
    out.extend_from_slice(bytes);
}
