//! Minted leaves, and the bounded cache of them that each shard keeps.
//!
//! A leaf belongs to one name *and* one verified upstream chain: when the upstream shows another certificate, another
//! leaf is minted. Changing the issuer empties the cache.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use penstock_core::sni::Sni;
use rustls::ServerConfig;

use super::alpn::PerChoice;
use super::boring::Serving;
use super::verify::VerifiedUpstream;

/// A certificate for one name, ready to serve.
pub(crate) struct Leaf {
    pub(super) configs: PerChoice<ServerConfig>,
    /// The same leaf for the second engine.
    pub(super) boring: Serving,
    /// Unix second before which new connections get another leaf: it was minted while the clock was ahead.
    pub(super) use_from: i64,
    /// Unix second after which new connections get another leaf.
    pub(super) use_until: i64,
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("use_until", &self.use_until).finish_non_exhaustive()
    }
}

/// At most `capacity` leaves; the clock algorithm takes the place of one that was not used since the hand last passed.
#[derive(Debug)]
pub(super) struct LeafCache {
    capacity: usize,
    places: HashMap<VerifiedUpstream, usize>,
    /// How many slots each name has.
    names: HashMap<Sni, usize>,
    slots: Vec<Slot>,
    hand: usize,
}

#[derive(Debug)]
struct Slot {
    key: VerifiedUpstream,
    leaf: Arc<Leaf>,
    used: bool,
}

impl LeafCache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, places: HashMap::new(), names: HashMap::new(), slots: Vec::new(), hand: 0 }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.capacity);
    }

    /// The leaf for `upstream`, unless there is none or `now` is not its time.
    pub(super) fn find(&mut self, upstream: &VerifiedUpstream, now: i64) -> Option<Arc<Leaf>> {
        let slot = self.slots.get_mut(*self.places.get(upstream)?)?;
        slot.used = true;
        (slot.leaf.use_from..=slot.leaf.use_until).contains(&now).then(|| Arc::clone(&slot.leaf))
    }

    /// Whether there is a leaf for `name`, however old.
    pub(super) fn knows(&self, name: &Sni) -> bool {
        self.names.contains_key(name)
    }

    pub(super) fn insert(&mut self, upstream: &VerifiedUpstream, leaf: Arc<Leaf>) {
        let slot = Slot { key: upstream.clone(), leaf, used: false };
        if let Some(&place) = self.places.get(upstream) {
            self.slots[place] = slot;
            return;
        }
        let place = if self.slots.len() < self.capacity {
            self.slots.push(slot);
            self.slots.len() - 1
        } else {
            let place = self.evict();
            self.slots[place] = slot;
            place
        };
        self.places.insert(upstream.clone(), place);
        *self.names.entry(upstream.name().clone()).or_default() += 1;
    }

    /// Frees the place of a slot that was not used for a whole turn of the hand; two turns find one at the latest.
    fn evict(&mut self) -> usize {
        loop {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            let slot = &mut self.slots[place];
            if std::mem::take(&mut slot.used) {
                continue;
            }
            self.places.remove(&slot.key);
            let name = slot.key.name();
            if let Some(count) = self.names.get_mut(name).filter(|count| **count > 1) {
                *count -= 1;
            } else {
                self.names.remove(name);
            }
            return place;
        }
    }
}
