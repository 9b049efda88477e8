//! One shard's memory of who was verified lately, and its way to the workers.
//!
//! No password is kept: what is remembered is a keyed digest of name, password and the reading of the file against which
//! they were verified, so that a changed file makes all of it void. The key is the shard's own and random. An attacker who
//! cannot compute a digest learns nothing from how long a look-up takes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use penstock_core::limits;
use penstock_core::proxy::Basic;

use super::directory::Who;
use super::failures::Failures;
use super::workers::{Answer, Outcome, Workers};

/// The shard's gate.
pub(crate) struct Gate {
    workers: Workers,
    key: hmac::Key,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    verified: HashMap<Digest, (Arc<Who>, Instant)>,
    /// Verifications under way, so that a browser's ten connections cost one.
    asked: HashMap<Digest, Answer>,
    failures: Failures,
}

type Digest = [u8; 32];

/// What becomes of credentials.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    /// Too many verifications wait.
    Busy,
    Right(Arc<Who>),
    /// The source has failed too often; nothing was verified.
    TooMany,
    Wrong,
}

impl Gate {
    pub(crate) fn new(workers: Workers) -> Result<Self, &'static str> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new());
        let key = key.map_err(|_unspecified| "no randomness for the key of verified credentials")?;
        Ok(Self { workers, key, state: RefCell::default() })
    }

    /// Verifies credentials. Takes [`limits::AUTH_DEADLINE_MS`] at most.
    pub(crate) async fn verify(&self, source: IpAddr, basic: &Basic) -> Proof {
        self.verify_at(source, basic, Instant::now()).await
    }

    /// [`Self::verify`] at a given moment.
    pub(super) async fn verify_at(&self, source: IpAddr, basic: &Basic, now: Instant) -> Proof {
        let digest = self.digest(basic);
        if let Some(who) = self.state.borrow_mut().remembered(&digest, now) {
            return Proof::Right(who);
        }
        if self.state.borrow().failures.is_over(source, now) {
            return Proof::TooMany;
        }
        let Some(mut answer) = self.ask(digest, basic) else { return Proof::Busy };
        let deadline = Duration::from_millis(limits::AUTH_DEADLINE_MS);
        let outcome = match tokio::time::timeout(deadline, answer.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone(),
            Ok(Err(_)) | Err(_) => None,
        };
        let mut state = self.state.borrow_mut();
        state.asked.remove(&digest);
        match outcome {
            Some(Outcome::Right(who)) => {
                state.remember(digest, &who, now);
                Proof::Right(who)
            }
            Some(Outcome::Wrong) => {
                state.failures.add(source, now);
                Proof::Wrong
            }
            None => Proof::Busy,
        }
    }

    /// Joins a verification of the same, or asks for one.
    fn ask(&self, digest: Digest, basic: &Basic) -> Option<Answer> {
        let mut state = self.state.borrow_mut();
        if let Some(answer) = state.asked.get(&digest) {
            return Some(answer.clone());
        }
        if state.asked.len() >= limits::AUTH_QUEUE_MAX {
            // Those whose flows have gone away.
            state.asked.retain(|_, answer| answer.borrow().is_none());
        }
        if state.asked.len() >= limits::AUTH_QUEUE_MAX {
            return None;
        }
        let answer = self.workers.ask(basic)?;
        state.asked.insert(digest, answer.clone());
        Some(answer)
    }

    fn digest(&self, basic: &Basic) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&self.workers.directory.generation().to_be_bytes());
        // A name holds no colon, so the two cannot run into each other.
        for part in [basic.user().as_bytes(), b":", basic.password().as_bytes()] {
            context.update(part);
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    #[cfg(test)]
    pub(super) fn remembered_count(&self) -> usize {
        self.state.borrow().verified.len()
    }
}

impl State {
    fn remembered(&mut self, digest: &Digest, now: Instant) -> Option<Arc<Who>> {
        let (who, since) = self.verified.get(digest)?;
        if is_fresh(*since, now) {
            return Some(Arc::clone(who));
        }
        self.verified.remove(digest);
        None
    }

    fn remember(&mut self, digest: Digest, who: &Arc<Who>, now: Instant) {
        if self.verified.len() >= limits::AUTH_CACHE_ENTRIES_MAX {
            self.verified.retain(|_, (_, since)| is_fresh(*since, now));
        }
        if self.verified.len() >= limits::AUTH_CACHE_ENTRIES_MAX {
            let oldest = self.verified.iter().min_by_key(|(_, (_, since))| *since).map(|(digest, _)| *digest);
            oldest.and_then(|oldest| self.verified.remove(&oldest));
        }
        self.verified.insert(digest, (Arc::clone(who), now));
    }
}

fn is_fresh(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < Duration::from_secs(limits::AUTH_CACHE_SECONDS)
}
