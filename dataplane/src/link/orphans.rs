//! Delivering what processes before this one have left in their spools.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::background::blocking;
use super::delivery::{Connection, Delivery};
use crate::audit::{self, SPOOLS_MAX};
use crate::metrics::ProcessCells;

/// The task that looks for them.
pub(super) struct Orphans {
    node: String,
    state_directory: PathBuf,
    cells: Arc<ProcessCells>,
    connection: watch::Receiver<Connection>,
}

impl Orphans {
    pub(super) fn new(
        node: String,
        state_directory: PathBuf,
        cells: Arc<ProcessCells>,
        connection: watch::Receiver<Connection>,
    ) -> Self {
        Self { node, state_directory, cells, connection }
    }

    /// Looks again and again: an old process may drain for long. Ends with the link or the runtime.
    pub(super) async fn run(self) {
        while self.connection.has_changed().is_ok() {
            if self.connection.borrow().is_some() {
                for number in 0..SPOOLS_MAX {
                    self.adopt(number).await;
                }
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    async fn adopt(&self, number: usize) {
        let (directory, node) = (self.state_directory.clone(), self.node.clone());
        let (orphan, reader) = match blocking(move || audit::orphan(&directory, &node, number)).await {
            Some(Ok(Some(found))) => found,
            Some(Ok(None)) | None => return,
            Some(Err(error)) => {
                tracing::warn!(%error, number, "an old audit spool cannot be opened");
                return;
            }
        };
        if orphan.was_torn {
            self.cells.audit_unreadable.add((), 1);
        }
        let delivery = Delivery::new(self.node.clone(), reader, Arc::clone(&self.cells), self.connection.clone());
        delivery.of_orphan().run().await;
        // Held until here, so that no other process takes the spool meanwhile.
        drop(orphan);
    }
}

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(5);
