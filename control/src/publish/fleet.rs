//! What each data plane said of itself: attached or away, installed or refused, its last metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use penstock_link::{Hello, Sample};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::Active;
use crate::audit::moment;

/// Every node that attached since this process started.
pub(crate) struct Fleet {
    nodes: Mutex<BTreeMap<String, Node>>,
    sessions: AtomicU64,
    metrics_requests: AtomicU64,
    /// Told of each change, so that waiting needs no polling.
    changed: watch::Sender<()>,
}

struct Node {
    session: u64,
    hello: Hello,
    attached: bool,
    /// When it attached, or went away; Unix milliseconds.
    since_ms: u64,
    /// Epoch and issuer that every shard uses.
    installed: Option<(u64, String)>,
    refused: Option<(u64, String)>,
    /// Ids of metrics requests, to the session's task.
    metrics: mpsc::Sender<u64>,
    metrics_answered: u64,
    samples: Arc<[Sample]>,
}

/// What a node did with a published revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "reason")]
pub(crate) enum Acknowledgement {
    /// It is not connected; it gets the revision when it attaches.
    Away,
    /// In force on every shard.
    Installed,
    /// It did not answer in time.
    Late,
    /// It keeps what it had.
    Refused(String),
}

/// A node as `/nodes` shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodeView {
    pub(crate) node: String,
    pub(crate) attached: bool,
    pub(crate) since: String,
    pub(crate) version: String,
    pub(crate) shards: u32,
    pub(crate) proxy: String,
    /// Epoch in force there, as far as it has said.
    pub(crate) epoch: u64,
    pub(crate) issuer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<RefusedView>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct RefusedView {
    pub(crate) epoch: u64,
    pub(crate) reason: String,
}

/// A node's metrics as last reported.
pub(crate) struct NodeSamples {
    pub(crate) node: String,
    pub(crate) attached: bool,
    pub(crate) samples: Arc<[Sample]>,
}

/// One session's place in the fleet; the node is away when this is dropped.
pub(super) struct Seat {
    fleet: Arc<Fleet>,
    node: String,
    session: u64,
}

/// Metrics requests that wait for a session.
const METRICS_REQUESTS_MAX: usize = 4;

impl Fleet {
    pub(crate) fn new() -> Self {
        Self {
            nodes: Mutex::default(),
            sessions: AtomicU64::new(0),
            metrics_requests: AtomicU64::new(0),
            changed: watch::Sender::new(()),
        }
    }

    /// Seats a node. One of the same name loses its seat: its session sees the metrics channel close.
    pub(super) fn seat(self: &Arc<Self>, hello: Hello) -> (Seat, mpsc::Receiver<u64>) {
        let session = self.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        let (metrics, requests) = mpsc::channel(METRICS_REQUESTS_MAX);
        let node = hello.node.clone();
        let mut nodes = self.lock();
        let before = nodes.remove(&node);
        if before.as_ref().is_some_and(|before| before.attached) {
            tracing::warn!(node, "a second data plane of this name attached; the first is let go");
        }
        nodes.insert(
            node.clone(),
            Node {
                session,
                hello,
                attached: true,
                since_ms: moment::now_ms(),
                installed: None,
                refused: None,
                metrics,
                metrics_answered: 0,
                samples: before.map_or_else(|| Arc::from([]), |before| before.samples),
            },
        );
        drop(nodes);
        self.changed.send_replace(());
        (Seat { fleet: Arc::clone(self), node, session }, requests)
    }

    /// Every node, by name.
    pub(crate) fn view(&self) -> Vec<NodeView> {
        self.lock().values().map(Node::view).collect()
    }

    /// Largest epoch that any node was ever seen with.
    pub(crate) fn epoch_max(&self) -> u64 {
        self.lock().values().map(|node| node.hello.epoch).max().unwrap_or(0)
    }

    /// A node that is attached has this very epoch on every shard.
    pub(crate) fn serves(&self, epoch: u64) -> bool {
        self.lock()
            .values()
            .any(|node| node.attached && node.installed.as_ref().is_some_and(|(installed, _)| *installed == epoch))
    }

    /// Waits until every attached node has answered to `active`, or the deadline; tells what each did.
    pub(crate) async fn acknowledged(&self, active: &Active, deadline: Instant) -> BTreeMap<String, Acknowledgement> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let answers: BTreeMap<_, _> =
                self.lock().iter().map(|(name, node)| (name.clone(), node.acknowledgement(active))).collect();
            let all = answers.values().all(|answer| *answer != Acknowledgement::Late);
            if all || !matches!(timeout_at(deadline, changed.changed()).await, Ok(Ok(()))) {
                return answers;
            }
        }
    }

    /// Asks every attached node for its metrics, waits for at most `patience`, and gives what is known then.
    pub(crate) async fn samples(&self, patience: Duration) -> Vec<NodeSamples> {
        let deadline = Instant::now() + patience;
        let id = self.metrics_requests.fetch_add(1, Ordering::Relaxed) + 1;
        let mut changed = self.changed.subscribe();
        for node in self.lock().values().filter(|node| node.attached) {
            // A full channel means that the node does not answer anyway.
            let _ = node.metrics.try_send(id);
        }
        loop {
            changed.mark_unchanged();
            let complete = self.lock().values().all(|node| !node.attached || node.metrics_answered >= id);
            if complete || !matches!(timeout_at(deadline, changed.changed()).await, Ok(Ok(()))) {
                break;
            }
        }
        let nodes = self.lock();
        nodes
            .iter()
            .map(|(name, node)| NodeSamples {
                node: name.clone(),
                attached: node.attached,
                samples: Arc::clone(&node.samples),
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    fn acknowledgement(&self, active: &Active) -> Acknowledgement {
        let epoch = active.epoch();
        if self
            .installed
            .as_ref()
            .is_some_and(|(installed, issuer)| *installed == epoch && issuer == active.issuer_serial())
        {
            return Acknowledgement::Installed;
        }
        match &self.refused {
            Some((refused, reason)) if *refused == epoch => Acknowledgement::Refused(reason.clone()),
            _ if self.attached => Acknowledgement::Late,
            _ => Acknowledgement::Away,
        }
    }

    fn view(&self) -> NodeView {
        let installed = self.installed.clone();
        let (epoch, issuer) = installed.unwrap_or_else(|| (self.hello.epoch, self.hello.issuer.clone()));
        NodeView {
            node: self.hello.node.clone(),
            attached: self.attached,
            since: penstock_core::audit::timestamp(self.since_ms),
            version: self.hello.version.clone(),
            shards: self.hello.shards,
            proxy: self.hello.proxy.clone(),
            epoch,
            issuer,
            refused: self.refused.clone().map(|(epoch, reason)| RefusedView { epoch, reason }),
        }
    }
}

impl Seat {
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    pub(super) fn installed(&self, epoch: u64, issuer: String) {
        self.update(|node| {
            node.installed = Some((epoch, issuer));
            node.refused = None;
        });
    }

    pub(super) fn refused(&self, epoch: u64, reason: String) {
        self.update(|node| node.refused = Some((epoch, reason)));
    }

    pub(super) fn reported(&self, id: u64, samples: Vec<Sample>) {
        self.update(|node| {
            node.metrics_answered = node.metrics_answered.max(id);
            node.samples = samples.into();
        });
    }

    /// Does nothing once another session has the node's seat.
    fn update(&self, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.fleet.lock().get_mut(&self.node).filter(|node| node.session == self.session) {
            change(node);
        }
        self.fleet.changed.send_replace(());
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.update(|node| {
            node.attached = false;
            node.since_ms = moment::now_ms();
        });
    }
}
