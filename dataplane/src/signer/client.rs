//! The data plane's end: shards and the link ask through a [`SignerHandle`]; one task on the background thread talks to the
//! signer, and starts another when it ends or stands still.
//!
//! Nothing here waits without an end: what cannot be sent is refused, what is not answered in time is given up by who asked.
//! A signer that is started again is given the issuers of the one before, sealed as they came: control is not needed.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use penstock_core::flow::FaultKind;
use penstock_core::limits::{
    SIGNER_BACKOFF_MS_MAX, SIGNER_BACKOFF_MS_MIN, SIGNER_DEADLINE_MS, SIGNER_ISSUERS_MAX, SIGNER_MESSAGE_BYTES_MAX,
    SIGNER_REQUESTS_MAX, SIGNER_STUCK_MS,
};
use penstock_core::signer::{Answer, MintRequest, Minted, Refusal, Request};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::child::{Child, Place};
use crate::metrics::ProcessCells;

/// What the signer is asked, and where the answer goes.
pub(crate) enum Ask {
    Adopt { issuer: SealedIssuer, reply: oneshot::Sender<Result<(), Refusal>> },
    Mint { request: MintRequest, reply: oneshot::Sender<Result<Minted, Refusal>> },
}

/// An issuer as it is given to signers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealedIssuer {
    /// Its own, DER.
    pub(crate) certificate: Vec<u8>,
    /// For the signer alone.
    pub(crate) sealed_key: Vec<u8>,
}

/// The way to the signer. Clones lead to the same.
#[derive(Clone)]
pub(crate) struct SignerHandle {
    asks: mpsc::Sender<Ask>,
    sealing_key: watch::Receiver<Vec<u8>>,
}

/// Why an issuer is not with the signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdoptError {
    /// It will be, when the signer is back.
    Later,
    Refused(Refusal),
}

impl SignerHandle {
    /// What issuers' keys are to be sealed for; empty until the first signer has started.
    pub(crate) fn sealing_key(&self) -> watch::Receiver<Vec<u8>> {
        self.sealing_key.clone()
    }

    /// The sealing key, once the first signer has started; `None` when there will be none.
    pub(crate) async fn started(&self) -> Option<Vec<u8>> {
        let mut known = self.sealing_key.clone();
        known.wait_for(|key| !key.is_empty()).await.ok().map(|key| key.clone())
    }

    /// Has a leaf made, in time or not at all. Asked once more when the signer died over it.
    pub(crate) async fn mint(&self, request: MintRequest) -> Result<Minted, FaultKind> {
        let asked = async {
            for _ in 0..2 {
                let (reply, answer) = oneshot::channel();
                let ask = Ask::Mint { request: request.clone(), reply };
                self.asks.try_send(ask).map_err(|refused| match refused {
                    mpsc::error::TrySendError::Full(_) => FaultKind::TooMany,
                    mpsc::error::TrySendError::Closed(_) => FaultKind::Draining,
                })?;
                if let Ok(answer) = answer.await {
                    return answer.map_err(fault);
                }
            }
            Err(FaultKind::NotReady)
        };
        timeout(Duration::from_millis(SIGNER_DEADLINE_MS), asked).await.unwrap_or(Err(FaultKind::Deadline))
    }

    /// Gives the signer an issuer. Once this is called, every signer to come is given it too, unless one refuses it.
    pub(crate) async fn adopt(&self, issuer: SealedIssuer, patience: Duration) -> Result<(), AdoptError> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.asks.send(Ask::Adopt { issuer, reply }).await.ok()?;
            answer.await.ok()
        };
        match timeout(patience, asked).await {
            Ok(Some(answer)) => answer.map_err(AdoptError::Refused),
            Ok(None) | Err(_) => Err(AdoptError::Later),
        }
    }

    /// The two ends of a handle, for a signer that a test plays.
    #[cfg(test)]
    pub(crate) fn played() -> (Self, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(SIGNER_REQUESTS_MAX);
        (Self { asks, sealing_key: watch::channel(Vec::new()).1 }, asked)
    }
}

/// Starts the task, and with it the first signer.
pub(crate) fn start(runtime: &Handle, place: Place, cells: Arc<ProcessCells>) -> SignerHandle {
    let (asks, asked) = mpsc::channel(SIGNER_REQUESTS_MAX);
    let (sealing_key, known) = watch::channel(Vec::new());
    let keeper = Keeper { place, cells, asked, sealing_key, issuers: VecDeque::new(), number: 0 };
    runtime.spawn(keeper.run());
    SignerHandle { asks, sealing_key: known }
}

/// The task.
struct Keeper {
    place: Place,
    cells: Arc<ProcessCells>,
    asked: mpsc::Receiver<Ask>,
    sealing_key: watch::Sender<Vec<u8>>,
    /// What each signer is given, the newest last.
    issuers: VecDeque<Wanted>,
    /// Of the last request.
    number: u64,
}

struct Wanted {
    issuer: SealedIssuer,
    /// Who waits for the first signer to take it.
    reply: Option<oneshot::Sender<Result<(), Refusal>>>,
}

/// A request that has not been answered.
struct Open {
    since: Instant,
    about: About,
}

enum About {
    Adopt(SealedIssuer),
    Mint(oneshot::Sender<Result<Minted, Refusal>>),
}

impl Keeper {
    /// Until nobody can ask any more.
    async fn run(mut self) {
        let mut backoff_ms = SIGNER_BACKOFF_MS_MIN;
        loop {
            let started = Instant::now();
            let ended = self.serve().await;
            self.cells.signer_up.set((), 0);
            let Err(error) = ended else { return };
            if started.elapsed() > STEADY {
                backoff_ms = SIGNER_BACKOFF_MS_MIN;
            }
            tracing::error!(%error, "the signer is gone; another is started in {backoff_ms} ms");
            sleep(Duration::from_millis(backoff_ms)).await;
            backoff_ms = (backoff_ms * 2).min(SIGNER_BACKOFF_MS_MAX);
        }
    }

    /// The life of one signer; an error when it has ended.
    async fn serve(&mut self) -> io::Result<()> {
        let mut child = Child::start(&self.place)?;
        let patience = Duration::from_millis(SIGNER_STUCK_MS);
        let hello = timeout(patience, child.receive()).await.map_err(|_elapsed| stuck())??;
        let Some(Answer::Hello { sealing_key }) = hello else { return Err(ended()) };
        let mut open = BTreeMap::new();
        for wanted in &self.issuers {
            self.number += 1;
            give(&child, self.number, &wanted.issuer, &mut open)?;
        }
        tracing::info!(pid = child.id(), "the signer has started");
        self.sealing_key.send_if_modified(|known| std::mem::replace(known, sealing_key.clone()) != sealing_key);
        self.cells.signer_up.set((), 1);
        loop {
            let oldest = open.first_key_value().map(|(_, open): (_, &Open)| open.since);
            let has_room = open.len() < SIGNER_REQUESTS_MAX;
            tokio::select! {
                biased;
                answer = child.receive() => self.hear(answer?.ok_or_else(ended)?, &mut open),
                ask = self.asked.recv(), if has_room => match ask {
                    Some(ask) => self.ask(ask, &child, &mut open)?,
                    None => return Ok(()),
                },
                () = sleep_until(oldest.unwrap_or_else(Instant::now) + patience), if oldest.is_some() => return Err(stuck()),
            }
        }
    }

    fn ask(&mut self, ask: Ask, child: &Child, open: &mut BTreeMap<u64, Open>) -> io::Result<()> {
        self.number += 1;
        match ask {
            // No signer could read it, neither this one nor those that would be given it after this one.
            Ask::Adopt { issuer, reply } if issuer.certificate.len() + issuer.sealed_key.len() > SEALED_BYTES_MAX => {
                let _waiting = reply.send(Err(Refusal::Certificate));
            }
            Ask::Adopt { issuer, reply } => {
                give(child, self.number, &issuer, open)?;
                self.issuers.retain(|wanted| wanted.issuer.certificate != issuer.certificate);
                if self.issuers.len() >= SIGNER_ISSUERS_MAX {
                    self.issuers.pop_front();
                }
                self.issuers.push_back(Wanted { issuer, reply: Some(reply) });
            }
            // Whoever asked has given up.
            Ask::Mint { reply, .. } if reply.is_closed() => {}
            Ask::Mint { request, reply } => {
                if child.send(&Request::Mint { number: self.number, leaf: request })? {
                    open.insert(self.number, Open { since: Instant::now(), about: About::Mint(reply) });
                } else {
                    let _waiting = reply.send(Err(Refusal::Busy));
                }
            }
        }
        Ok(())
    }

    fn hear(&mut self, answer: Answer, open: &mut BTreeMap<u64, Open>) {
        let (number, result) = match answer {
            Answer::Hello { .. } => return,
            Answer::Adopted { number } => (number, Ok(None)),
            Answer::Minted { number, leaf } => (number, Ok(Some(leaf))),
            Answer::Refused { number, reason } => (number, Err(reason)),
        };
        match (open.remove(&number).map(|open| open.about), result) {
            (Some(About::Mint(reply)), Ok(Some(leaf))) => drop(reply.send(Ok(leaf))),
            (Some(About::Mint(reply)), Err(reason)) => drop(reply.send(Err(reason))),
            (Some(About::Adopt(issuer)), Ok(None)) => self.settle(&issuer, Ok(())),
            (Some(About::Adopt(issuer)), Err(reason)) => self.settle(&issuer, Err(reason)),
            (None, _) | (_, Ok(_)) => tracing::error!(number, "the signer answered what nobody asked"),
        }
    }

    /// Tells who gave `issuer` what became of it, and forgets what no signer takes.
    fn settle(&mut self, issuer: &SealedIssuer, result: Result<(), Refusal>) {
        if let Err(reason) = result {
            tracing::error!(%reason, "the signer refuses an issuer");
        }
        let Some(place) = self.issuers.iter().position(|wanted| wanted.issuer == *issuer) else { return };
        if let Some(reply) = self.issuers.get_mut(place).and_then(|wanted| wanted.reply.take()) {
            let _waiting = reply.send(result);
        }
        if result.is_err() {
            self.issuers.remove(place);
        }
    }
}

/// Sends an issuer. Its packet is the largest, and what may be open beside it leaves room for it; a signer that does not
/// read is stuck.
fn give(child: &Child, number: u64, issuer: &SealedIssuer, open: &mut BTreeMap<u64, Open>) -> io::Result<()> {
    let SealedIssuer { certificate, sealed_key } = issuer.clone();
    if !child.send(&Request::Adopt { number, certificate, sealed_key })? {
        return Err(stuck());
    }
    open.insert(number, Open { since: Instant::now(), about: About::Adopt(issuer.clone()) });
    Ok(())
}

/// What a refusal of the signer is to a flow.
const fn fault(reason: Refusal) -> FaultKind {
    match reason {
        Refusal::Busy => FaultKind::TooMany,
        // The policy inspects the name but no issuer in force may certify it: control must send another.
        Refusal::Name | Refusal::UnknownIssuer | Refusal::Validity => FaultKind::NotReady,
        Refusal::Signature => FaultKind::Resource,
        Refusal::Certificate | Refusal::Key | Refusal::KeyMismatch | Refusal::PublicKey | Refusal::Sealed => {
            FaultKind::Certificate
        }
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it has ended")
}

fn stuck() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it does not answer")
}

/// Leaves room for what else is in the message.
const SEALED_BYTES_MAX: usize = SIGNER_MESSAGE_BYTES_MAX - 64;
/// A signer that lived so long did not die of its start.
const STEADY: Duration = Duration::from_secs(10);
