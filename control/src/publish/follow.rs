//! Takes over what is in the store: at start, and what other daemons have put there since.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::Active;
use super::publisher::{PublishError, Publisher};
use super::rollout::{Rollout, RolloutState};
use crate::store::Revision;

impl Publisher {
    /// Puts the newest stored revision in force, at start. A rollout that this daemon drove is halted.
    pub(crate) async fn resume(&self) -> Result<(), PublishError> {
        self.adopt(true).await
    }

    /// Takes over what another daemon has published, or done to a rollout.
    pub(crate) async fn follow(&self) -> Result<(), PublishError> {
        self.adopt(false).await
    }

    /// Told when another daemon may have changed something.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.store().changes()
    }

    async fn adopt(&self, is_start: bool) -> Result<(), PublishError> {
        let _turn = self.turn().await;
        let head = self.store().head().await?;
        let Some(newest) = head.newest else { return Ok(()) };
        let state = head.rollout.as_deref().and_then(RolloutState::read).filter(|state| state.epoch == newest.epoch);
        let stable = match &state {
            Some(state) => self.store().revision(state.stable_epoch).await?,
            None => None,
        };
        let (Some(state), Some(stable)) = (state, stable) else {
            if is_start && head.rollout.is_some() {
                // Written by an earlier version, whose end could not be written with it.
                self.store().save_rollout(head.rollout, None).await?;
            }
            return self.adopt_policy(newest).await;
        };
        if self.active().is_none_or(|active| active.epoch() < stable.epoch) {
            self.put_in_force(stable).await?;
        }
        if self.rollout().is_some_and(|known| known.stored == head.rollout) {
            return Ok(());
        }
        let known = self.rollout().map(|known| Arc::clone(&known.candidate));
        let candidate = self.known_or_compiled(known, newest).await?;
        if is_start && self.drives(&state) {
            return self.resume_halted(head.rollout, state, candidate).await;
        }
        let (stored, began) = (head.rollout, self.now());
        self.remember(Rollout { candidate, state, stored, began, installed: None, before: BTreeMap::new() });
        Ok(())
    }

    /// Puts a revision in force that no rollout holds back.
    async fn adopt_policy(&self, newest: Revision) -> Result<(), PublishError> {
        let rollout = self.rollout();
        let behind = |active: Arc<Active>| active.epoch() < newest.epoch;
        if !self.active().is_none_or(behind) {
            return Ok(());
        }
        let candidate = rollout.map(|rollout| Arc::clone(&rollout.candidate));
        let active = self.known_or_compiled(candidate, newest).await?;
        tracing::info!(epoch = active.epoch(), "policy in force");
        self.put_candidate_in_force(&active);
        Ok(())
    }

    async fn known_or_compiled(
        &self,
        known: Option<Arc<Active>>,
        revision: Revision,
    ) -> Result<Arc<Active>, PublishError> {
        match known.filter(|known| known.epoch() == revision.epoch) {
            Some(known) => Ok(known),
            None => self.compiled(revision).await,
        }
    }
}
