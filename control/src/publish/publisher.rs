//! Decides what is in force: checks a proposed policy, stores it under a new epoch, gives it an issuer, sends it out.
//!
//! One change at a time. Everything that can be refused is refused before anything is stored, so a bad policy leaves the
//! old one in force everywhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use penstock_core::policy::{Diagnostic, Snapshot, compile};
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::Instant;

use super::rollout::{Rollout, RolloutState};
use super::tickets::{TicketKeys, TicketSchedule};
use super::{Acknowledgement, Active, Fleet};
use crate::audit::moment;
use crate::ca::{Authority, CaError, IssuerBundle, RotationStep};
use crate::store::{Addition, PolicyStore, Revision, RevisionSource, StoreError};

/// Owner of the policy in force.
pub(crate) struct Publisher {
    store: Arc<dyn PolicyStore>,
    authority: Arc<Authority>,
    fleet: Arc<Fleet>,
    acknowledge_deadline: Duration,
    active: watch::Sender<Option<Arc<Active>>>,
    /// A policy on its way through the fleet.
    rollout: watch::Sender<Option<Arc<Rollout>>>,
    tickets: TicketSchedule,
    clock: Clock,
    /// Of this daemon among those that share the store; empty where there is no other.
    name: String,
    /// Held by the change that is being made.
    turn: Mutex<()>,
}

/// Answers Unix seconds.
pub(crate) type Clock = fn() -> i64;

/// A policy that somebody wants in force.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    pub(crate) text: String,
    /// What diagnostics call the document.
    pub(crate) file: String,
    pub(crate) author: String,
    pub(crate) comment: String,
    pub(crate) source: RevisionSource,
    /// The epoch that the author took for the active one; None when that does not matter.
    pub(crate) expected: Option<u64>,
}

/// A policy that is in force now, and what the fleet did with it.
pub(crate) struct Published {
    pub(crate) active: Arc<Active>,
    pub(crate) nodes: BTreeMap<String, Acknowledgement>,
}

/// Why the old policy stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error("the policy is wrong in {} place(s)", .0.len())]
    Invalid(Vec<Diagnostic>),
    #[error("the active epoch is {active}, not {expected}: read the policy again and repeat the change")]
    EpochMoved { active: u64, expected: u64 },
    #[error("there is no epoch {0}")]
    NoSuchEpoch(u64),
    #[error("epoch {0} is on its way through the fleet: let it come to its end, or roll it back")]
    RolloutRunning(u64),
    #[error("no rollout is under way")]
    NoRollout,
    #[error("no policy is in force")]
    NothingInForce,
    #[error("there is no other policy before the active one")]
    NothingBefore,
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the compiler stopped")]
    Compiler,
}

/// Compiles off the reactor: a long document takes its time.
pub(crate) async fn check(file: String, text: String, epoch: Option<u64>) -> Result<Snapshot, PublishError> {
    let compiled = tokio::task::spawn_blocking(move || compile(&file, &text, epoch, hash_seed()));
    compiled.await.map_err(|_| PublishError::Compiler)?.map_err(PublishError::Invalid)
}

impl Publisher {
    pub(crate) fn new(
        store: Arc<dyn PolicyStore>,
        authority: Arc<Authority>,
        acknowledge_deadline: Duration,
        clock: Clock,
        name: String,
    ) -> Self {
        Self {
            store,
            authority,
            fleet: Arc::new(Fleet::new()),
            acknowledge_deadline,
            active: watch::Sender::new(None),
            rollout: watch::Sender::new(None),
            tickets: TicketSchedule::new(),
            clock,
            name,
            turn: Mutex::new(()),
        }
    }

    pub(crate) fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    pub(crate) fn active(&self) -> Option<Arc<Active>> {
        self.active.borrow().clone()
    }

    /// The newest epoch that a node may have from here; 0 when no policy is in force.
    pub(super) fn epoch(&self) -> u64 {
        let on_its_way = self.rollout().map_or(0, |rollout| rollout.state.epoch);
        self.active().map_or(0, |active| active.epoch()).max(on_its_way)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<Active>>> {
        self.active.subscribe()
    }

    pub(crate) fn rollout(&self) -> Option<Arc<Rollout>> {
        self.rollout.borrow().clone()
    }

    pub(crate) fn subscribe_rollout(&self) -> watch::Receiver<Option<Arc<Rollout>>> {
        self.rollout.subscribe()
    }

    /// Puts a rollout's state in the place of the last one. Sessions are told when other nodes are concerned.
    pub(super) fn remember(&self, rollout: Rollout) -> Arc<Rollout> {
        let rollout = Arc::new(rollout);
        self.rollout.send_if_modified(|kept| {
            let is_same = kept.as_ref().is_some_and(|kept| kept.state == rollout.state);
            *kept = Some(Arc::clone(&rollout));
            !is_same
        });
        rollout
    }

    /// The candidate takes the place of what was in force.
    pub(super) fn put_candidate_in_force(&self, candidate: &Arc<Active>) {
        self.active.send_replace(Some(Arc::clone(candidate)));
        self.rollout.send_replace(None);
    }

    /// A data plane has what is in force, or what is on its way there.
    pub(crate) fn is_served(&self) -> bool {
        let epochs = [self.active().map(|active| active.epoch()), self.rollout().map(|rollout| rollout.state.epoch)];
        epochs.into_iter().flatten().any(|epoch| self.fleet.serves(epoch))
    }

    pub(super) fn store(&self) -> &Arc<dyn PolicyStore> {
        &self.store
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn now(&self) -> i64 {
        (self.clock)()
    }

    pub(super) const fn acknowledge_deadline(&self) -> Duration {
        self.acknowledge_deadline
    }

    /// Held while something is changed.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    pub(super) fn ticket_keys(&self) -> watch::Receiver<Arc<TicketKeys>> {
        self.tickets.subscribe()
    }

    /// Publishes the document unless it is what was last published from a file: an operator's later change by the API
    /// is not undone by a restart.
    pub(crate) async fn import(&self, file: String, text: String) -> Result<Option<u64>, PublishError> {
        let last = self.store.latest_from(RevisionSource::File).await?;
        if last.is_some_and(|last| last.digest == digest_of(&text)) && self.active().is_some() {
            return Ok(None);
        }
        let comment = format!("imported from {file}");
        let source = RevisionSource::File;
        let proposal = Proposal { text, file, author: "file".to_owned(), comment, source, expected: None };
        Ok(Some(self.store_and_send(proposal).await?.epoch()))
    }

    /// Publishes, and waits for the fleet.
    pub(crate) async fn publish(&self, proposal: Proposal) -> Result<Published, PublishError> {
        let active = self.store_and_send(proposal).await?;
        let nodes = self.settled(&active).await;
        Ok(Published { active, nodes })
    }

    /// What nodes did with it, once all have answered or the deadline is over.
    pub(super) async fn settled(&self, active: &Active) -> BTreeMap<String, Acknowledgement> {
        self.fleet.acknowledged(active, Instant::now() + self.acknowledge_deadline).await
    }

    /// Publishes the text of an earlier epoch again, under a new one; without an epoch, the newest text before the active one
    /// that is another.
    pub(crate) async fn roll_back(
        &self,
        epoch: Option<u64>,
        author: String,
        comment: Option<String>,
        expected: Option<u64>,
    ) -> Result<Published, PublishError> {
        let epoch = match epoch {
            Some(epoch) => epoch,
            None => self.epoch_before().await?,
        };
        let revision = self.store.revision(epoch).await?.ok_or(PublishError::NoSuchEpoch(epoch))?;
        let comment = comment.unwrap_or_else(|| format!("rollback to epoch {epoch}"));
        let file = format!("epoch-{epoch}.toml");
        let source = RevisionSource::Rollback;
        self.publish(Proposal { text: revision.text, file, author, comment, source, expected }).await
    }

    async fn epoch_before(&self) -> Result<u64, PublishError> {
        let mut revisions = self.store.history(None, LOOKED_BACK_MAX).await?.into_iter();
        let newest = revisions.next();
        let before = revisions.find(|revision| newest.as_ref().is_some_and(|newest| newest.digest != revision.digest));
        before.map(|revision| revision.epoch).ok_or(PublishError::NothingBefore)
    }

    /// A node that holds a larger epoch than the active one saw a store that is gone: epochs never go backwards, so the
    /// active policy is published again above it.
    pub(super) async fn outrank(&self, node: &str, held: u64) -> Result<(), PublishError> {
        if self.epoch() >= held {
            return Ok(());
        }
        // It may come from another daemon, of whose last policy this one has not heard yet.
        self.follow().await?;
        let Some(active) = self.active().filter(|_| self.epoch() < held) else { return Ok(()) };
        tracing::warn!(node, held, active = active.epoch(), "a node holds a later epoch: publishing above it");
        let proposal = Proposal {
            text: active.revision.text.clone(),
            file: "policy.toml".to_owned(),
            author: "control".to_owned(),
            comment: format!("node {node} held epoch {held}"),
            source: RevisionSource::Recovery,
            expected: Some(active.epoch()),
        };
        self.store_and_send(proposal).await.map(drop)
    }

    /// Does what time asks for: ticket keys, the steps of a root's rotation, a fresh issuer when half the life of the old
    /// one is over or another root signs. What fails leaves what was in force, and does not keep the rest from being done.
    pub(crate) async fn tend(&self) -> Result<(), PublishError> {
        let now = (self.clock)();
        if let Err(error) = self.tickets.tend(now) {
            tracing::error!(%error, "there are no new ticket keys");
        }
        let tended = self.authority.tend(now);
        self.renew_issuer(now).await?;
        Ok(tended?)
    }

    /// Takes the rotation of the root one step further, and sends nodes the issuer that follows from it.
    pub(crate) async fn rotate(&self, step: RotationStep) -> Result<(), PublishError> {
        let now = (self.clock)();
        self.authority.rotate(step, now)?;
        self.renew_issuer(now).await
    }

    async fn renew_issuer(&self, now_unix: i64) -> Result<(), PublishError> {
        let _turn = self.turn.lock().await;
        let is_due = |active: &Arc<Active>| !self.is_current(&active.issuer, now_unix);
        if let Some(active) = self.active().filter(is_due) {
            self.active.send_replace(Some(self.renewed(&active)?));
        }
        if let Some(rollout) = self.rollout().filter(|rollout| is_due(&rollout.candidate)) {
            let candidate = self.renewed(&rollout.candidate)?;
            self.rollout.send_replace(Some(Arc::new(Rollout { candidate, ..Rollout::clone(&rollout) })));
        }
        Ok(())
    }

    fn renewed(&self, active: &Active) -> Result<Arc<Active>, PublishError> {
        let renewed = Active { issuer: self.issue(&active.hosts)?, ..active.clone() };
        tracing::info!(issuer = renewed.issuer_serial(), "issuer renewed");
        Ok(Arc::new(renewed))
    }

    /// Not in the second half of its life (a node that is cut off from control then still has the other half), not made by a
    /// clock that was ahead, and by the root that signs now.
    fn is_current(&self, issuer: &IssuerBundle, now_unix: i64) -> bool {
        (issuer.not_before..issuer.renew_at()).contains(&now_unix) && self.authority.stands_behind(issuer)
    }

    async fn store_and_send(&self, proposal: Proposal) -> Result<Arc<Active>, PublishError> {
        let _turn = self.turn.lock().await;
        let active = self.store_revision(proposal, |_| None).await?;
        self.active.send_replace(Some(Arc::clone(&active)));
        Ok(active)
    }

    /// Checks and stores under a new epoch with the state of the rollout that this begins, and gives it to nobody yet. The
    /// caller has the turn.
    pub(super) async fn store_revision(
        &self,
        proposal: Proposal,
        rollout: impl Fn(u64) -> Option<String>,
    ) -> Result<Arc<Active>, PublishError> {
        if let Some(rollout) = self.rollout() {
            return Err(PublishError::RolloutRunning(rollout.state.epoch));
        }
        for _ in 0..APPENDS_MAX {
            match self.store_next(proposal.clone(), &rollout, None).await {
                // Another daemon was quicker.
                Err(PublishError::Store(StoreError::EpochTaken { .. })) => {}
                outcome => return outcome,
            }
        }
        self.store_next(proposal, &rollout, None).await
    }

    /// The same once, and while the rollout is under way that `ends` with it.
    pub(super) async fn store_next(
        &self,
        proposal: Proposal,
        rollout: impl Fn(u64) -> Option<String>,
        ends: Option<&str>,
    ) -> Result<Arc<Active>, PublishError> {
        let head = self.store.head().await?;
        let newest = head.newest.map_or(0, |revision| revision.epoch);
        let other = head.rollout.filter(|state| ends != Some(state.as_str()));
        let other = other.as_deref().and_then(RolloutState::read).filter(|state| state.epoch == newest);
        if let Some(other) = other {
            return Err(PublishError::RolloutRunning(other.epoch));
        }
        if let Some(expected) = proposal.expected.filter(|expected| *expected != newest) {
            return Err(PublishError::EpochMoved { active: newest, expected });
        }
        let epoch = newest.max(self.fleet.epoch_max()) + 1;
        let snapshot = check(proposal.file, proposal.text.clone(), Some(epoch)).await?;
        let revision = Revision {
            epoch,
            digest: digest_of(&proposal.text),
            text: proposal.text,
            author: proposal.author,
            comment: proposal.comment,
            source: proposal.source,
            time_ms: moment::now_ms(),
        };
        let active = self.prepare(revision, snapshot)?;
        let revision = Revision::clone(&active.revision);
        self.store.append(Addition { revision, newest, rollout: rollout(epoch) }).await?;
        tracing::info!(epoch, author = active.revision.author, "policy published");
        Ok(active)
    }

    pub(super) async fn put_in_force(&self, revision: Revision) -> Result<(), PublishError> {
        let active = self.compiled(revision).await?;
        tracing::info!(epoch = active.epoch(), "policy in force");
        self.active.send_replace(Some(active));
        Ok(())
    }

    pub(super) async fn compiled(&self, revision: Revision) -> Result<Arc<Active>, PublishError> {
        let file = format!("epoch-{}.toml", revision.epoch);
        let snapshot = check(file, revision.text.clone(), Some(revision.epoch)).await?;
        self.prepare(revision, snapshot)
    }

    fn prepare(&self, revision: Revision, snapshot: Snapshot) -> Result<Arc<Active>, PublishError> {
        let mut hosts: Vec<String> = snapshot.minted_hosts().map(|host| host.to_string()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let now_unix = (self.clock)();
        let is_kept = |active: &Arc<Active>| active.hosts == hosts && self.is_current(&active.issuer, now_unix);
        let kept = self.active().filter(is_kept);
        let issuer = match kept {
            Some(active) => active.issuer.clone(),
            None => self.issue(&hosts)?,
        };
        Ok(Arc::new(Active { revision: Arc::new(revision), snapshot: Arc::new(snapshot), issuer, hosts }))
    }

    fn issue(&self, hosts: &[String]) -> Result<Arc<IssuerBundle>, PublishError> {
        Ok(Arc::new(self.authority.issue(hosts.iter().map(String::as_str), (self.clock)())?))
    }
}

/// Attempts to publish ahead of other daemons.
const APPENDS_MAX: usize = 8;
/// Revisions that are looked at for one with another text.
const LOOKED_BACK_MAX: usize = 100;

/// The clock, Unix seconds.
pub(crate) fn now_unix() -> i64 {
    i64::try_from(moment::now_ms() / 1000).unwrap_or(i64::MAX)
}

fn digest_of(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Keys the hash tables of a snapshot, so that nobody can choose host names that collide.
fn hash_seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| moment::now_ms())
}
