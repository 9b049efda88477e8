//! Starting the link's tasks, and dialling again for ever.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::backoff::Backoff;
use super::delivery::Delivery;
use super::installer::{InForce, Installer, Request};
use super::kept::Kept;
use super::orphans::Orphans;
use super::session::{Node, SessionEnd};
use crate::audit::SpoolReader;
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
    /// Control's socket.
    pub(crate) socket: PathBuf,
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
    let Settings { node, labels, socket, state_directory, proxy, mailboxes, shards, cells, spool, tickets, signer } =
        settings;
    let (installer, in_force) =
        Installer::new(mailboxes, Kept::new(&state_directory), signer.clone(), Arc::clone(&cells));
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
        socket,
        proxy,
        shards,
        cells,
        in_force,
        installer: requests,
        connection,
        tickets,
        signer,
    };
    Link { task: runtime.spawn(vital(run(node, installer, requested, delivery))), in_force: watched }
}

async fn run(node: Node, mut installer: Installer, requested: mpsc::Receiver<Request>, delivery: Delivery) {
    installer.install_kept().await;
    tokio::spawn(vital(installer.run(requested)));
    tokio::spawn(vital(delivery.run()));
    let mut backoff = Backoff::new();
    let mut is_told = false;
    loop {
        match node.attach().await {
            SessionEnd::Unreachable(reason) => {
                if !is_told {
                    let socket = node.socket.display();
                    tracing::warn!(%socket, reason, "control cannot be reached; serving with what is in force");
                }
                is_told = true;
            }
            SessionEnd::Gone(reason) => {
                tracing::warn!(reason, "control has gone away; serving with what is in force");
                backoff.reset();
                is_told = false;
            }
        }
        tokio::time::sleep(backoff.pause()).await;
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
