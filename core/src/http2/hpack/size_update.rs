//! Changes of the dynamic table's size (RFC 7541 section 6.3), which stand at the start of a block alone.

use super::{HpackFault, integer};
use crate::bytes::Reader;
use crate::limits::HTTP2_SIZE_UPDATES_MAX;

/// The changes that a block begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeUpdates {
    /// The lowest and the last size, when there is any change.
    pub sizes: Option<(usize, usize)>,
    /// The first size; the limit asks for it to be low when the limit itself was.
    first: usize,
    /// Bytes of the block that they take.
    pub end: usize,
}

impl SizeUpdates {
    /// Reads the changes at the start of `block`, without judging the sizes. The decoder does that too; a caller that
    /// encodes each field while it is decoded asks beforehand, to tell its encoder.
    pub fn parse(block: &[u8]) -> Result<Self, HpackFault> {
        let mut updates = Self::default();
        let (mut reader, mut count) = (Reader::new(block), 0);
        while let Some(&first) = reader.rest().first().filter(|&&first| is_size_update(first)) {
            count += 1;
            if count > HTTP2_SIZE_UPDATES_MAX {
                return Err(HpackFault::SizeUpdateMany);
            }
            reader.u8();
            let size = integer::decode(first, 5, &mut reader)?;
            updates.first = updates.sizes.map_or(size, |_| updates.first);
            updates.sizes = Some((updates.sizes.map_or(size, |(lowest, _)| lowest.min(size)), size));
        }
        updates.end = block.len() - reader.len();
        Ok(updates)
    }

    /// The size that the block names first.
    pub(super) fn first(&self) -> Option<usize> {
        self.sizes.map(|_| self.first)
    }
}

/// Whether a representation that begins so is a change of the size.
pub(super) const fn is_size_update(first: u8) -> bool {
    first & 0b1110_0000 == SIZE_UPDATE
}

/// The pattern `001`.
pub(super) const SIZE_UPDATE: u8 = 0b0010_0000;
