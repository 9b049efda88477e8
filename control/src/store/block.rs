//! The times in each block of ids, so that an interval of time becomes a few ranges of ids.

use rusqlite::{Connection, params};

use super::StoreError;

/// What a batch adds to the blocks. Ids come in ascending order, so that the last block is the one that grows.
pub(super) struct Blocks {
    /// Ids of a block, as a power of two.
    bits: u32,
    blocks: Vec<Block>,
}

pub(super) struct Block {
    pub(super) number: i64,
    pub(super) time_min: u64,
    pub(super) time_max: u64,
}

impl Blocks {
    pub(super) const fn new(bits: u32) -> Self {
        Self { bits, blocks: Vec::new() }
    }

    /// An event was recorded under `id`.
    pub(super) fn add(&mut self, id: i64, time_ms: u64) {
        let number = id >> self.bits;
        match self.blocks.last_mut().filter(|block| block.number == number) {
            Some(block) => {
                block.time_min = block.time_min.min(time_ms);
                block.time_max = block.time_max.max(time_ms);
            }
            None => self.blocks.push(Block { number, time_min: time_ms, time_max: time_ms }),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter()
    }

    /// Widens what is stored. Once for a batch: for each event by itself it would cost as much as recording it.
    pub(super) fn store(self, connection: &Connection) -> Result<(), StoreError> {
        let mut upsert = connection.prepare_cached(
            "INSERT INTO audit_block VALUES (?, ?, ?) ON CONFLICT (block) DO UPDATE SET
                time_min = min(time_min, excluded.time_min), time_max = max(time_max, excluded.time_max)",
        )?;
        for Block { number, time_min, time_max } in self.blocks {
            upsert.execute(params![number, time_min, time_max])?;
        }
        Ok(())
    }
}
