//! One export's loop.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::sink::{Sink, SinkError};
use super::status::Shared;
use crate::audit::mask;
use crate::config::ExportSettings;
use crate::store::{EventQuery, ExportStore, Order, Progress, StoreError};

/// Reads, delivers, remembers.
pub(super) struct Worker {
    name: String,
    personal: bool,
    sink: Sink,
    store: Arc<dyn ExportStore>,
    told: Arc<Shared>,
}

/// Why a turn came to nothing.
#[derive(Debug, thiserror::Error)]
enum TurnError {
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Worker {
    pub(super) fn new(settings: ExportSettings, store: Arc<dyn ExportStore>, told: Arc<Shared>) -> Self {
        let ExportSettings { name, personal, destination } = settings;
        Self { name, personal, sink: Sink::new(destination), store, told }
    }

    pub(super) async fn run(mut self) {
        let mut pause = RETRY_MIN;
        loop {
            match self.turn().await {
                Ok(true) => pause = RETRY_MIN,
                Ok(false) => {
                    pause = RETRY_MIN;
                    sleep(IDLE).await;
                }
                Err(TurnError::Store(StoreError::Stopped)) => return,
                Err(error) => {
                    if self.told.failed(error.to_string()) {
                        tracing::warn!(export = self.name, %error, "audit events wait");
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Delivers a batch; `false` when there is none.
    async fn turn(&mut self) -> Result<bool, TurnError> {
        let progress = self.store.progress(self.name.clone()).await?;
        let taken = self.catch_up(progress).await?;
        let query = EventQuery {
            cursor: Some(taken),
            order: Order::OldestFirst,
            count_max: BATCH_EVENTS,
            ..Default::default()
        };
        let mut page = self.store.events(query).await?;
        let pending = progress.newest.map_or(0, |newest| newest.saturating_sub(taken));
        let since = page.events.first().map(|event| event.time.clone());
        self.told.waiting(pending, since, progress.taken);
        let Some(last) = page.last else { return Ok(false) };
        if !self.personal {
            page.events.iter_mut().for_each(mask);
        }
        let count = page.events.len() as u64;
        let delivered = timeout(PATIENCE, self.sink.deliver(&page)).await;
        match delivered.unwrap_or(Err(SinkError::Late(PATIENCE.as_secs()))) {
            Ok(thrown_away) => {
                self.told.lost(thrown_away);
                self.told.delivered(count.saturating_sub(thrown_away), last);
            }
            Err(error) if error.is_final() => {
                tracing::error!(export = self.name, %error, count, "audit events are left out");
                self.told.lost(count);
                self.told.failed(error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
        self.store.advance(self.name.clone(), last).await?;
        Ok(true)
    }

    /// The event behind which to go on. What retention removed before it was delivered is told once.
    async fn catch_up(&self, progress: Progress) -> Result<u64, StoreError> {
        let before_oldest = progress.oldest.map_or(0, |oldest| oldest.saturating_sub(1));
        let Some(taken) = progress.taken else { return Ok(before_oldest) };
        if taken >= before_oldest {
            return Ok(taken);
        }
        let lost = before_oldest - taken;
        tracing::error!(
            export = self.name,
            lost,
            "audit events were removed from the store before they could be exported"
        );
        self.told.lost(lost);
        self.store.advance(self.name.clone(), before_oldest).await?;
        Ok(before_oldest)
    }
}

/// Events handed over at once: half a mebibyte or so.
const BATCH_EVENTS: usize = 500;
/// How long a sink may take for a batch.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks for new events.
const IDLE: Duration = Duration::from_millis(500);
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(60);
