//! The publisher's side of a rollout in waves: begins it, drives it on, halts it, and ends it one way or the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::plan::{Counted, Plan};
use super::publisher::{Proposal, PublishError, Published, Publisher};
use super::rollout::{Rollout, RolloutState, Step};
use super::{Acknowledgement, Active, NodeSamples};
use crate::store::RevisionSource;

/// How long a look waits for what nodes count.
const SAMPLES_PATIENCE: Duration = Duration::from_millis(500);

impl Publisher {
    /// Stores the policy under a new epoch and gives it to the nodes of the first wave.
    pub(crate) async fn roll_out(&self, proposal: Proposal, plan: Plan) -> Result<Arc<Rollout>, PublishError> {
        self.follow().await?;
        let counted = self.counted().await;
        let _turn = self.turn().await;
        let stable = self.active().ok_or(PublishError::NothingInForce)?;
        let author = proposal.author.clone();
        let nodes = self.fleet().attached();
        let begun = |epoch| {
            let mut state = RolloutState {
                plan: plan.clone(),
                epoch,
                stable_epoch: stable.epoch(),
                author: author.clone(),
                driver: self.name().to_owned(),
                wave: 0,
                released: BTreeSet::new(),
                halted: None,
            };
            state.release(&nodes);
            state
        };
        let candidate = self.store_revision(proposal, |epoch| Some(begun(epoch).write())).await?;
        let epoch = candidate.epoch();
        let state = begun(epoch);
        let stored = Some(state.write());
        tracing::info!(epoch, nodes = ?state.released, "a policy goes out in waves");
        Ok(self.remember(Rollout { candidate, state, stored, began: self.now(), installed: None, before: counted }))
    }

    /// Looks at a rollout that is under way, and takes it one step further if it is time. Answers whether there is one.
    pub(crate) async fn drive(&self) -> Result<bool, PublishError> {
        let Some(rollout) = self.rollout() else { return Ok(false) };
        if rollout.state.halted.is_some() || !self.drives(&rollout.state) {
            return Ok(false);
        }
        let counted = self.counted().await;
        let answers: BTreeMap<String, Acknowledgement> = self.fleet().answers(&rollout.candidate);
        let late_seconds = i64::try_from(self.acknowledge_deadline().as_secs()).unwrap_or(i64::MAX);
        let _turn = self.turn().await;
        // Somebody may have ended or halted it meanwhile.
        let Some(current) = self.rollout().filter(|current| Arc::ptr_eq(current, &rollout)) else { return Ok(true) };
        let mut next = Rollout::clone(&current);
        let now = self.now();
        match next.look(now, late_seconds, &answers, &counted) {
            Step::Wait => {
                self.remember(next);
                return Ok(true);
            }
            Step::Soak => {
                next.installed = Some(now);
                self.remember(next);
                return Ok(true);
            }
            Step::Complete => {
                tracing::info!(epoch = next.state.epoch, "the rollout is complete");
                self.store().save_rollout(next.stored, None).await?;
                self.put_candidate_in_force(&next.candidate);
                return Ok(false);
            }
            Step::Halt(why) => {
                tracing::error!(epoch = next.state.epoch, why, "the rollout is halted");
                next.state.halted = Some(why);
            }
            Step::NextWave => {
                next.state.wave += 1;
                next.begin(now, counted);
                next.state.release(&self.fleet().attached());
                tracing::info!(epoch = next.state.epoch, wave = next.state.wave + 1, "the rollout's next wave");
            }
        }
        self.keep(next).await.map(|_| true)
    }

    /// Halts a rollout by hand.
    pub(crate) async fn halt_rollout(&self, why: String) -> Result<Arc<Rollout>, PublishError> {
        let _turn = self.turn().await;
        let mut rollout = Rollout::clone(&*self.rollout().ok_or(PublishError::NoRollout)?);
        rollout.state.halted = Some(why);
        self.keep(rollout).await
    }

    /// Goes on with the wave at which it was halted, and counts anew.
    pub(crate) async fn resume_rollout(&self) -> Result<Arc<Rollout>, PublishError> {
        let counted = self.counted().await;
        let _turn = self.turn().await;
        let mut rollout = Rollout::clone(&*self.rollout().ok_or(PublishError::NoRollout)?);
        rollout.state.halted = None;
        self.name().clone_into(&mut rollout.state.driver);
        // As another value, so that whoever refused it is sent it again.
        rollout.candidate = Arc::new(Active::clone(&rollout.candidate));
        self.fleet().forget_refusals(rollout.state.epoch);
        rollout.begin(self.now(), counted);
        rollout.state.release(&self.fleet().attached());
        self.keep(rollout).await
    }

    /// Gives every node what was in force before, under an epoch above the candidate's.
    pub(crate) async fn abandon_rollout(&self, author: String) -> Result<Published, PublishError> {
        self.follow().await?;
        let turn = self.turn().await;
        let rollout = self.rollout().ok_or(PublishError::NoRollout)?;
        let stable = self.active().ok_or(PublishError::NothingInForce)?;
        let why = rollout.state.halted.as_deref().unwrap_or("by hand");
        let proposal = Proposal {
            text: stable.revision.text.clone(),
            file: format!("epoch-{}.toml", stable.epoch()),
            author,
            comment: format!("rollout of epoch {} rolled back: {why}", rollout.state.epoch),
            source: RevisionSource::Rollback,
            expected: None,
        };
        let restored = self.store_next(proposal, |_| None, rollout.stored.as_deref()).await?;
        self.put_candidate_in_force(&restored);
        drop(turn);
        let nodes = self.settled(&restored).await;
        Ok(Published { active: restored, nodes })
    }

    /// A rollout that a restart has interrupted, halted.
    pub(super) async fn resume_halted(
        &self,
        stored: Option<String>,
        mut state: RolloutState,
        candidate: Arc<Active>,
    ) -> Result<(), PublishError> {
        let why = state.halted.take().unwrap_or_else(|| "control was started again".to_owned());
        state.halted = Some(why);
        let rollout = Rollout { candidate, state, stored, began: self.now(), installed: None, before: BTreeMap::new() };
        self.keep(rollout).await.map(drop)
    }

    /// Whether this daemon looks after a rollout: the one where it began, or was last resumed.
    pub(super) fn drives(&self, state: &RolloutState) -> bool {
        state.driver == self.name()
    }

    /// What a node should have.
    pub(super) fn state_for(&self, node: &str) -> Option<Arc<Active>> {
        let rollout = self.rollout().filter(|rollout| rollout.covers(node));
        rollout.map(|rollout| Arc::clone(&rollout.candidate)).or_else(|| self.active())
    }

    async fn keep(&self, mut rollout: Rollout) -> Result<Arc<Rollout>, PublishError> {
        let written = Some(rollout.state.write());
        self.store().save_rollout(rollout.stored, written.clone()).await?;
        rollout.stored = written;
        Ok(self.remember(rollout))
    }

    /// Flows and faults of every node, as last reported.
    async fn counted(&self) -> BTreeMap<String, Counted> {
        let nodes = self.fleet().samples(SAMPLES_PATIENCE).await;
        nodes.iter().filter(|node| node.attached && !node.is_draining).map(count).collect()
    }
}

fn count(node: &NodeSamples) -> (String, Counted) {
    let sum = |name: &str| -> f64 {
        let series = node.samples.iter().filter(|sample| sample.name == name);
        series
            .filter_map(|sample| match sample.value {
                Some(penstock_link::sample::Value::Number(number)) => Some(number),
                _ => None,
            })
            .sum()
    };
    (node.node.clone(), Counted { flows: sum("penstock_flows_total"), faults: sum("penstock_faults_total") })
}
