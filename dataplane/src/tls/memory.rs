//! What origins chose and proved when they were last verified, so that a client need not wait for them to do so again.
//!
//! An entry is a guess, and used as one: by it the client's handshake begins beside the origin's, while nothing that the
//! client says goes on before the origin is verified on the flow's own connection. So a leaf may be given out for a proof
//! that is as old as the entry, minutes at the most; no request ever leaves on one. Only a verified handshake writes an
//! entry. An origin that belied one is distrusted for as long as an entry lives: a client that comes back at once
//! waits for the origin, whatever other flows have learned in between.

use std::collections::HashMap;
use std::net::IpAddr;

use penstock_core::limits::{ORIGIN_MEMORY_ENTRIES_MAX, ORIGIN_MEMORY_SECONDS};
use penstock_core::policy::Engines;
use penstock_core::sni::Sni;

use super::alpn::{Alpn, Offer};
use super::roots::RootsDigest;
use super::verify::VerifiedUpstream;

/// An origin as one flow meets it: all that its choice may depend on. Hosts of one name with other addresses are others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) name: Sni,
    /// What was dialled.
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
    /// The client's list, as the origin sees it.
    pub(crate) offer: Offer,
    pub(crate) engines: Engines,
}

/// What an origin did in a verified handshake; remembered, a guess at what it will do in the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The protocol that it chose out of the offer.
    pub(crate) choice: Option<Alpn>,
    pub(crate) verified: VerifiedUpstream,
}

/// What one shard remembers, bounded. When all places are taken by entries that count, all are given up: each costs its origin's
/// next flow a round trip, and no more.
#[derive(Debug)]
pub(crate) struct OriginMemory {
    entries: HashMap<Origin, Entry>,
    entries_max: usize,
    /// The roots under which all entries were verified.
    roots: RootsDigest,
}

#[derive(Debug)]
struct Entry {
    /// `None` for an origin that is distrusted.
    answer: Option<Answer>,
    /// On the shard's clock.
    until_ms: u64,
}

impl OriginMemory {
    pub(super) fn new() -> Self {
        Self { entries: HashMap::new(), entries_max: ORIGIN_MEMORY_ENTRIES_MAX, roots: RootsDigest::default() }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Forgets everything when `roots` are not those of before.
    pub(super) fn stand_on(&mut self, roots: &RootsDigest) {
        if self.roots != *roots {
            self.clear();
            self.roots = *roots;
        }
    }

    /// What `origin` will probably do.
    pub(crate) fn recall(&self, origin: &Origin, now_ms: u64) -> Option<Answer> {
        self.entries.get(origin).filter(|entry| now_ms < entry.until_ms)?.answer.clone()
    }

    /// Takes in what a verified handshake with `origin` has shown, unless it is distrusted.
    pub(crate) fn remember(&mut self, origin: &Origin, answer: Answer, now_ms: u64) {
        let is_distrusted = |entry: &Entry| entry.answer.is_none() && now_ms < entry.until_ms;
        if !self.entries.get(origin).is_some_and(is_distrusted) {
            self.insert(origin, Some(answer), now_ms);
        }
    }

    /// `origin` did other than what was remembered, or failed.
    pub(crate) fn distrust(&mut self, origin: &Origin, now_ms: u64) {
        self.insert(origin, None, now_ms);
    }

    fn insert(&mut self, origin: &Origin, answer: Option<Answer>, now_ms: u64) {
        if self.entries.len() >= self.entries_max && !self.entries.contains_key(origin) {
            self.entries.retain(|_, entry| now_ms < entry.until_ms);
            if self.entries.len() >= self.entries_max {
                self.clear();
            }
        }
        let until_ms = now_ms.saturating_add(ORIGIN_MEMORY_SECONDS * 1000);
        self.entries.insert(origin.clone(), Entry { answer, until_ms });
    }
}
