//! Which chains one shard verified in the last minutes, so that the same chain for the same name is not verified again.
//!
//! A busy origin shows one chain thousands of times; remembering it saves the signature checks of the path. The
//! handshake's own signature, which proves that the upstream has the key, is checked every time all the same.

use std::collections::HashMap;

use crossbeam::atomic::AtomicCell;
use penstock_core::limits::VERIFIED_CHAINS_MAX;
use rustls_pki_types::UnixTime;

use super::verify::ChainDigest;

/// A bounded set of digests with the Unix second until which each holds.
///
/// rustls wants its verifier `Sync`; it is used by one shard only. So the table is taken out while it is worked on:
/// whoever finds it gone, which does not happen on one thread, verifies again and is right all the same.
#[derive(Default)]
pub(super) struct ProvenChains {
    table: AtomicCell<Option<Box<Table>>>,
}

/// One pointer wide when boxed, so that the cell needs no lock.
#[derive(Default)]
struct Table(HashMap<ChainDigest, u64>);

impl ProvenChains {
    pub(super) fn holds(&self, chain: &ChainDigest, now: UnixTime) -> bool {
        let Some(table) = self.table.take() else { return false };
        let holds = table.0.get(chain).is_some_and(|&until| now.as_secs() < until);
        self.table.store(Some(table));
        holds
    }

    pub(super) fn insert(&self, chain: ChainDigest, until: u64, now: UnixTime) {
        let mut table = self.table.take().unwrap_or_default();
        if table.0.len() >= VERIFIED_CHAINS_MAX {
            table.0.retain(|_, until| now.as_secs() < *until);
        }
        if table.0.len() >= VERIFIED_CHAINS_MAX {
            table.0.clear();
        }
        table.0.insert(chain, until);
        self.table.store(Some(table));
    }
}
