//! How many leaves a shard orders in one second, in all and for one source: names without end below an inspected wildcard cost
//! their sender its connections, and nobody else a thing. Leaves that are kept are not asked about here.

use std::collections::HashMap;
use std::net::IpAddr;

use penstock_core::flow::FaultKind;
use penstock_core::source::network;

use crate::config::MintLimits;

/// Whether a leaf is ordered while its upstream has yet to prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    No,
    Yes,
}

/// What was ordered in the current second.
pub(crate) struct Mints {
    limits: MintLimits,
    /// Unix second.
    second: i64,
    count: usize,
    /// Only of those for whom something was ordered, so at most `count` entries.
    by_source: HashMap<IpAddr, usize>,
}

impl Mints {
    pub(crate) fn new(limits: MintLimits) -> Self {
        Self { limits, second: 0, count: 0, by_source: HashMap::new() }
    }

    /// Takes the right to order a leaf for `source` at Unix second `now`. Names whose upstream proves nothing cost their client
    /// little, so what is ordered ahead of a proof has half of each share.
    pub(crate) fn spend(&mut self, source: IpAddr, now: i64, ahead: Ahead) -> Result<(), FaultKind> {
        if self.second != now {
            self.second = now;
            self.count = 0;
            self.by_source.clear();
        }
        let source = network(source);
        let share = |whole: usize| if ahead == Ahead::Yes { whole / 2 } else { whole };
        if self.by_source.get(&source).copied().unwrap_or(0) >= share(self.limits.per_source) {
            return Err(FaultKind::SourceFull);
        }
        if self.count >= share(self.limits.per_second) {
            return Err(FaultKind::TooMany);
        }
        self.count += 1;
        *self.by_source.entry(source).or_insert(0) += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn h026_a_source_that_asks_for_too_many_leaves_the_others_theirs() {
        let mut mints = Mints::new(MintLimits { per_second: 10, per_source: 4 });
        let mut spend = |source: &str, now| mints.spend(address(source), now, Ahead::No);
        for _ in 0..4 {
            assert_eq!(spend("10.0.0.1", 7), Ok(()));
        }
        for _ in 0..100 {
            assert_eq!(spend("10.0.0.1", 7), Err(FaultKind::SourceFull));
        }
        for _ in 0..4 {
            assert_eq!(spend("2001:db8::1", 7), Ok(()));
        }
        assert_eq!(spend("2001:db8::ffff:1", 7), Err(FaultKind::SourceFull), "addresses of one host are one source");
        assert_eq!((spend("10.0.0.2", 7), spend("10.0.0.3", 7)), (Ok(()), Ok(())));
        assert_eq!(spend("10.0.0.4", 7), Err(FaultKind::TooMany), "the shard mints no more");
        assert_eq!((spend("10.0.0.1", 8), spend("10.0.0.4", 8)), (Ok(()), Ok(())), "the next second");
        assert_eq!(mints.by_source.len(), 2, "who has had nothing in this second is forgotten");
    }

    #[test]
    fn h026_names_that_nobody_has_proven_leave_half_to_those_that_were() {
        let mut mints = Mints::new(MintLimits { per_second: 6, per_source: 4 });
        let mut spend = |source: &str, ahead| mints.spend(address(source), 7, ahead);
        assert_eq!((spend("10.0.0.1", Ahead::Yes), spend("10.0.0.1", Ahead::Yes)), (Ok(()), Ok(())));
        assert_eq!(spend("10.0.0.1", Ahead::Yes), Err(FaultKind::SourceFull));
        assert_eq!(spend("10.0.0.2", Ahead::Yes), Ok(()));
        assert_eq!(spend("10.0.0.2", Ahead::Yes), Err(FaultKind::TooMany));
        for source in ["10.0.0.1", "10.0.0.1", "10.0.0.2"] {
            assert_eq!(spend(source, Ahead::No), Ok(()));
        }
        assert_eq!(spend("10.0.0.3", Ahead::No), Err(FaultKind::TooMany));
    }
}
