//! Which addresses belong to inspected hosts, for the whole process: learned from DNS whenever a flow goes to one, and
//! looked up ahead for those that the policy names exactly.
//!
//! An address counts for an hour after it was last seen. Entries of the operator's table need no learning; the flow asks
//! that table first. The shards read far more often than they learn, and a learned address is not learned again before
//! half its time has passed, so the one lock inside the channel is nearly always free.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use penstock_core::limits;
use penstock_core::policy::destination;
use penstock_core::sni::Sni;
use smallvec::SmallVec;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::cache::Answer;
use super::lookups::Lookups;

/// The table; clones share it.
#[derive(Clone)]
pub(crate) struct ConnectorAddresses {
    table: Arc<watch::Sender<Table>>,
    /// The names that are looked up ahead.
    ahead: Arc<watch::Sender<Vec<Sni>>>,
}

#[derive(Default)]
struct Table {
    hosts: HashMap<IpAddr, SmallVec<[Known; 1]>>,
    /// Over all addresses.
    count: usize,
}

/// A host at an address.
struct Known {
    host: Sni,
    until: Instant,
}

impl ConnectorAddresses {
    /// An empty table, filled ahead on `runtime` once names are given to [`Self::follow`].
    pub(crate) fn start(runtime: &Handle, lookups: Lookups) -> Self {
        let (table, ahead) = (Arc::new(watch::Sender::default()), Arc::new(watch::Sender::default()));
        let addresses = Self { table, ahead };
        let names = addresses.ahead.subscribe();
        runtime.spawn(look_ahead(addresses.clone(), lookups, names));
        addresses
    }

    /// Looks these names up now and again, instead of those given before.
    pub(crate) fn follow(&self, names: impl Iterator<Item = Sni>) {
        let names: Vec<Sni> = names.take(limits::RESOLVE_AHEAD_NAMES_MAX).collect();
        self.ahead.send_if_modified(|known| {
            let is_new = *known != names;
            *known = names;
            is_new
        });
    }

    /// The hosts known to have `address`.
    pub(crate) fn hosts_at(&self, address: IpAddr, now: Instant) -> Vec<Sni> {
        let table = self.table.borrow();
        let known = table.hosts.get(&address.to_canonical()).map_or(&[][..], SmallVec::as_slice);
        known.iter().filter(|known| now < known.until).map(|known| known.host.clone()).collect()
    }

    /// Remembers that DNS gave `addresses` for `host`, which is inspected.
    pub(crate) fn learn(&self, host: &Sni, addresses: &[IpAddr], now: Instant) {
        let half = Duration::from_secs(limits::CONNECTOR_ADDRESS_SECONDS / 2);
        // What is never dialled, for whomever, is nobody's address.
        let usable =
            || addresses.iter().map(IpAddr::to_canonical).filter(|it| destination::check_steered(*it).is_none());
        let is_known = {
            let table = self.table.borrow();
            usable().all(|address| table.until(address, host).is_some_and(|until| now + half < until))
        };
        if !is_known {
            self.table.send_modify(|table| usable().for_each(|address| table.insert(address, host, now)));
        }
    }
}

impl Table {
    fn until(&self, address: IpAddr, host: &Sni) -> Option<Instant> {
        self.hosts.get(&address)?.iter().find(|known| known.host == *host).map(|known| known.until)
    }

    fn insert(&mut self, address: IpAddr, host: &Sni, now: Instant) {
        let until = now + Duration::from_secs(limits::CONNECTOR_ADDRESS_SECONDS);
        let at_address = self.hosts.get_mut(&address);
        if let Some(known) = at_address.and_then(|all| all.iter_mut().find(|known| known.host == *host)) {
            known.until = until;
            return;
        }
        if self.count >= limits::CONNECTOR_ADDRESSES_MAX {
            self.forget(now);
        }
        if self.count >= limits::CONNECTOR_ADDRESSES_MAX {
            tracing::warn!(%host, %address, "too many addresses of inspected hosts: this one is not watched");
            return;
        }
        self.hosts.entry(address).or_default().push(Known { host: host.clone(), until });
        self.count += 1;
    }

    /// Drops what has lapsed.
    fn forget(&mut self, now: Instant) {
        self.hosts.retain(|_, known| {
            known.retain(|known| now < known.until);
            !known.is_empty()
        });
        self.count = self.hosts.values().map(SmallVec::len).sum();
    }
}

/// Looks the names up, a few at a time, whenever they change and every few minutes, until the runtime ends.
async fn look_ahead(addresses: ConnectorAddresses, lookups: Lookups, mut names: watch::Receiver<Vec<Sni>>) {
    loop {
        let round = names.borrow_and_update().clone();
        let mut asked = JoinSet::new();
        for host in round {
            if asked.len() >= limits::RESOLVE_AHEAD_IN_FLIGHT_MAX {
                let _ = asked.join_next().await;
            }
            let (addresses, mut question) = (addresses.clone(), lookups.ask(&host));
            asked.spawn(async move {
                let answer = question.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
                if let Some(Answer::Found { addresses: found, .. }) = answer {
                    addresses.learn(&host, &found, Instant::now());
                }
            });
        }
        asked.join_all().await;
        let pause = Duration::from_secs(limits::RESOLVE_AHEAD_SECONDS);
        if let Ok(Err(_closed)) = tokio::time::timeout(pause, names.changed()).await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sni(name: &str) -> Sni {
        Sni::parse(name.as_bytes()).unwrap()
    }

    fn address(word: &str) -> IpAddr {
        word.parse().unwrap()
    }

    fn addresses() -> ConnectorAddresses {
        ConnectorAddresses { table: Arc::default(), ahead: Arc::default() }
    }

    #[test]
    fn an_address_is_remembered_for_an_hour_after_it_was_last_seen() {
        let (known, start) = (addresses(), Instant::now());
        let (claude, chatgpt) = (sni("claude.ai"), sni("chatgpt.com"));
        known.learn(&claude, &[address("160.79.104.10"), address("::ffff:8.8.8.8")], start);
        known.learn(&chatgpt, &[address("160.79.104.10")], start);
        assert_eq!(known.hosts_at(address("160.79.104.10"), start), [claude.clone(), chatgpt]);
        assert_eq!(known.hosts_at(address("8.8.8.8"), start), std::slice::from_ref(&claude));
        assert!(known.hosts_at(address("8.8.4.4"), start).is_empty());
        let later = start + Duration::from_secs(2_000);
        known.learn(&claude, &[address("160.79.104.10")], later);
        let end = start + Duration::from_secs(limits::CONNECTOR_ADDRESS_SECONDS);
        assert_eq!(known.hosts_at(address("160.79.104.10"), end), [claude]);
        assert!(known.hosts_at(address("8.8.8.8"), end).is_empty());
    }

    #[test]
    fn what_is_never_dialled_is_not_learned() {
        let (known, now) = (addresses(), Instant::now());
        let never = [address("127.0.0.1"), address("::1"), address("169.254.169.254"), address("fe80::1")];
        known.learn(&sni("claude.ai"), &never, now);
        assert!(never.iter().all(|address| known.hosts_at(*address, now).is_empty()));
        assert_eq!(known.table.borrow().count, 0);
    }

    #[test]
    fn private_addresses_are_learned_for_clients_that_the_kernel_leads_here() {
        let (known, now) = (addresses(), Instant::now());
        let private = [address("10.0.0.1"), address("fd00::1")];
        known.learn(&sni("claude.ai"), &private, now);
        assert!(private.iter().all(|address| known.hosts_at(*address, now) == [sni("claude.ai")]));
    }

    #[test]
    fn the_bound_holds_and_lapsed_entries_make_room() {
        let (known, start) = (addresses(), Instant::now());
        for number in 0..u32::try_from(limits::CONNECTOR_ADDRESSES_MAX).unwrap() + 10 {
            known.learn(&sni("claude.ai"), &[IpAddr::from((0x0800_0000 + number).to_be_bytes())], start);
        }
        assert_eq!(known.table.borrow().count, limits::CONNECTOR_ADDRESSES_MAX);
        let later = start + Duration::from_secs(limits::CONNECTOR_ADDRESS_SECONDS);
        known.learn(&sni("claude.ai"), &[address("9.9.9.9")], later);
        assert_eq!(known.table.borrow().count, 1);
    }
}
