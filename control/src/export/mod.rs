//! Sends audit events on, to files, syslog, OTLP collectors and NATS, each at its own pace.
//!
//! | file | owns |
//! |---|---|
//! | `worker` | one export's loop: read behind the last event that was taken, deliver, remember |
//! | `status` | what is told of an export |
//! | `sink` | the kinds of sink, and how they fail |
//! | `file`, `nats`, `syslog`, `otlp` | one sink each |
//! | `collector` | a collector of OpenTelemetry, over HTTP |
//! | `stream` | the way to a peer |
//!
//! The store is the spool: a sink that is away costs nothing but its own delay, and what retention removes meanwhile is
//! counted as lost. Every event is delivered at least once. Called by `daemon` (start) and `admin` (status).

mod collector;
mod file;
mod nats;
mod otlp;
mod sink;
mod status;
mod stream;
mod syslog;
mod worker;

use std::sync::Arc;

use crate::config::ExportSettings;
use crate::store::ExportStore;
pub(crate) use collector::Collector;
use status::Shared;
pub(crate) use status::Status;
use worker::Worker;

/// The exports that run. They end with the runtime.
#[derive(Clone, Default)]
pub(crate) struct Exports {
    shared: Arc<Vec<Arc<Shared>>>,
}

impl Exports {
    /// Starts a task for each of `settings`.
    pub(crate) fn start(settings: Vec<ExportSettings>, store: &Arc<dyn ExportStore>) -> Self {
        let mut shared = Vec::new();
        for one in settings {
            let told = Arc::new(Shared::new(&one));
            shared.push(Arc::clone(&told));
            tokio::spawn(Worker::new(one, Arc::clone(store), told).run());
        }
        Self { shared: Arc::new(shared) }
    }

    /// How each is doing, in the order of the configuration.
    pub(crate) fn status(&self) -> Vec<Status> {
        self.shared.iter().map(|shared| shared.read()).collect()
    }
}

#[cfg(test)]
mod tests;
