//! Clients that have refused the minted leaf, and that a bypass of the policy lets pass for a while: one table for the
//! process, since a client's next connection may be another shard's.
//!
//! A client is one source address with one fingerprint towards one host; nothing wider is ever remembered. The time runs
//! from the first refusal and is not prolonged by later ones. Without a bypass in the policy the table stays empty.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use penstock_core::limits;
use penstock_core::sni::Sni;
use tokio::sync::watch;

/// One kind of client on one machine, towards one host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PinnedClient {
    pub(crate) source: IpAddr,
    pub(crate) ja4: String,
    pub(crate) host: Sni,
}

/// The table; clones share it. Written a few times a day, so the lock inside the channel is free.
#[derive(Clone, Default)]
pub(crate) struct PinnedClients(Arc<watch::Sender<HashMap<PinnedClient, Instant>>>);

impl PinnedClients {
    /// Whether `client` is let pass now.
    pub(crate) fn holds(&self, client: &PinnedClient, now: Instant) -> bool {
        self.0.borrow().get(client).is_some_and(|until| now < *until)
    }

    /// `client` has refused the leaf and may pass for `span`. `false` when too many clients do.
    pub(crate) fn insert(&self, client: PinnedClient, span: Duration, now: Instant) -> bool {
        let mut has_room = true;
        self.0.send_modify(|clients| {
            clients.retain(|_, until| now < *until);
            has_room = clients.len() < limits::PINNED_CLIENTS_MAX || clients.contains_key(&client);
            if has_room {
                clients.entry(client).or_insert(now + span);
            }
        });
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8, ja4: &str) -> PinnedClient {
        let host = Sni::parse(b"claude.ai").unwrap();
        PinnedClient { source: IpAddr::from([10, 0, 0, last]), ja4: ja4.to_owned(), host }
    }

    #[test]
    fn the_time_runs_from_the_first_refusal() {
        let (clients, start) = (PinnedClients::default(), Instant::now());
        let hour = Duration::from_secs(3_600);
        assert!(!clients.holds(&client(1, "a"), start));
        assert!(clients.insert(client(1, "a"), hour, start));
        assert!(clients.insert(client(1, "a"), hour, start + hour / 2));
        assert!(clients.holds(&client(1, "a"), start + hour - Duration::from_millis(1)));
        assert!(!clients.holds(&client(1, "a"), start + hour));
        assert!(!clients.holds(&client(1, "b"), start) && !clients.holds(&client(2, "a"), start));
        // After that it is refused once more before it may pass again.
        assert!(clients.insert(client(1, "a"), hour, start + hour));
        assert!(clients.holds(&client(1, "a"), start + hour));
    }

    #[test]
    fn the_bound_holds() {
        let (clients, start) = (PinnedClients::default(), Instant::now());
        let hour = Duration::from_secs(3_600);
        for number in 0..limits::PINNED_CLIENTS_MAX {
            assert!(clients.insert(client(1, &number.to_string()), hour, start));
        }
        assert!(!clients.insert(client(1, "one more"), hour, start));
        assert!(clients.insert(client(1, "0"), hour, start));
        assert!(clients.insert(client(1, "one more"), hour, start + hour));
    }
}
