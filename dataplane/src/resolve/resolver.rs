//! One shard's resolver: the cache, and one question per name at a time however many flows want it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use penstock_core::flow::FaultKind;
use penstock_core::limits;
use penstock_core::sni::Sni;
use tokio::sync::watch;

use super::cache::{Answer, Cache, Known};
use super::lookups::Lookups;

/// Names to addresses, for the flows of one shard.
pub(crate) struct Resolver {
    lookups: Lookups,
    state: RefCell<State>,
}

struct State {
    cache: Cache,
    /// Questions that no waiting flow has taken the answer of yet.
    asked: HashMap<Sni, watch::Receiver<Option<Answer>>>,
}

impl Resolver {
    pub(crate) fn new(lookups: Lookups) -> Self {
        let cache = Cache::new(limits::RESOLVE_CACHE_ENTRIES_MAX);
        Self { lookups, state: RefCell::new(State { cache, asked: HashMap::new() }) }
    }

    /// The addresses of `host`, at least one, in the order in which they are to be tried. Takes 5 s at most. Dropping the
    /// future loses nothing: the answer is kept for the next who asks.
    pub(crate) async fn resolve(&self, host: &Sni) -> Result<Arc<[IpAddr]>, FaultKind> {
        self.resolve_at(host, Instant::now()).await
    }

    /// [`Self::resolve`] at a given moment.
    pub(super) async fn resolve_at(&self, host: &Sni, now: Instant) -> Result<Arc<[IpAddr]>, FaultKind> {
        let stale = match self.state.borrow_mut().cache.find(host, now) {
            Known::Fresh(outcome) => return outcome,
            Known::Nothing => None,
            Known::Stale(addresses) => Some(addresses),
        };
        let Some(mut question) = self.ask(host, now) else {
            return stale.ok_or(FaultKind::TooMany);
        };
        let patience = if stale.is_some() { limits::RESOLVE_STALE_AFTER_MS } else { limits::RESOLVE_DEADLINE_MS };
        let arrived = tokio::time::timeout(Duration::from_millis(patience), question.wait_for(Option::is_some)).await;
        let answer = match arrived {
            Ok(Ok(answer)) => answer.clone().unwrap_or(Answer::Failed(FaultKind::Unreachable)),
            // The background runtime has ended.
            Ok(Err(_closed)) => Answer::Failed(FaultKind::Unreachable),
            Err(_elapsed) => {
                // The question stays open. Until it may be asked for again, others get the stale answer without waiting.
                self.state.borrow_mut().cache.insert(host, &Answer::Failed(FaultKind::Deadline), now);
                return stale.ok_or(FaultKind::Deadline);
            }
        };
        self.state.borrow_mut().settle(host, &answer, now);
        match answer {
            Answer::Failed(kind) => stale.ok_or(kind),
            Answer::Found { addresses, .. } => Ok(addresses),
            Answer::Missing { .. } => Err(FaultKind::NameNotFound),
        }
    }

    /// Joins the question for `host`, or asks it; `None` when too many are open.
    fn ask(&self, host: &Sni, now: Instant) -> Option<watch::Receiver<Option<Answer>>> {
        let mut state = self.state.borrow_mut();
        if let Some(question) = state.asked.get(host) {
            return Some(question.clone());
        }
        if state.asked.len() >= limits::RESOLVE_IN_FLIGHT_MAX {
            state.sweep(now);
        }
        if state.asked.len() >= limits::RESOLVE_IN_FLIGHT_MAX {
            return None;
        }
        let question = self.lookups.ask(host);
        state.asked.insert(host.clone(), question.clone());
        Some(question)
    }
}

impl State {
    /// Moves an answer into the cache; the first of those who waited for it does so.
    fn settle(&mut self, host: &Sni, answer: &Answer, now: Instant) {
        if self.asked.remove(host).is_some() {
            self.cache.insert(host, answer, now);
        }
    }

    /// Settles the questions whose flows have all gone away.
    fn sweep(&mut self, now: Instant) {
        let answered = |question: &watch::Receiver<Option<Answer>>| question.borrow().clone();
        let done: Vec<_> = self
            .asked
            .iter()
            .filter_map(|(host, question)| answered(question).map(|answer| (host.clone(), answer)))
            .collect();
        for (host, answer) in done {
            self.settle(&host, &answer, now);
        }
    }
}
