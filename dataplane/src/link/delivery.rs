//! Delivering audit events: batches from the spool to control, the cursor behind them.
//!
//! A task for the whole life of the node. At least once: a batch is sent again until control says that it is committed,
//! and control recognises a repeat by (node, boot, sequence).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use penstock_link::link_client::LinkClient;
use penstock_link::{AuditBatch, AuditEvent};
use tokio::sync::watch;
use tonic::transport::Channel;

use super::background::blocking;
use crate::audit::{Batch, SpoolReader};
use crate::metrics::ProcessCells;

/// The way to control; `None` while there is none.
pub(super) type Connection = Option<LinkClient<Channel>>;

/// The delivering task.
pub(super) struct Delivery {
    node: String,
    reader: SpoolReader,
    cells: Arc<ProcessCells>,
    connection: watch::Receiver<Connection>,
    /// Read from the spool and not yet committed.
    batch: Option<Batch>,
    /// Nobody appends to the spool any more: its end is the end.
    ends: bool,
}

impl Delivery {
    pub(super) fn new(
        node: String,
        reader: SpoolReader,
        cells: Arc<ProcessCells>,
        connection: watch::Receiver<Connection>,
    ) -> Self {
        Self { node, reader, cells, connection, batch: None, ends: false }
    }

    /// Of a spool that a process has left behind.
    pub(super) fn of_orphan(self) -> Self {
        Self { ends: true, ..self }
    }

    /// Delivers until the link or the runtime ends, or the spool of an orphan.
    pub(super) async fn run(mut self) {
        let mut is_failing = false;
        while self.connection.has_changed().is_ok() {
            let Some((back, outcome)) = self.step().await else { return };
            self = back;
            match outcome {
                Ok(Pause::Empty) if self.ends => return,
                Ok(Pause::Disconnected) => self.wait(Pause::Disconnected).await,
                Ok(pause) => {
                    is_failing = false;
                    self.wait(pause).await;
                }
                Err(error) => {
                    if !is_failing {
                        tracing::warn!(error, "audit events are not delivered; they stay in the spool");
                    }
                    is_failing = true;
                    self.wait(Pause::Retry).await;
                    let Some((back, _synced)) = self.on_disk(SpoolReader::sync).await else { return };
                    self = back;
                }
            }
        }
    }

    /// One step: read a batch when there is none, send it when there is a way. `None` when the runtime is ending.
    async fn step(mut self) -> Option<(Self, Result<Pause, String>)> {
        let connection = self.connection.borrow_and_update().clone();
        let Some(client) = connection else {
            let (back, synced) = self.on_disk(SpoolReader::sync).await?;
            return Some((back, synced.map(|()| Pause::Disconnected)));
        };
        if let Some(batch) = self.batch.take() {
            return self.send(client, batch).await;
        }
        let (mut back, read) = self.on_disk(SpoolReader::read).await?;
        back.cells.audit_unreadable.add((), back.reader.take_unreadable());
        let found = read.map(|batch| {
            back.batch = batch;
            if back.batch.is_some() { Pause::None } else { Pause::Empty }
        });
        Some((back, found))
    }

    /// Sends a batch and notes what control has committed of it; the rest stays for the next step.
    async fn send(mut self, mut client: LinkClient<Channel>, batch: Batch) -> Option<(Self, Result<Pause, String>)> {
        let sent = tokio::time::timeout(SEND_DEADLINE, client.record_audit(self.message(&batch))).await;
        let committed = match sent {
            Ok(Ok(reply)) => reply.into_inner().sequence,
            Ok(Err(status)) => {
                self.batch = Some(batch);
                return Some((self, Err(format!("{}: {}", status.code(), status.message()))));
            }
            Err(_elapsed) => {
                self.batch = Some(batch);
                return Some((self, Err("control does not answer".to_owned())));
            }
        };
        let (count, is_full) = (batch.events.len(), batch.is_full);
        self.batch = batch.after(committed);
        let is_refused = self.batch.as_ref().is_some_and(|rest| rest.events.len() == count);
        let (back, saved) = self.on_disk(move |reader| reader.commit(committed)).await?;
        let pause = if is_full || back.batch.is_some() { Pause::None } else { Pause::Gather };
        let outcome = if is_refused { Err("control commits nothing".to_owned()) } else { saved.map(|()| pause) };
        Some((back, outcome))
    }

    fn message(&self, batch: &Batch) -> AuditBatch {
        let event = |(sequence, json): &(u64, String)| AuditEvent { sequence: *sequence, json: json.clone() };
        AuditBatch {
            node: self.node.clone(),
            boot: self.reader.boot().to_owned(),
            events: batch.events.iter().map(event).collect(),
        }
    }

    /// Runs `work` on the spool off the runtime's thread; `None` when the runtime is ending.
    async fn on_disk<T: Send + 'static>(
        mut self,
        work: impl FnOnce(&mut SpoolReader) -> io::Result<T> + Send + 'static,
    ) -> Option<(Self, Result<T, String>)> {
        blocking(move || {
            let done = work(&mut self.reader).map_err(|error| format!("the spool cannot be used: {error}"));
            (self, done)
        })
        .await
    }

    async fn wait(&mut self, pause: Pause) {
        match pause {
            Pause::Disconnected => {
                // A new connection or the time to sync; the end of the link shows in the loop.
                let _changed = tokio::time::timeout(SYNC_PERIOD, self.connection.changed()).await;
            }
            Pause::Empty => {
                tokio::select! {
                    () = self.reader.grown() => {}
                    () = tokio::time::sleep(SYNC_PERIOD), if self.reader.is_unsaved() => {}
                    _changed = self.connection.changed() => {}
                }
            }
            Pause::Gather => tokio::time::sleep(GATHER_PAUSE).await,
            Pause::None => {}
            Pause::Retry => tokio::time::sleep(RETRY_PAUSE).await,
        }
    }
}

/// What to wait for before the next step.
enum Pause {
    /// For a way to control. What is spooled meanwhile goes to the disk every second, as it does between retries.
    Disconnected,
    /// For events.
    Empty,
    /// A little, so that events share messages.
    Gather,
    /// Nothing: there is more to do.
    None,
    /// For whatever is wrong to go away.
    Retry,
}

/// Time for control to commit one batch.
const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// Pause after a batch that was not taken.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Between two syncs of the spool while control is away, and before the cursor is saved when nothing more comes.
const SYNC_PERIOD: Duration = Duration::from_secs(1);
/// Between two batches that are not full.
const GATHER_PAUSE: Duration = Duration::from_millis(100);
