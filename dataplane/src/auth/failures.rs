//! Wrong passwords by source: past a bound no more are verified for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use penstock_core::limits;
use penstock_core::source::network;

/// The count of each source that failed lately.
#[derive(Default)]
pub(super) struct Failures {
    by_source: HashMap<IpAddr, (u32, Instant)>,
}

impl Failures {
    /// Whether the source has failed too often.
    pub(super) fn is_over(&self, source: IpAddr, now: Instant) -> bool {
        let found = self.by_source.get(&network(source));
        found.is_some_and(|(count, since)| *count >= limits::AUTH_FAILURES_MAX && !is_past(*since, now))
    }

    /// Counts a wrong password.
    pub(super) fn add(&mut self, source: IpAddr, now: Instant) {
        let source = network(source);
        if !self.by_source.contains_key(&source) && self.by_source.len() >= limits::AUTH_SOURCES_MAX {
            self.by_source.retain(|_, (_, since)| !is_past(*since, now));
        }
        if !self.by_source.contains_key(&source) && self.by_source.len() >= limits::AUTH_SOURCES_MAX {
            let oldest = self.by_source.iter().min_by_key(|(_, (_, since))| *since).map(|(source, _)| *source);
            oldest.and_then(|oldest| self.by_source.remove(&oldest));
        }
        let (count, since) = self.by_source.entry(source).or_insert((0, now));
        if is_past(*since, now) {
            (*count, *since) = (0, now);
        }
        *count = count.saturating_add(1);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_source.len()
    }
}

fn is_past(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= Duration::from_secs(limits::AUTH_FAILURE_SECONDS)
}
