//! Presence in etcd: a key for each data plane that a daemon holds, all of them bound to one lease of the daemon's.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::cluster::Cluster;
use super::generated::lease_client::LeaseClient;
use super::generated::{KeyValue, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, RequestOp, TxnRequest};
use super::revision::{delete, delete_all, found, get_all, put_leased};
use crate::config::EtcdSettings;
use crate::store::presence::{PRESENCE_SECONDS, PresenceRecord, PresenceStore};
use crate::store::{Answer, StoreError};

/// Handle to what this daemon says, and to what others do.
pub(crate) struct EtcdPresence {
    cluster: Arc<Cluster>,
    /// Begins the keys of every daemon.
    prefix: String,
    /// Begins those of this one.
    own: String,
    /// Held while something is said.
    held: Mutex<Option<Held>>,
}

/// What this daemon has said under the lease that it has.
struct Held {
    lease: i64,
    said: BTreeMap<String, String>,
}

impl EtcdPresence {
    pub(super) fn new(cluster: Arc<Cluster>, settings: &EtcdSettings) -> Self {
        let prefix = format!("{}presence/", settings.prefix);
        let own = format!("{prefix}{}/", segment(&settings.name));
        Self { cluster, prefix, own, held: Mutex::default() }
    }

    async fn say(&self, nodes: BTreeMap<String, String>) -> Result<(), StoreError> {
        let mut held = self.held.lock().await;
        let is_kept = match &*held {
            Some(held) => self.keep_alive(held.lease).await?,
            None => false,
        };
        if !is_kept {
            *held = None;
            let lease = self.grant().await?;
            // An earlier life of this daemon may have said something, which nobody is to believe until its lease ends.
            self.run(vec![delete_all(self.own.clone())]).await?;
            *held = Some(Held { lease, said: BTreeMap::new() });
        }
        let Some(Held { lease, said }) = &mut *held else { return Ok(()) };
        let gone = said.keys().filter(|node| !nodes.contains_key(*node)).map(|node| (node.clone(), None));
        let told = nodes.iter().filter(|(node, what)| said.get(*node) != Some(*what));
        let told = told.map(|(node, what)| (node.clone(), Some(what.clone())));
        let changes: Vec<_> = gone.chain(told).collect();
        for some in changes.chunks(OPERATIONS_MAX) {
            let operation = |(node, what): &(String, Option<String>)| {
                let key = format!("{}{}", self.own, segment(node));
                match what {
                    Some(what) => put_leased(key, what.as_str(), *lease),
                    None => delete(key),
                }
            };
            self.run(some.iter().map(operation).collect()).await?;
            for (node, what) in some {
                match what {
                    Some(what) => said.insert(node.clone(), what.clone()),
                    None => said.remove(node),
                };
            }
        }
        Ok(())
    }

    async fn run(&self, success: Vec<RequestOp>) -> Result<Vec<Vec<KeyValue>>, StoreError> {
        Ok(found(self.cluster.run(TxnRequest { success, ..TxnRequest::default() }).await?.responses))
    }

    async fn grant(&self) -> Result<i64, StoreError> {
        let (place, channel) = self.channel()?;
        let granted = async {
            let request = self.cluster.request(&channel, LeaseGrantRequest { ttl: PRESENCE_SECONDS }).await?;
            LeaseClient::new(channel.clone()).lease_grant(request).await.map(Response::into_inner)
        };
        Ok(self.once(place, granted).await?.id)
    }

    /// Whether there still is such a lease, for as long as at first again.
    async fn keep_alive(&self, lease: i64) -> Result<bool, StoreError> {
        let (place, channel) = self.channel()?;
        let kept = async {
            let question = tokio_stream::once(LeaseKeepAliveRequest { id: lease });
            let request = self.cluster.request(&channel, question).await?;
            let mut answers = LeaseClient::new(channel.clone()).lease_keep_alive(request).await?.into_inner();
            Ok(answers.message().await?.is_some_and(|answer| answer.ttl > 0))
        };
        self.once(place, kept).await
    }

    fn channel(&self) -> Result<(usize, Channel), StoreError> {
        self.cluster.channel().ok_or_else(|| StoreError::Away("etcd has no member".to_owned()))
    }

    /// One attempt at the member of this place: the caller comes again in a moment, and the next member is asked then.
    async fn once<T>(
        &self,
        place: usize,
        asking: impl Future<Output = Result<T, Status>> + Send,
    ) -> Result<T, StoreError> {
        let late = || Err(Status::deadline_exceeded("no answer in time"));
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| late()).map_err(|status| {
            self.cluster.is_worth_another(place, &status);
            StoreError::Away(format!("etcd: {}", status.message()))
        })
    }
}

impl PresenceStore for EtcdPresence {
    fn announce(&self, nodes: BTreeMap<String, String>) -> Answer<'_, ()> {
        Box::pin(self.say(nodes))
    }

    fn present(&self) -> Answer<'_, Vec<PresenceRecord>> {
        Box::pin(async move {
            let kept = self.run(vec![get_all(self.prefix.clone())]).await?.pop().unwrap_or_default();
            let read = |kept: KeyValue| {
                let (control, node) = std::str::from_utf8(kept.key.get(self.prefix.len()..)?).ok()?.split_once('/')?;
                let (control, node) = (name(control), name(node));
                Some(PresenceRecord { control, node, said: String::from_utf8(kept.value).ok()? })
            };
            Ok(kept.into_iter().filter_map(read).collect())
        })
    }

    fn withdraw(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let Some(Held { lease, .. }) = self.held.lock().await.take() else { return Ok(()) };
            let (place, channel) = self.channel()?;
            let revoked = async {
                let request = self.cluster.request(&channel, LeaseRevokeRequest { id: lease }).await?;
                LeaseClient::new(channel.clone()).lease_revoke(request).await
            };
            self.once(place, revoked).await.map(drop)
        })
    }
}

/// A name as one part of a key.
fn segment(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}

/// The name of such a part.
fn name(segment: &str) -> String {
    segment.replace("%2F", "/").replace("%25", "%")
}

/// What etcd takes in one transaction by default is 128.
const OPERATIONS_MAX: usize = 100;
/// Time for an answer: shorter than a lease.
const PATIENCE: Duration = Duration::from_secs(3);
