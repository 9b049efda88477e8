//! A policy on its way through the fleet: some nodes have the candidate, the others what was in force before.
//!
//! ```text
//! begin ─▶ wave 1 ─▶ all of it installed ─▶ watched ─▶ wave 2 ─ ... ─▶ everybody ─▶ in force
//!             └─ a node refuses, is late, or flows fail ─▶ halted ─▶ resumed, or rolled back under a new epoch
//! ```
//!
//! The state is stored with every step. After a restart a rollout is halted until somebody resumes it: what was counted
//! meanwhile is not known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::plan::{Counted, Plan};
use super::{Acknowledgement, Active};

/// One that is under way.
#[derive(Clone)]
pub(crate) struct Rollout {
    pub(crate) candidate: Arc<Active>,
    pub(crate) state: RolloutState,
    /// The state as it is in the store.
    pub(super) stored: Option<String>,
    /// When the wave began, and when all of its nodes had the candidate; Unix seconds.
    pub(super) began: i64,
    pub(super) installed: Option<i64>,
    /// What each node had counted when the wave began, or when it began to count anew.
    pub(super) before: BTreeMap<String, Counted>,
}

/// What is stored of it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct RolloutState {
    pub(crate) plan: Plan,
    /// Epochs of the candidate, and of what is in force before it.
    pub(crate) epoch: u64,
    pub(crate) stable_epoch: u64,
    pub(crate) author: String,
    /// The daemon that looks after it.
    #[serde(default)]
    pub(super) driver: String,
    /// Counted from 0.
    pub(crate) wave: usize,
    /// Nodes that have or get the candidate.
    pub(crate) released: BTreeSet<String>,
    /// Why it does not go on.
    pub(crate) halted: Option<String>,
}

/// What a look at the fleet asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The last wave was watched: the candidate is in force everywhere.
    Complete,
    Halt(String),
    NextWave,
    /// All nodes of the wave have it from now on.
    Soak,
    Wait,
}

impl RolloutState {
    /// Reads what was stored.
    pub(super) fn read(stored: &str) -> Option<Self> {
        serde_json::from_str(stored).ok()
    }

    pub(super) fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Adds the nodes of the current wave.
    pub(super) fn release(&mut self, nodes: &BTreeMap<String, Vec<String>>) {
        let members = self.plan.members(self.wave, nodes);
        let is_empty = members.is_empty();
        self.released.extend(members);
        if is_empty {
            let wave = self.plan.waves().get(self.wave);
            let wave = wave.map(ToString::to_string).unwrap_or_default();
            self.halted = Some(format!("no node that is attached belongs to the wave {wave}"));
        }
    }
}

impl Rollout {
    /// Whether a node gets the candidate.
    pub(crate) fn covers(&self, node: &str) -> bool {
        self.state.released.contains(node) || self.state.plan.is_last(self.state.wave)
    }

    /// Counts from here on.
    pub(super) fn begin(&mut self, now: i64, counted: BTreeMap<String, Counted>) {
        (self.began, self.installed, self.before) = (now, None, counted);
    }

    /// What nodes that have the candidate counted since the wave began. A node whose counters went back was started
    /// again, and counts from there.
    fn since(&mut self, counted: &BTreeMap<String, Counted>) -> Counted {
        let mut sum = Counted::default();
        for (node, now) in counted.iter().filter(|(node, _)| self.state.released.contains(*node)) {
            let before = self.before.entry(node.clone()).or_insert(*now);
            if now.flows < before.flows || now.faults < before.faults {
                *before = Counted::default();
            }
            sum.flows += now.flows - before.flows;
            sum.faults += now.faults - before.faults;
        }
        sum
    }

    /// Looks at what the nodes of the waves so far answered and counted.
    pub(super) fn look(
        &mut self,
        now: i64,
        late_seconds: i64,
        answers: &BTreeMap<String, Acknowledgement>,
        counted: &BTreeMap<String, Counted>,
    ) -> Step {
        let mut is_installed = true;
        for (node, answer) in answers.iter().filter(|(node, _)| self.covers(node)) {
            match answer {
                Acknowledgement::Away | Acknowledgement::Installed => {}
                Acknowledgement::Late if now - self.began > late_seconds => {
                    return Step::Halt(format!("node {node} has not answered for {late_seconds} seconds"));
                }
                Acknowledgement::Late => is_installed = false,
                Acknowledgement::Refused(reason) => return Step::Halt(format!("node {node} refused it: {reason}")),
            }
        }
        let since = self.since(counted);
        if let Some(why) = self.state.plan.excess(since) {
            return Step::Halt(why);
        }
        let soak = i64::try_from(self.state.plan.soak_seconds).unwrap_or(i64::MAX);
        match self.installed {
            _ if !is_installed => Step::Wait,
            None => Step::Soak,
            Some(installed) if now - installed < soak => Step::Wait,
            Some(_) if self.state.plan.is_last(self.state.wave) => Step::Complete,
            Some(_) => Step::NextWave,
        }
    }
}
