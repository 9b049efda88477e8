//! Writes the trail.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use penstock_core::audit::timestamp;

use super::{Act, Identity, Role, Way};
use crate::audit::moment;
use crate::store::{TrailEntry, TrailStore};

/// What came of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// By a fault of the appliance's.
    Failed,
    Refused,
}

/// The way to the trail.
#[derive(Clone)]
pub(crate) struct Trail {
    store: Arc<dyn TrailStore>,
    /// When it was last told that scripts of this machine read events in clear; Unix milliseconds.
    scripts_told_ms: Arc<AtomicU64>,
}

impl Trail {
    pub(crate) fn new(store: Arc<dyn TrailStore>) -> Self {
        Self { store, scripts_told_ms: Arc::default() }
    }

    /// Records an act of somebody who was let in.
    pub(crate) async fn tell(&self, who: &Identity, from: IpAddr, act: Act, subject: &str, outcome: Outcome) {
        self.add(&who.name, Some(who.role), from, act, subject, outcome).await;
    }

    /// Records an attempt to sign in under a name, and what there is to say of it.
    pub(crate) async fn tell_attempt(&self, name: &str, from: IpAddr, subject: &str, outcome: Outcome) {
        let shown: String =
            name.chars().filter(|character| !character.is_control()).take(NAME_CHARACTERS_MAX).collect();
        self.add(&shown, None, from, Act::SignIn, subject, outcome).await;
    }

    /// Records that somebody was shown the names of people. The token file is for scripts that follow events without end:
    /// of them it is told once an hour.
    pub(crate) async fn tell_unmasked(&self, who: &Identity, from: IpAddr, subject: &str, outcome: Outcome) {
        if who.way == Way::File {
            let now_ms = moment::now_ms();
            let told_ms = self.scripts_told_ms.load(Ordering::Relaxed);
            if now_ms.saturating_sub(told_ms) < SCRIPTS_TOLD_MS {
                return;
            }
            self.scripts_told_ms.store(now_ms, Ordering::Relaxed);
        }
        self.tell(who, from, Act::Unmask, subject, outcome).await;
    }

    async fn add(&self, who: &str, role: Option<Role>, from: IpAddr, act: Act, subject: &str, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
            Outcome::Refused => "refused",
        };
        let entry = TrailEntry {
            id: 0,
            time: timestamp(moment::now_ms()),
            who: who.to_owned(),
            role: role.map(|role| role.label().to_owned()),
            address: from.to_canonical().to_string(),
            act: act.label().to_owned(),
            subject: subject.to_owned(),
            outcome: outcome.to_owned(),
        };
        if let Err(error) = self.store.add(entry).await {
            tracing::error!(%error, who, act = act.label(), "an act could not be written to the trail");
        }
    }
}

const SCRIPTS_TOLD_MS: u64 = 60 * 60_000;
/// A name that somebody tries may be anything.
const NAME_CHARACTERS_MAX: usize = 64;
