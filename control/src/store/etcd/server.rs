//! The store: every change is one transaction that compares what its author has seen.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::cluster::Cluster;
use super::generated::{KeyValue, TxnRequest};
use super::presence::EtcdPresence;
use super::revision::{PIECE_BYTES, Written, delete, digits, found, get, get_backwards, is, put};
use super::watch::follow;
use crate::config::EtcdSettings;
use crate::store::policy::{Addition, Head, PolicyStore, Revision, RevisionSource};
use crate::store::{Answer, StoreError};

/// Handle to the store.
pub(crate) struct EtcdStore {
    cluster: Arc<Cluster>,
    /// Begins every key.
    prefix: String,
    changes: watch::Receiver<()>,
}

impl EtcdStore {
    /// Begins to listen for changes. Within a runtime.
    pub(crate) fn open(settings: &EtcdSettings) -> Result<Self, StoreError> {
        let cluster = Arc::new(Cluster::new(settings)?);
        let prefix = settings.prefix.clone();
        let (sender, changes) = watch::channel(());
        tokio::spawn(follow(Arc::clone(&cluster), format!("{prefix}policy/"), sender));
        Ok(Self { cluster, prefix, changes })
    }

    /// Presence in the same cluster.
    pub(crate) fn presence(&self, settings: &EtcdSettings) -> EtcdPresence {
        EtcdPresence::new(Arc::clone(&self.cluster), settings)
    }

    fn epoch_key(&self) -> String {
        format!("{}policy/epoch", self.prefix)
    }

    fn rollout_key(&self) -> String {
        format!("{}policy/rollout", self.prefix)
    }

    fn revision_key(&self, epoch: u64) -> String {
        format!("{}policy/revision/{}", self.prefix, digits(epoch))
    }

    fn piece_key(&self, digest: &str, piece: usize) -> String {
        format!("{}policy/text/{digest}/{piece:06}", self.prefix)
    }

    async fn add(&self, addition: Addition) -> Result<(), StoreError> {
        let Addition { revision, newest, rollout } = addition;
        let epoch = revision.epoch;
        if epoch <= newest {
            return Err(StoreError::EpochTaken { epoch, newest });
        }
        self.write_text(&revision).await?;
        let attempt = getrandom::u64().map_err(|error| StoreError::Away(format!("no randomness: {error}")))?;
        let written = Written::of(&revision, attempt).json();
        let before = (newest > 0).then(|| digits(newest));
        let transaction = TxnRequest {
            compare: vec![is(self.epoch_key(), before)],
            success: vec![
                put(self.epoch_key(), digits(epoch)),
                put(self.revision_key(epoch), written.clone()),
                set(self.rollout_key(), rollout),
            ],
            failure: vec![get(self.epoch_key()), get(self.revision_key(epoch))],
        };
        let answer = self.cluster.run(transaction).await?;
        if answer.succeeded {
            return Ok(());
        }
        let mut found = found(answer.responses).into_iter();
        let newest =
            first(found.next()).and_then(|kept| String::from_utf8_lossy(&kept.value).parse().ok()).unwrap_or(0);
        // Ours, whose first answer was lost.
        let is_ours = newest == epoch && first(found.next()).is_some_and(|kept| kept.value == written);
        if is_ours { Ok(()) } else { Err(StoreError::EpochTaken { epoch, newest }) }
    }

    /// A text is named by what it is: one that is there already is written over by itself.
    async fn write_text(&self, revision: &Revision) -> Result<(), StoreError> {
        for (piece, bytes) in revision.text.as_bytes().chunks(PIECE_BYTES).enumerate() {
            let success = vec![put(self.piece_key(&revision.digest, piece), bytes)];
            self.cluster.run(TxnRequest { success, ..TxnRequest::default() }).await?;
        }
        Ok(())
    }

    async fn text(&self, written: &Written) -> Result<String, StoreError> {
        let mut text = Vec::with_capacity(written.bytes);
        for piece in 0..written.bytes.div_ceil(PIECE_BYTES) {
            let kept = self.read(vec![get(self.piece_key(&written.digest, piece))]).await?.pop();
            text.extend(first(kept).map(|kept| kept.value).unwrap_or_default());
        }
        let is_whole = text.len() == written.bytes;
        let lacks = || StoreError::Away(format!("etcd lacks a part of the text of epoch {}", written.epoch));
        String::from_utf8(text).ok().filter(|_| is_whole).ok_or_else(lacks)
    }

    /// What several ranges find at one moment.
    async fn read(&self, success: Vec<super::generated::RequestOp>) -> Result<Vec<Vec<KeyValue>>, StoreError> {
        Ok(found(self.cluster.run(TxnRequest { success, ..TxnRequest::default() }).await?.responses))
    }

    /// Below an epoch, newest first, without texts.
    async fn written_before(&self, before: u64, count_max: usize) -> Result<Vec<Written>, StoreError> {
        if count_max == 0 {
            return Ok(Vec::new());
        }
        let range = get_backwards(self.revision_key(0), self.revision_key(before), count_max);
        let found = self.read(vec![range]).await?.pop().unwrap_or_default();
        found.iter().map(Written::read).collect()
    }

    async fn whole(&self, written: Option<Written>) -> Result<Option<Revision>, StoreError> {
        let Some(written) = written else { return Ok(None) };
        let text = self.text(&written).await?;
        Ok(Some(written.whole(text)))
    }
}

impl PolicyStore for EtcdStore {
    fn append(&self, addition: Addition) -> Answer<'_, ()> {
        Box::pin(self.add(addition))
    }

    fn head(&self) -> Answer<'_, Head> {
        Box::pin(async move {
            let newest = get_backwards(self.revision_key(0), self.revision_key(u64::MAX), 1);
            let mut found = self.read(vec![newest, get(self.rollout_key())]).await?.into_iter();
            let newest = first(found.next()).as_ref().map(Written::read).transpose()?;
            let rollout = first(found.next()).map(|kept| String::from_utf8_lossy(&kept.value).into_owned());
            Ok(Head { newest: self.whole(newest).await?, rollout })
        })
    }

    fn latest_from(&self, source: RevisionSource) -> Answer<'_, Option<Revision>> {
        Box::pin(async move {
            let mut before = u64::MAX;
            loop {
                let page = self.written_before(before, PAGE_REVISIONS).await?;
                let Some(oldest) = page.last().map(|written| written.epoch) else { return Ok(None) };
                before = oldest;
                let found = page.into_iter().find(|written| written.source() == source);
                if found.is_some() {
                    return self.whole(found).await;
                }
            }
        })
    }

    fn revision(&self, epoch: u64) -> Answer<'_, Option<Revision>> {
        Box::pin(async move {
            let found = self.read(vec![get(self.revision_key(epoch))]).await?.pop();
            self.whole(first(found).as_ref().map(Written::read).transpose()?).await
        })
    }

    fn save_rollout(&self, before: Option<String>, state: Option<String>) -> Answer<'_, ()> {
        Box::pin(async move {
            let transaction = TxnRequest {
                compare: vec![is(self.rollout_key(), before)],
                success: vec![set(self.rollout_key(), state.clone())],
                failure: vec![get(self.rollout_key())],
            };
            let answer = self.cluster.run(transaction).await?;
            if answer.succeeded {
                return Ok(());
            }
            // Ours, whose first answer was lost.
            let saved = first(found(answer.responses).pop()).map(|kept| kept.value);
            if saved == state.map(String::into_bytes) { Ok(()) } else { Err(StoreError::RolloutMoved) }
        })
    }

    fn history(&self, before: Option<u64>, count_max: usize) -> Answer<'_, Vec<Revision>> {
        Box::pin(async move {
            let mut texts: HashMap<String, String> = HashMap::new();
            let mut revisions = Vec::new();
            for written in self.written_before(before.unwrap_or(u64::MAX), count_max).await? {
                let text = match texts.get(&written.digest) {
                    Some(text) => text.clone(),
                    None => self.text(&written).await?,
                };
                texts.insert(written.digest.clone(), text.clone());
                revisions.push(written.whole(text));
            }
            Ok(revisions)
        })
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.changes.clone()
    }
}

fn set(key: String, value: Option<String>) -> super::generated::RequestOp {
    match value {
        Some(value) => put(key, value),
        None => delete(key),
    }
}

fn first(found: Option<Vec<KeyValue>>) -> Option<KeyValue> {
    found?.into_iter().next()
}

/// Revisions that are looked through at once.
const PAGE_REVISIONS: usize = 100;
