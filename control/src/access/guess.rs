//! The bound on guessing passwords: each name and each source may fail a few times, then waits longer and longer.
//!
//! An attempt counts as failed before it is tried, so that many at once get no more tries than one after the other.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Failures of late.
pub(super) struct Guesses {
    failures: Mutex<HashMap<Key, Failures>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Name(String),
    Source(IpAddr),
}

#[derive(Clone, Copy, Default)]
struct Failures {
    count: u32,
    /// Unix time, milliseconds.
    last_ms: u64,
}

impl Guesses {
    pub(super) fn new() -> Self {
        Self { failures: Mutex::default() }
    }

    /// Takes one attempt off both accounts; or says how many seconds to wait, and takes none.
    pub(super) fn take(&self, name: &str, source: IpAddr, now_ms: u64) -> Result<(), u64> {
        self.take_keys(keys(name, source), now_ms)
    }

    /// The same where nobody says a name.
    pub(super) fn take_source(&self, source: IpAddr, now_ms: u64) -> Result<(), u64> {
        self.take_keys([Key::of(source)], now_ms)
    }

    fn take_keys<const N: usize>(&self, keys: [Key; N], now_ms: u64) -> Result<(), u64> {
        let mut failures = self.lock();
        failures.retain(|_, failed| now_ms.saturating_sub(failed.last_ms) < FORGOTTEN_MS);
        let wait_ms = keys.iter().map(|key| key.wait_ms(failures.get(key).copied(), now_ms)).max().unwrap_or(0);
        if wait_ms > 0 {
            return Err(wait_ms.div_ceil(1000));
        }
        if failures.len() + keys.len() > KEYS_MAX {
            // Somebody guesses from everywhere: nobody signs in until the first of these are forgotten.
            return Err(FORGOTTEN_MS / 1000);
        }
        for key in keys {
            let failed = failures.entry(key).or_default();
            *failed = Failures { count: failed.count.saturating_add(1), last_ms: now_ms };
        }
        Ok(())
    }

    /// The attempt was right: the name's account is clean, and the source gets its attempt back.
    pub(super) fn right(&self, name: &str, source: IpAddr) {
        let [by_name, _] = keys(name, source);
        self.lock().remove(&by_name);
        self.right_source(source);
    }

    /// The source gets its attempt back.
    pub(super) fn right_source(&self, source: IpAddr) {
        if let Some(failed) = self.lock().get_mut(&Key::of(source)) {
            failed.count = failed.count.saturating_sub(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    /// A host of IPv6 has a /64 to itself.
    fn of(source: IpAddr) -> Self {
        Self::Source(match source.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            address => address,
        })
    }

    fn wait_ms(&self, failures: Option<Failures>, now_ms: u64) -> u64 {
        let Some(Failures { count, last_ms }) = failures else { return 0 };
        let free = match self {
            Self::Name(_) => FREE_BY_NAME,
            Self::Source(_) => FREE_BY_SOURCE,
        };
        let Some(beyond) = count.checked_sub(free) else { return 0 };
        let pause = 1_000_u64.checked_shl(beyond.min(16)).unwrap_or(PAUSE_MAX_MS).min(PAUSE_MAX_MS);
        last_ms.saturating_add(pause).saturating_sub(now_ms)
    }
}

fn keys(name: &str, source: IpAddr) -> [Key; 2] {
    [Key::Name(name.to_lowercase()), Key::of(source)]
}

/// Failures before there is a pause.
const FREE_BY_NAME: u32 = 5;
const FREE_BY_SOURCE: u32 = 20;
const PAUSE_MAX_MS: u64 = 15 * 60_000;
/// After so long without a failure all is forgotten.
const FORGOTTEN_MS: u64 = 60 * 60_000;
/// Names and sources that are remembered: about 1 MB.
const KEYS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_is_guessed_five_times_from_wherever_then_slower_and_slower() {
        let guesses = Guesses::new();
        let mut now = 1_000_000;
        for host in 1..=5 {
            guesses.take("admin", address(&format!("10.0.0.{host}")), now).unwrap();
        }
        assert_eq!(guesses.take("Admin", address("10.0.0.9"), now), Err(1));
        guesses.take("other", address("10.0.0.9"), now).unwrap();
        let mut tried = 0;
        for _ in 0..3600 {
            now += 1_000;
            tried += u32::from(guesses.take("admin", address("10.0.0.9"), now).is_ok());
        }
        assert!((5..20).contains(&tried), "{tried} guesses in an hour");
    }

    #[test]
    fn a_source_is_stopped_whatever_names_it_tries_and_a_right_one_costs_nothing() {
        let guesses = Guesses::new();
        for round in 0..100 {
            guesses.take("alice", address("192.0.2.1"), round).unwrap();
            guesses.right("alice", address("192.0.2.1"));
        }
        let tried = (0..100).filter(|name| guesses.take(&name.to_string(), address("2001:db8::1"), 5).is_ok()).count();
        assert_eq!(tried, 20);
        assert!(guesses.take("new", address("2001:db8::2"), 5).is_err(), "the same /64");
        guesses.take("new", address("2001:db8:0:1::2"), 5).unwrap();
        guesses.take("new", address("2001:db8::1"), 5 + FORGOTTEN_MS).unwrap();
    }
}
