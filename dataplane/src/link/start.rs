//! Starting the link's tasks, and dialling again for ever.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use penstock_link::SealingPair;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::background::blocking;
use super::controls::{Controls, Rests};
use super::delivery::Delivery;
use super::installer::{InForce, Installer, Request};
use super::kept::Kept;
use super::orphans::Orphans;
use super::session::{Node, SessionEnd};
use crate::audit::SpoolReader;
use crate::config;
use crate::metrics::{ProcessCells, ShardCells};
use crate::panics::vital;
use crate::shard::mailbox::MailboxSender;
use crate::signer::SignerHandle;
use crate::tls::TicketKeyring;

/// Everything that the link is started with.
pub(crate) struct Settings {
    /// Name of this data plane.
    pub(crate) node: String,
    /// Words by which rollouts name it.
    pub(crate) labels: Vec<String>,
    /// Where control is.
    pub(crate) link: config::Link,
    /// Where the last-known-good copy is kept.
    pub(crate) state_directory: PathBuf,
    /// The proxy listener, as bound.
    pub(crate) proxy: SocketAddr,
    /// One mailbox for each shard.
    pub(crate) mailboxes: Vec<MailboxSender>,
    /// The cells of each shard, in the same order.
    pub(crate) shards: Vec<Arc<ShardCells>>,
    pub(crate) cells: Arc<ProcessCells>,
    pub(crate) spool: SpoolReader,
    /// The keys of session tickets, which control renews.
    pub(crate) tickets: Arc<TicketKeyring>,
    /// Who is to have the issuer's key.
    pub(crate) signer: SignerHandle,
}

/// The running link.
pub(crate) struct Link {
    task: JoinHandle<()>,
    in_force: watch::Receiver<InForce>,
}

impl Link {
    /// Completes when a first policy is in force on every shard; never when the link ends before that.
    pub(crate) fn serving(&self) -> impl Future<Output = ()> + use<> {
        let mut in_force = self.in_force.clone();
        async move {
            if in_force.wait_for(|in_force| *in_force != InForce::default()).await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// Lets go of control. Events that it has not committed stay in the spool.
    pub(crate) fn stop(self) {
        self.task.abort();
    }
}

/// Starts the link on the background runtime: installs the last-known-good copy, then dials control until it answers,
/// and again whenever it goes away.
pub(crate) fn start(runtime: &Handle, settings: Settings) -> Link {
    let Settings { node, labels, link, state_directory, proxy, mailboxes, shards, cells, spool, tickets, signer } =
        settings;
    let kept = Kept::new(&state_directory);
    let (installer, in_force) = Installer::new(mailboxes, kept.clone(), signer.clone(), Arc::clone(&cells));
    let controls = Controls::new(link, node.clone(), state_directory.clone());
    let (requests, requested) = mpsc::channel(REQUESTS_MAX);
    let (connection, connected) = watch::channel(None);
    let orphans = Orphans::new(node.clone(), state_directory, Arc::clone(&cells), connected.clone());
    runtime.spawn(orphans.run());
    let delivery = Delivery::new(node.clone(), spool, Arc::clone(&cells), connected);
    let watched = in_force.clone();
    runtime.spawn(tend(Arc::clone(&tickets)));
    let node = Node {
        name: node,
        labels,
        controls,
        proxy,
        shards,
        cells,
        in_force,
        installer: requests,
        connection,
        tickets,
        ticket_pair: SealingPair::generate(),
        age: Arc::default(),
        signer,
    };
    Link { task: runtime.spawn(vital(run(node, installer, kept, requested, delivery))), in_force: watched }
}

async fn run(node: Node, mut installer: Installer, kept: Kept, requested: mpsc::Receiver<Request>, delivery: Delivery) {
    let copy = kept.clone();
    if let Some(Some(confirmed)) = blocking(move || copy.confirmed()).await {
        node.age.of_copy(confirmed);
    }
    installer.install_kept().await;
    tokio::spawn(vital(installer.run(requested)));
    tokio::spawn(vital(delivery.run()));
    tokio::spawn(Arc::clone(&node.age).watch(kept, node.in_force.clone()));
    let mut rests = Rests::new(node.controls.count());
    loop {
        let index = rests.next().await;
        let end = node.attach(index, &rests).await;
        let control = node.controls.label(index);
        match end {
            SessionEnd::Gone(reason) => {
                tracing::warn!(control, reason, "control has gone away; serving with what is in force");
                rests.gone(index, Instant::now());
            }
            SessionEnd::Preferred => tracing::info!(control, "a preferred control is back: leaving for it"),
            SessionEnd::Unfit(reason) => {
                if rests.unfit(index, Instant::now()) {
                    tracing::error!(control, reason, "control is of no use; serving with what is in force");
                }
            }
            SessionEnd::Unreachable(reason) => {
                if rests.unreachable(index, Instant::now()) {
                    tracing::warn!(control, reason, "control cannot be reached; serving with what is in force");
                }
            }
        }
    }
}

/// Renews the node's own ticket key and forgets those whose time is over, whether control is there or not.
async fn tend(tickets: Arc<TicketKeyring>) {
    loop {
        tokio::time::sleep(TICKETS_PERIOD).await;
        tickets.tend();
    }
}

/// Between two looks at the ticket keys.
const TICKETS_PERIOD: Duration = Duration::from_secs(60);
/// Installations that wait: one for each session that came and went while one ran.
const REQUESTS_MAX: usize = 16;
