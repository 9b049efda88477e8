//! What is known of names, for one shard. Pure: the caller says what time it is.
//!
//! An answer is fresh for its TTL, cut to bounds; past that it is stale for an hour, for use while DNS fails
//! (RFC 8767). A failure is remembered for seconds, so that a dead resolver is not asked anew by every flow. Entries
//! leave in the order of their arrival, except that one which was used since gets a second round.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use penstock_core::flow::FaultKind;
use penstock_core::limits;
use penstock_core::sni::Sni;

/// The outcome of asking DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// DNS did not answer, or not usefully.
    Failed(FaultKind),
    /// At least one address.
    Found { addresses: Arc<[IpAddr]>, ttl: Duration },
    /// The name does not exist or has no address.
    Missing { ttl: Duration },
}

/// What the cache knows of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// To be used as it is.
    Fresh(Result<Arc<[IpAddr]>, FaultKind>),
    Nothing,
    /// To be used only when DNS fails.
    Stale(Arc<[IpAddr]>),
}

/// Answers by name, bounded.
pub(super) struct Cache {
    entries: HashMap<Sni, Entry>,
    /// The names of `entries`, each once, in the order in which they may leave.
    queue: VecDeque<Sni>,
    entries_max: usize,
}

struct Entry {
    outcome: Result<Arc<[IpAddr]>, FaultKind>,
    fresh_until: Instant,
    stale_until: Instant,
    /// Whether it was asked for since it last came to the head of the queue.
    was_used: bool,
}

impl Cache {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { entries: HashMap::new(), queue: VecDeque::new(), entries_max }
    }

    pub(super) fn find(&mut self, name: &Sni, now: Instant) -> Known {
        let Some(entry) = self.entries.get_mut(name) else {
            return Known::Nothing;
        };
        entry.was_used = true;
        match &entry.outcome {
            outcome if now < entry.fresh_until => Known::Fresh(outcome.clone()),
            Ok(addresses) if now < entry.stale_until => Known::Stale(Arc::clone(addresses)),
            _ => Known::Nothing,
        }
    }

    /// Takes in an answer. A failure does not displace addresses that are still of use: they are fresh again until DNS
    /// may be asked again.
    pub(super) fn insert(&mut self, name: &Sni, answer: &Answer, now: Instant) {
        let retry_at = now + Duration::from_secs(limits::RESOLVE_RETRY_SECONDS);
        let (outcome, fresh_until) = match answer {
            Answer::Failed(kind) => {
                if let Some(entry) = self.entries.get_mut(name)
                    && entry.outcome.is_ok()
                    && now < entry.stale_until
                {
                    entry.fresh_until = retry_at.min(entry.stale_until);
                    return;
                }
                (Err(*kind), retry_at)
            }
            Answer::Found { addresses, ttl } => (Ok(Arc::clone(addresses)), now + bounded_ttl(*ttl, TTL_SECONDS_MAX)),
            Answer::Missing { ttl } => (Err(FaultKind::NameNotFound), now + bounded_ttl(*ttl, NEGATIVE_SECONDS_MAX)),
        };
        let stale_until = fresh_until + Duration::from_secs(limits::RESOLVE_STALE_SECONDS_MAX);
        let entry = Entry { outcome, fresh_until, stale_until, was_used: false };
        if let Some(known) = self.entries.get_mut(name) {
            *known = entry;
            return;
        }
        if self.entries.len() >= self.entries_max {
            self.evict();
        }
        self.queue.push_back(name.clone());
        self.entries.insert(name.clone(), entry);
    }

    /// Removes the first entry of the queue that was not used since it was last there; ends because a second round finds
    /// none that was.
    fn evict(&mut self) {
        while let Some(name) = self.queue.pop_front() {
            match self.entries.get_mut(&name) {
                Some(entry) if entry.was_used => {
                    entry.was_used = false;
                    self.queue.push_back(name);
                }
                _ => {
                    self.entries.remove(&name);
                    return;
                }
            }
        }
    }
}

fn bounded_ttl(ttl: Duration, seconds_max: u64) -> Duration {
    ttl.clamp(Duration::from_secs(limits::RESOLVE_TTL_SECONDS_MIN), Duration::from_secs(seconds_max))
}

const TTL_SECONDS_MAX: u64 = limits::RESOLVE_TTL_SECONDS_MAX;
const NEGATIVE_SECONDS_MAX: u64 = limits::RESOLVE_NEGATIVE_TTL_SECONDS_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn sni(name: &str) -> Sni {
        Sni::parse(name.as_bytes()).unwrap()
    }

    fn addresses(last: u8) -> Arc<[IpAddr]> {
        Arc::from([IpAddr::from([192, 0, 2, last])])
    }

    fn found(last: u8, ttl_seconds: u64) -> Answer {
        Answer::Found { addresses: addresses(last), ttl: Duration::from_secs(ttl_seconds) }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_answer_is_fresh_then_stale_then_gone() {
        let (mut cache, name, start) = (Cache::new(8), sni("a.example"), Instant::now());
        assert_eq!(cache.find(&name, start), Known::Nothing);
        cache.insert(&name, &found(1, 60), start);
        assert_eq!(cache.find(&name, start + seconds(59)), Known::Fresh(Ok(addresses(1))));
        assert_eq!(cache.find(&name, start + seconds(60)), Known::Stale(addresses(1)));
        assert_eq!(cache.find(&name, start + seconds(60 + 3599)), Known::Stale(addresses(1)));
        assert_eq!(cache.find(&name, start + seconds(60 + 3600)), Known::Nothing);
    }

    #[test]
    fn a_ttl_is_cut_to_bounds() {
        let (mut cache, name, start) = (Cache::new(8), sni("a.example"), Instant::now());
        cache.insert(&name, &found(1, 0), start);
        assert_eq!(cache.find(&name, start + Duration::from_millis(999)), Known::Fresh(Ok(addresses(1))));
        cache.insert(&name, &found(1, u64::from(u32::MAX)), start);
        assert_eq!(cache.find(&name, start + seconds(300)), Known::Stale(addresses(1)));
        cache.insert(&name, &Answer::Missing { ttl: seconds(86_400) }, start);
        assert_eq!(cache.find(&name, start + seconds(29)), Known::Fresh(Err(FaultKind::NameNotFound)));
        assert_eq!(cache.find(&name, start + seconds(30)), Known::Nothing, "a missing name is never stale");
    }

    #[test]
    fn a_failure_revives_stale_addresses_until_the_next_try() {
        let (mut cache, name, start) = (Cache::new(8), sni("a.example"), Instant::now());
        cache.insert(&name, &found(1, 60), start);
        let later = start + seconds(100);
        cache.insert(&name, &Answer::Failed(FaultKind::Deadline), later);
        assert_eq!(cache.find(&name, later + seconds(4)), Known::Fresh(Ok(addresses(1))));
        assert_eq!(cache.find(&name, later + seconds(5)), Known::Stale(addresses(1)));
        let end = start + seconds(60 + 3600);
        cache.insert(&name, &Answer::Failed(FaultKind::Deadline), end - seconds(1));
        assert_eq!(cache.find(&name, end), Known::Nothing, "an hour is the end, whatever fails");
        cache.insert(&name, &Answer::Failed(FaultKind::Deadline), end);
        assert_eq!(cache.find(&name, end + seconds(4)), Known::Fresh(Err(FaultKind::Deadline)));
        assert_eq!(cache.find(&name, end + seconds(5)), Known::Nothing);
    }

    #[test]
    fn a_missing_name_displaces_its_old_addresses() {
        let (mut cache, name, start) = (Cache::new(8), sni("a.example"), Instant::now());
        cache.insert(&name, &found(1, 60), start);
        cache.insert(&name, &Answer::Missing { ttl: seconds(5) }, start + seconds(61));
        assert_eq!(cache.find(&name, start + seconds(62)), Known::Fresh(Err(FaultKind::NameNotFound)));
    }

    #[test]
    fn the_bound_holds_and_a_used_entry_outlives_unused_ones() {
        let (mut cache, start) = (Cache::new(4), Instant::now());
        let keep = sni("keep.example");
        cache.insert(&keep, &found(1, 60), start);
        for index in 0..100 {
            assert_eq!(cache.find(&keep, start), Known::Fresh(Ok(addresses(1))));
            cache.insert(&sni(&format!("n{index}.example")), &found(2, 60), start);
            assert!(cache.entries.len() <= 4);
            assert_eq!(cache.entries.len(), cache.queue.len());
        }
        assert_eq!(cache.find(&sni("n0.example"), start), Known::Nothing);
        assert_eq!(cache.find(&sni("n99.example"), start), Known::Fresh(Ok(addresses(2))));
    }
}
