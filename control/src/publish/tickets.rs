//! The keys of session tickets, the same for every data plane: made here, renewed twice a day, kept in memory alone.
//!
//! Nodes always have the key that seals next, half a day before it does, so that no node ever meets a ticket under a key
//! that it has not heard of. After a restart of control there are other keys; nodes keep the former ones until their end.

use std::sync::Arc;

use penstock_core::limits::{TICKET_KEY_SECONDS, TICKET_LIFE_SECONDS};
use penstock_link as link;
use tokio::sync::watch;
use zeroize::Zeroizing;

/// One key.
#[derive(Clone)]
struct Key {
    name: [u8; 16],
    secret: Zeroizing<[u8; 32]>,
    seals_from: i64,
    seals_until: i64,
}

/// The keys that nodes should have now, oldest first.
#[derive(Clone, Default)]
pub(crate) struct TicketKeys(Vec<Key>);

/// Makes keys as time goes on.
pub(super) struct TicketSchedule {
    keys: watch::Sender<Arc<TicketKeys>>,
}

impl TicketSchedule {
    pub(super) fn new() -> Self {
        Self { keys: watch::Sender::new(Arc::default()) }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<TicketKeys>> {
        self.keys.subscribe()
    }

    /// Sees to it that there is a key for now and one for after, and forgets those that open nothing any more.
    pub(super) fn tend(&self, now: i64) -> Result<(), getrandom::Error> {
        let mut keys = TicketKeys::clone(&self.keys.borrow());
        let before: Vec<_> = keys.0.iter().map(|key| key.name).collect();
        // A clock that was set back would leave keys of a far future.
        keys.0.retain(|key| now < key.seals_until + TICKET_LIFE_SECONDS && key.seals_from <= now + TICKET_KEY_SECONDS);
        while keys.0.last().is_none_or(|last| last.seals_from <= now) {
            let from = keys.0.last().map_or(now, |last| last.seals_until).max(now - TICKET_KEY_SECONDS + 1);
            keys.0.push(Key::new(if from + TICKET_KEY_SECONDS <= now { now } else { from })?);
        }
        let after = keys.0.iter().map(|key| key.name);
        if !after.eq(before) {
            self.keys.send_replace(Arc::new(keys));
        }
        Ok(())
    }
}

impl Key {
    fn new(seals_from: i64) -> Result<Self, getrandom::Error> {
        let (mut name, mut secret) = ([0; 16], Zeroizing::new([0; 32]));
        getrandom::fill(&mut name)?;
        getrandom::fill(secret.as_mut_slice())?;
        Ok(Self { name, secret, seals_from, seals_until: seals_from + TICKET_KEY_SECONDS })
    }
}

impl TicketKeys {
    /// What is sent to a node: the secrets sealed for the holder of `sealing_key`, or as they are to a node of an older version,
    /// which has none. `None` when that is no key.
    pub(super) fn message(&self, sealing_key: &[u8]) -> Option<link::TicketKeys> {
        let key = |key: &Key| {
            let (secret, sealed_secret) = if sealing_key.is_empty() {
                (key.secret.to_vec(), Vec::new())
            } else {
                (Vec::new(), link::seal(sealing_key, &key.name, key.secret.as_slice())?)
            };
            let (seals_from, seals_until) = (key.seals_from, key.seals_until);
            Some(link::TicketKey { name: key.name.to_vec(), secret, seals_from, seals_until, sealed_secret })
        };
        Some(link::TicketKeys { keys: self.0.iter().map(key).collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At every moment one key seals, its successor is known, and whatever can still be opened is.
    #[test]
    fn there_is_always_a_key_for_now_and_one_for_after() {
        let schedule = TicketSchedule::new();
        let keys = schedule.subscribe();
        let start = 1_795_305_600;
        let mut known: Vec<Vec<u8>> = Vec::new();
        for now in (start..start + 5 * 86_400).step_by(600) {
            schedule.tend(now).unwrap();
            let sent = keys.borrow().message(&[]).unwrap().keys;
            assert!(sent.len() <= 4, "{}", sent.len());
            let sealing: Vec<_> =
                sent.iter().filter(|key| key.seals_from <= now && now < key.seals_until).map(|key| &key.name).collect();
            assert_eq!(sealing.len(), 1);
            assert!(sent.iter().any(|key| key.seals_from > now), "the next one");
            // The key that seals was sent before it did, but for the very first.
            assert!(now == start || known.contains(sealing[0]));
            for key in &sent {
                if !known.contains(&key.name) {
                    assert!(now == start || key.seals_from >= now + TICKET_KEY_SECONDS - 600);
                    known.push(key.name.clone());
                }
            }
            let open = sent.iter().filter(|key| key.seals_from <= now).count();
            assert!(now < start + TICKET_KEY_SECONDS || open >= 2, "the one before");
        }
        assert!(known.len() >= 10);
    }

    #[test]
    fn secrets_are_sealed_for_a_node_that_has_a_key_for_that() {
        let schedule = TicketSchedule::new();
        schedule.tend(1_795_305_600).unwrap();
        let keys = TicketKeys::clone(&schedule.subscribe().borrow());
        let pair = link::SealingPair::generate().unwrap();
        let sealed = keys.message(pair.public()).unwrap().keys;
        for (kept, sent) in keys.0.iter().zip(&sealed) {
            assert!(sent.secret.is_empty());
            assert_eq!(pair.open(&sent.name, &sent.sealed_secret).unwrap().as_slice(), kept.secret.as_slice());
        }
        assert!(sealed.len() == 2 && keys.message(&[0; 32]).is_none());
    }

    #[test]
    fn nothing_is_sent_while_nothing_changes_and_clocks_may_jump() {
        let schedule = TicketSchedule::new();
        let mut keys = schedule.subscribe();
        let start = 1_795_305_600;
        schedule.tend(start).unwrap();
        assert!(keys.has_changed().unwrap());
        keys.mark_unchanged();
        schedule.tend(start + 60).unwrap();
        assert!(!keys.has_changed().unwrap());
        for now in [start + 40 * 86_400, start - 40 * 86_400] {
            schedule.tend(now).unwrap();
            let sent = keys.borrow_and_update().message(&[]).unwrap().keys;
            assert_eq!(sent.iter().filter(|key| key.seals_from <= now && now < key.seals_until).count(), 1);
            assert!(sent.len() <= 3);
        }
    }
}
