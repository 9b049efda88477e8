//! What each data plane said of itself: attached or away, installed or refused, its last metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use penstock_core::limits::LINK_CONNECTIONS_PER_NODE_MAX;
use penstock_link::{Hello, Sample};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::Active;
use super::presence::Said;
use crate::audit::moment;

/// Every node that attached since this process started.
pub(crate) struct Fleet {
    /// Sessions by the node's name, in the order of their coming: while a data plane is upgraded, the old one drains and the
    /// new one serves. The last speaks for the node; none is ever without one.
    nodes: Mutex<BTreeMap<String, Vec<Node>>>,
    sessions: AtomicU64,
    metrics_requests: AtomicU64,
    /// Connections and sessions that ended because newer ones of the same name had come.
    displaced: AtomicU64,
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
    /// When it was last known to have what it should have, Unix milliseconds; 0 when it never was.
    confirmed_ms: u64,
    /// Ids of metrics requests, to the session's task.
    metrics: mpsc::Sender<u64>,
    metrics_answered: u64,
    samples: Arc<[Sample]>,
}

/// What a node did with a published revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
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
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = Node)]
pub(crate) struct NodeView {
    pub(crate) node: String,
    /// The control daemon that says so, where several share their policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) control: Option<String>,
    pub(crate) attached: bool,
    pub(crate) since: String,
    pub(crate) version: String,
    pub(crate) shards: u32,
    pub(crate) proxy: String,
    pub(crate) labels: Vec<String>,
    /// Epoch in force there, as far as it has said.
    pub(crate) epoch: u64,
    pub(crate) issuer: String,
    /// Seconds since it was last known to have the policy that it should have; absent when it never was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) policy_age_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) refused: Option<RefusedView>,
}

#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = RefusedPolicy)]
pub(crate) struct RefusedView {
    pub(crate) epoch: u64,
    pub(crate) reason: String,
}

/// A node's metrics as last reported. An old data plane that drains stands beside the one that serves, as
/// `NAME/draining`: added together their counters would jump when it ends.
pub(crate) struct NodeSamples {
    pub(crate) node: String,
    pub(crate) attached: bool,
    pub(crate) is_draining: bool,
    /// See [`NodeView::policy_age_seconds`].
    pub(crate) policy_age_seconds: Option<u64>,
    pub(crate) samples: Arc<[Sample]>,
}

impl NodeSamples {
    /// The label `node` of its series among those of `nodes`. One node has none, and gets none while it is upgraded.
    pub(crate) fn label(&self, nodes: &[Self]) -> Option<&str> {
        let several = nodes.iter().filter(|node| !node.is_draining).count() > 1;
        (several || self.is_draining).then_some(self.node.as_str())
    }
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
            displaced: AtomicU64::new(0),
            changed: watch::Sender::new(()),
        }
    }

    /// Seats a node. One of the same name stays attached, but speaks for the node no longer. One that loses its seat sees
    /// the metrics channel close.
    pub(super) fn seat(self: &Arc<Self>, hello: Hello) -> (Seat, mpsc::Receiver<u64>) {
        let session = self.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        let (metrics, requests) = mpsc::channel(METRICS_REQUESTS_MAX);
        let node = hello.node.clone();
        let mut nodes = self.lock();
        let sessions = nodes.entry(node.clone()).or_default();
        let before = sessions.last();
        if before.is_some_and(|before| before.attached) {
            tracing::info!(node, "another data plane of this name attached, and speaks for it from now on");
        }
        let samples = before.filter(|before| !before.attached).map(|before| Arc::clone(&before.samples));
        let now_ms = moment::now_ms();
        let said_ms = u64::try_from(hello.confirmed).unwrap_or(0).saturating_mul(1_000).min(now_ms);
        let confirmed_ms = before.map_or(0, |before| before.confirmed_ms(now_ms)).max(said_ms);
        sessions.retain(|session| session.attached);
        if sessions.len() >= LINK_CONNECTIONS_PER_NODE_MAX {
            sessions.remove(0);
            self.count_displaced();
        }
        sessions.push(Node {
            session,
            hello,
            attached: true,
            since_ms: now_ms,
            installed: None,
            refused: None,
            confirmed_ms,
            metrics,
            metrics_answered: 0,
            samples: samples.unwrap_or_else(|| Arc::from([])),
        });
        drop(nodes);
        self.changed.send_replace(());
        (Seat { fleet: Arc::clone(self), node, session }, requests)
    }

    pub(super) fn count_displaced(&self) {
        self.displaced.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections and sessions that ended because newer ones of the same name had come.
    pub(crate) fn displaced(&self) -> u64 {
        self.displaced.load(Ordering::Relaxed)
    }

    /// Lets go of every session of a name, and forgets it.
    pub(crate) fn evict(&self, name: &str) {
        // With a session's entry its channel goes, which its task sees.
        self.lock().remove(name);
        self.changed.send_replace(());
    }

    /// Every node, by name.
    pub(crate) fn view(&self) -> Vec<NodeView> {
        self.lock().values().filter_map(|sessions| sessions.last()).map(Node::view).collect()
    }

    /// What other daemons are told of every node that is attached, by name.
    pub(super) fn said(&self) -> BTreeMap<String, Said> {
        let nodes = self.lock();
        let last = nodes.iter().filter_map(|(name, sessions)| Some((name, sessions.last()?)));
        last.filter(|(_, node)| node.attached).map(|(name, node)| (name.clone(), node.said())).collect()
    }

    /// Largest epoch that any node was ever seen with.
    pub(crate) fn epoch_max(&self) -> u64 {
        self.lock().values().flatten().map(|node| node.hello.epoch).max().unwrap_or(0)
    }

    /// A node that is attached has this very epoch on every shard.
    pub(crate) fn serves(&self, epoch: u64) -> bool {
        self.lock()
            .values()
            .flatten()
            .any(|node| node.attached && node.installed.as_ref().is_some_and(|(installed, _)| *installed == epoch))
    }

    /// The labels of every node that is attached.
    pub(super) fn attached(&self) -> BTreeMap<String, Vec<String>> {
        let nodes = self.lock();
        let last = nodes.iter().filter_map(|(name, sessions)| Some((name, sessions.last()?)));
        last.filter(|(_, node)| node.attached).map(|(name, node)| (name.clone(), node.hello.labels.clone())).collect()
    }

    /// Nodes that refused the epoch are to be asked again.
    pub(super) fn forget_refusals(&self, epoch: u64) {
        for node in self.lock().values_mut().flatten() {
            node.refused.take_if(|(refused, _)| *refused == epoch);
        }
    }

    /// What every node did with `active` so far.
    pub(crate) fn answers(&self, active: &Active) -> BTreeMap<String, Acknowledgement> {
        let answer = |(name, sessions): (&String, &Vec<Node>)| {
            sessions.last().map(|node| (name.clone(), node.acknowledgement(active)))
        };
        self.lock().iter().filter_map(answer).collect()
    }

    /// Waits until every attached node has answered to `active`, or the deadline; tells what each did.
    pub(crate) async fn acknowledged(&self, active: &Active, deadline: Instant) -> BTreeMap<String, Acknowledgement> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let answers = self.answers(active);
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
        for node in self.lock().values().flatten().filter(|node| node.attached) {
            // A full channel means that the node does not answer anyway.
            let _ = node.metrics.try_send(id);
        }
        loop {
            changed.mark_unchanged();
            let complete = self.lock().values().flatten().all(|node| !node.attached || node.metrics_answered >= id);
            if complete || !matches!(timeout_at(deadline, changed.changed()).await, Ok(Ok(()))) {
                break;
            }
        }
        let nodes = self.lock();
        let mut samples = Vec::new();
        for (name, sessions) in nodes.iter() {
            for (behind, node) in sessions.iter().rev().enumerate() {
                samples.push(NodeSamples {
                    node: match behind {
                        0 => name.clone(),
                        1 => format!("{name}/draining"),
                        _ => format!("{name}/draining-{behind}"),
                    },
                    attached: node.attached,
                    is_draining: behind > 0,
                    policy_age_seconds: node.policy_age_seconds(),
                    samples: Arc::clone(&node.samples),
                });
            }
        }
        samples
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Node>>> {
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

    /// When it last had what it should have: now, while it is attached and takes what it is sent.
    fn confirmed_ms(&self, now_ms: u64) -> u64 {
        if self.is_current() { now_ms } else { self.confirmed_ms }
    }

    fn is_current(&self) -> bool {
        self.attached && self.installed.is_some() && self.refused.is_none()
    }

    /// Stays the same for as long as nothing happens.
    fn said(&self) -> Said {
        let view = NodeView { policy_age_seconds: None, ..self.view() };
        Said { view, confirmed_ms: (!self.is_current()).then_some(self.confirmed_ms) }
    }

    fn policy_age_seconds(&self) -> Option<u64> {
        let now_ms = moment::now_ms();
        let confirmed_ms = Some(self.confirmed_ms(now_ms)).filter(|confirmed_ms| *confirmed_ms != 0)?;
        Some(now_ms.saturating_sub(confirmed_ms) / 1_000)
    }

    fn view(&self) -> NodeView {
        let installed = self.installed.clone();
        let (epoch, issuer) = installed.unwrap_or_else(|| (self.hello.epoch, self.hello.issuer.clone()));
        NodeView {
            node: self.hello.node.clone(),
            control: None,
            attached: self.attached,
            since: penstock_core::audit::timestamp(self.since_ms),
            version: self.hello.version.clone(),
            shards: self.hello.shards,
            proxy: self.hello.proxy.clone(),
            labels: self.hello.labels.clone(),
            epoch,
            issuer,
            policy_age_seconds: self.policy_age_seconds(),
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
        self.update(|node| {
            node.confirmed_ms = node.confirmed_ms(moment::now_ms());
            node.refused = Some((epoch, reason));
        });
    }

    pub(super) fn reported(&self, id: u64, samples: Vec<Sample>) {
        self.update(|node| {
            node.metrics_answered = node.metrics_answered.max(id);
            node.samples = samples.into();
        });
    }

    /// Does nothing once the session has lost its seat.
    fn update(&self, change: impl FnOnce(&mut Node)) {
        let mut nodes = self.fleet.lock();
        let mut sessions = nodes.get_mut(&self.node).into_iter().flatten();
        if let Some(node) = sessions.find(|node| node.session == self.session) {
            change(node);
        }
        drop(nodes);
        self.fleet.changed.send_replace(());
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.update(|node| {
            let now_ms = moment::now_ms();
            node.confirmed_ms = node.confirmed_ms(now_ms);
            node.attached = false;
            node.since_ms = now_ms;
        });
        // Who is left speaks for the node again; the last one stays, to show that the node is away.
        if let Some(sessions) = self.fleet.lock().get_mut(&self.node)
            && sessions.len() > 1
        {
            sessions.retain(|node| node.session != self.session);
        }
        self.fleet.changed.send_replace(());
    }
}
