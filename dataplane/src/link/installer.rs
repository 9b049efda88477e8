//! Bringing what control sent into force: compile, hand to every shard, wait for all, keep a copy.
//!
//! A task of its own, because an installation that has begun is finished even if control goes away meanwhile. One at a
//! time. The node keeps what it had until every part of the new state has been found good, the issuer's key by the signer.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use penstock_core::limits::{INSTALL_DEADLINE_MS, SIGNER_STUCK_MS};
use penstock_core::policy::{self, Severity, Snapshot};
use penstock_core::signer::Refusal as SignerRefusal;
use tokio::sync::{mpsc, oneshot, watch};

use super::background::{aside, blocking};
use super::kept::{Delivered, Kept};
use crate::metrics::{CertificateKind, PolicyRefusal, ProcessCells};
use crate::shard::mailbox::{Installed, MailboxSender};
use crate::signer::{AdoptError, SealedIssuer, SignerHandle};
use crate::tls::Issuer;

/// What the shards use now; default before the first installation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InForce {
    pub(crate) epoch: u64,
    /// The issuer's serial.
    pub(crate) issuer: String,
}

/// Why the node keeps what it had, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) String);

/// A state to install, and where to say what became of it.
pub(super) struct Request {
    pub(super) delivered: Delivered,
    pub(super) reply: oneshot::Sender<Result<InForce, Refusal>>,
}

/// The installing task.
pub(super) struct Installer {
    shards: Vec<MailboxSender>,
    kept: Kept,
    signer: SignerHandle,
    cells: Arc<ProcessCells>,
    in_force: watch::Sender<InForce>,
    /// The installed snapshot: an issuer that is renewed costs no compilation.
    compiled: Option<Arc<Snapshot>>,
    /// What the issuer in force was sealed for when the signer took it; empty when it has not.
    sealed_for: Vec<u8>,
    /// For the snapshot's hash tables.
    seed: u64,
}

impl Installer {
    pub(super) fn new(
        shards: Vec<MailboxSender>,
        kept: Kept,
        signer: SignerHandle,
        cells: Arc<ProcessCells>,
    ) -> (Self, watch::Receiver<InForce>) {
        let (in_force, watched) = watch::channel(InForce::default());
        // Without random bits the seed is guessable, and so are collisions: slower look-ups, nothing worse.
        let seed = getrandom::u64().unwrap_or(0);
        (Self { shards, kept, signer, cells, in_force, compiled: None, sealed_for: Vec::new(), seed }, watched)
    }

    /// Installs the last-known-good copy, if there is one that is good.
    pub(super) async fn install_kept(&mut self) {
        let kept = self.kept.clone();
        let mut delivered = match blocking(move || kept.load()).await {
            Some(Ok(Some(delivered))) => delivered,
            Some(Ok(None)) => {
                tracing::info!("no last-known-good policy: nothing is served until control sends one");
                return;
            }
            Some(Err(error)) => {
                tracing::error!(%error, "the last-known-good policy is not used");
                return;
            }
            None => return,
        };
        // An issuer that has ended meanwhile is no reason to serve without a policy: what it must sign then fails closed.
        let was_sealed = delivered.is_sealed();
        match self.adopt(&mut delivered, MayHaveEnded::Yes).await {
            Ok(in_force) => {
                tracing::info!(epoch = in_force.epoch, "serving with the last-known-good policy");
                if !was_sealed {
                    self.keep(delivered).await;
                }
            }
            Err(Refusal(reason)) => tracing::error!(reason, "the last-known-good policy is not used"),
        }
    }

    /// Serves requests until nobody can make any. One whose session has ended before its turn is left out: control sends
    /// the state again.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(Request { delivered, reply }) = requests.recv().await {
            if reply.is_closed() {
                continue;
            }
            let (offered, held) = (delivered.0.epoch, self.in_force.borrow().epoch);
            // A control with an older store, or one that nobody told of the last changes.
            let outcome = if offered < held {
                Err(Refusal(format!("control is behind: it offers epoch {offered}, and {held} is in force")))
            } else {
                self.install(delivered).await
            };
            match &outcome {
                Ok(in_force) => tracing::info!(epoch = in_force.epoch, issuer = in_force.issuer, "installed"),
                Err(Refusal(reason)) => {
                    let why = if offered < held { PolicyRefusal::Behind } else { PolicyRefusal::Unusable };
                    self.cells.policy_refused.add((why,), 1);
                    tracing::error!(reason, "what control sent is not used");
                }
            }
            // Control may have gone away; it asks again when it is back.
            let _listening = reply.send(outcome);
        }
    }

    async fn install(&mut self, mut delivered: Delivered) -> Result<InForce, Refusal> {
        if self.is_in_force(&delivered) {
            return Ok(self.in_force.borrow().clone());
        }
        let started = Instant::now();
        let in_force = self.adopt(&mut delivered, MayHaveEnded::No).await?;
        self.cells.policy_install_seconds.observe((), started.elapsed().as_secs_f64());
        self.keep(delivered).await;
        Ok(in_force)
    }

    async fn keep(&self, delivered: Delivered) {
        let kept = self.kept.clone();
        let told = "the policy is in force but could not be kept for the next start";
        match aside(move || kept.save(&delivered)).await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::error!(%error, "{told}"),
            None => tracing::error!("{told}: no thread for it, or it failed"),
        }
    }

    /// Whether this is a repeat of what the shards and the signer use.
    fn is_in_force(&self, delivered: &Delivered) -> bool {
        let state = &delivered.0;
        let serial = state.issuer.as_ref().map_or("", |issuer| issuer.serial.as_str());
        let in_force = self.in_force.borrow();
        in_force.epoch == state.epoch
            && in_force.issuer == serial
            && self.is_entrusted()
            && self.compiled_for(delivered).is_some()
    }

    /// The installed snapshot, when it was made from the same document and has the same epoch.
    fn compiled_for(&self, delivered: &Delivered) -> Option<Arc<Snapshot>> {
        let snapshot = self.compiled.as_ref()?;
        let is_same = snapshot.epoch() == Some(delivered.0.epoch) && snapshot.is_of(&delivered.0.policy);
        is_same.then(|| Arc::clone(snapshot))
    }

    /// Makes all parts, then hands them to all shards.
    async fn adopt(&mut self, delivered: &mut Delivered, may_have_ended: MayHaveEnded) -> Result<InForce, Refusal> {
        let snapshot = match self.compiled_for(delivered) {
            Some(snapshot) => snapshot,
            None => self.compile(delivered).await?,
        };
        let issuer = issuer(delivered, &snapshot, may_have_ended)?;
        match self.entrust(delivered).await {
            Err(Refusal(reason)) if may_have_ended == MayHaveEnded::Yes => {
                tracing::error!(
                    reason,
                    "hosts that must be inspected are refused until there is a signer with an issuer"
                );
            }
            entrusted => entrusted?,
        }
        let not_after = issuer.validity().not_after;
        let serial = delivered.0.issuer.as_ref().map_or_else(String::new, |issuer| issuer.serial.clone());
        self.hand_over(Installed { snapshot: Arc::clone(&snapshot), issuer: Arc::new(issuer) }).await?;
        let retired = self.compiled.replace(Arc::clone(&snapshot));
        if let Some(retired) = retired.filter(|retired| !Arc::ptr_eq(retired, &snapshot)) {
            tokio::spawn(free(retired));
        }
        self.cells.certificate_expiry.set((CertificateKind::Issuer,), u64::try_from(not_after).unwrap_or(0));
        let in_force = InForce { epoch: delivered.0.epoch, issuer: serial };
        self.in_force.send_replace(in_force.clone());
        Ok(in_force)
    }

    /// Gives the issuer to the signer, who alone can open its key.
    async fn entrust(&mut self, delivered: &mut Delivered) -> Result<(), Refusal> {
        let started = tokio::time::timeout(SIGNER_PATIENCE, self.signer.started()).await;
        let Some(sealing_key) = started.ok().flatten() else {
            return Err(Refusal("the signer has not started; its log says why".to_owned()));
        };
        if delivered.seal(&sealing_key) {
            tracing::warn!("the issuer's key came unsealed, from an older version");
        }
        let Some(sent) = &delivered.0.issuer else { return Ok(()) };
        let certificate = sent.chain.first().cloned().unwrap_or_default();
        let issuer = SealedIssuer { certificate, sealed_key: sent.sealed_key.clone() };
        self.sealed_for.clear();
        let refusal = match self.signer.adopt(issuer, SIGNER_PATIENCE).await {
            Ok(()) => {
                self.sealed_for = sealing_key;
                return Ok(());
            }
            Err(AdoptError::Later) => "the signer does not answer",
            Err(AdoptError::Refused(SignerRefusal::Key)) => "the issuer's key is not a P-256 key in PKCS#8",
            Err(AdoptError::Refused(SignerRefusal::KeyMismatch)) => {
                "the issuer's key is not the one of its certificate"
            }
            Err(AdoptError::Refused(SignerRefusal::Sealed)) => "the issuer's key is sealed for another signer",
            Err(AdoptError::Refused(other)) => other.label(),
        };
        Err(Refusal(format!("issuer {}: {refusal}", sent.serial)))
    }

    /// Whether the signer that runs has been given the issuer in force.
    fn is_entrusted(&self) -> bool {
        !self.sealed_for.is_empty() && self.sealed_for == *self.signer.sealing_key().borrow()
    }

    async fn compile(&self, delivered: &mut Delivered) -> Result<Arc<Snapshot>, Refusal> {
        // Lent, since a copy of it is one more piece of work on this thread.
        let text = std::mem::take(&mut delivered.0.policy);
        let (epoch, seed) = (delivered.0.epoch, self.seed);
        let compiled = aside(move || (policy::compile("policy", &text, Some(epoch), seed), text)).await;
        let Some((compiled, text)) = compiled else {
            return Err(Refusal(
                "the policy cannot be compiled: there is no thread to be had, or it failed".to_owned(),
            ));
        };
        delivered.0.policy = text;
        match compiled {
            Ok(snapshot) => Ok(Arc::new(snapshot)),
            Err(diagnostics) => {
                let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
                let words: Vec<String> = errors.take(REASONS_MAX).map(ToString::to_string).collect();
                Err(Refusal(format!("the policy does not compile: {}", words.join("; "))))
            }
        }
    }

    /// Tells every shard and waits for all of them.
    async fn hand_over(&self, installed: Installed) -> Result<(), Refusal> {
        let installed = Arc::new(installed);
        let told: Vec<_> = self.shards.iter().map(|shard| shard.install(Arc::clone(&installed))).collect();
        let deadline = tokio::time::Instant::now() + Duration::from_millis(INSTALL_DEADLINE_MS);
        for (shard, acknowledged) in told.into_iter().enumerate() {
            let Some(acknowledged) = acknowledged else {
                return Err(Refusal(format!("shard {shard} cannot be told: its mailbox is full or it has ended")));
            };
            match tokio::time::timeout_at(deadline, acknowledged).await {
                Ok(Ok(())) => {}
                Ok(Err(_dropped)) => return Err(Refusal(format!("shard {shard} did not install it"))),
                Err(_elapsed) => {
                    return Err(Refusal(format!("shard {shard} did not answer in {INSTALL_DEADLINE_MS} ms")));
                }
            }
        }
        Ok(())
    }
}

/// Whether an issuer past its end is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MayHaveEnded {
    No,
    Yes,
}

/// The issuer, when it fits the snapshot: its time is now, and its constraints cover what is inspected.
fn issuer(delivered: &Delivered, snapshot: &Snapshot, may_have_ended: MayHaveEnded) -> Result<Issuer, Refusal> {
    let Some(sent) = &delivered.0.issuer else {
        return Err(Refusal("there is no issuer with it".to_owned()));
    };
    let refuse = |reason: String| Err(Refusal(format!("issuer {}: {reason}", sent.serial)));
    let issuer = match Issuer::from_parts(&sent.chain, sent.not_before, sent.not_after) {
        Ok(issuer) => issuer,
        Err(error) => return refuse(error.to_string()),
    };
    let now = unix_now();
    if may_have_ended == MayHaveEnded::No && !issuer.validity().contains(now) {
        let (start, end) = (sent.not_before, sent.not_after);
        return refuse(format!("it is valid from {start} to {end}, and this node's clock says {now}"));
    }
    if !issuer.covers(snapshot.minted_hosts()) {
        return refuse("its name constraints do not cover every host that it must mint for".to_owned());
    }
    Ok(issuer)
}

/// Frees a snapshot that is not in force any more, once no flow has it: what a large policy consists of takes milliseconds to
/// free, which the shard whose flow had it last would stand still for.
async fn free(retired: Arc<Snapshot>) {
    while Arc::strong_count(&retired) > 1 {
        tokio::time::sleep(RETIRED_PERIOD).await;
    }
    let _ended = aside(move || drop(retired)).await;
}

pub(super) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// For a signer to start and to take an issuer; long enough for one that is stuck to be replaced.
const SIGNER_PATIENCE: Duration = Duration::from_millis(SIGNER_STUCK_MS + 1_000);
/// Between two looks whether a flow still has a snapshot that is not in force any more.
const RETIRED_PERIOD: Duration = Duration::from_secs(1);
/// Diagnostics of a policy that are told to control; it has compiled the same text and knows the rest.
const REASONS_MAX: usize = 3;
