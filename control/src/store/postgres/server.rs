//! The store: events to the task that writes, questions to the pool.

use std::sync::Arc;

use deadpool_postgres::{Object, Pool};
use tokio::sync::{OnceCell, mpsc, oneshot};

use super::record::{self, Batch, Recorder};
use super::{connect, denial, number, query, retention, schema, told};
use crate::config::PostgresSettings;
use crate::store::audit::{AuditStore, EventPage, EventQuery, IncomingEvent};
use crate::store::denial::{DenialCount, DenialQuery};
use crate::store::export::{ExportStore, Progress};
use crate::store::{Answer, Clock, Retention, StoreError};

/// Handle to the store. The database may be away: what is asked then fails, and is asked again by whoever needs it.
pub(crate) struct PostgresStore {
    database: Arc<Database>,
    batches: mpsc::Sender<Batch>,
}

/// Connections to tables that are as this version wants them.
pub(super) struct Database {
    pool: Pool,
    pub(super) retention: Retention,
    pub(super) clock: Clock,
    /// Set once the tables were seen to.
    prepared: OnceCell<()>,
}

impl PostgresStore {
    /// Starts the task that writes. Dials nobody yet. Within a runtime.
    pub(crate) fn open(settings: &PostgresSettings, retention: Retention, clock: Clock) -> Result<Self, StoreError> {
        let pool = connect::pool(settings)?;
        let database = Arc::new(Database { pool, retention, clock, prepared: OnceCell::new() });
        let (batches, queue) = mpsc::channel(record::QUEUE_BATCHES_MAX);
        tokio::spawn(Recorder::new(Arc::clone(&database)).run(queue));
        Ok(Self { database, batches })
    }
}

impl Database {
    /// A connection, once the tables are there.
    pub(super) async fn client(&self) -> Result<Object, StoreError> {
        let mut client = self.pool.get().await.map_err(|error| StoreError::Away(told(&error)))?;
        self.prepared.get_or_try_init(|| schema::migrate(&mut client, (self.clock)())).await?;
        Ok(client)
    }
}

impl AuditStore for PostgresStore {
    fn record(&self, node: String, boot: String, events: Vec<IncomingEvent>) -> Answer<'_, usize> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            self.batches.send(Batch { node, boot, events, reply }).await.map_err(|_| StoreError::Stopped)?;
            answer.await.map_err(|_| StoreError::Stopped)?
        })
    }

    fn events(&self, query: EventQuery) -> Answer<'_, EventPage> {
        Box::pin(async move {
            let client = self.database.client().await?;
            query::run(&client, &query).await
        })
    }

    fn denials(&self, query: DenialQuery) -> Answer<'_, Vec<DenialCount>> {
        Box::pin(async move {
            let client = self.database.client().await?;
            denial::count(&client, &query).await
        })
    }

    fn tend(&self) {
        let database = Arc::clone(&self.database);
        tokio::spawn(async move {
            if let Err(error) = retention::tend(&database).await {
                tracing::error!(%error, "partitions of audit events could not be seen to; it is tried again");
            }
        });
    }
}

impl ExportStore for PostgresStore {
    fn progress(&self, name: String) -> Answer<'_, Progress> {
        Box::pin(async move {
            let select =
                "SELECT (SELECT event FROM audit_export WHERE name = $1), min(id_first), max(id_last) FROM audit_day";
            let row = self.database.client().await?.query_one(select, &[&name]).await?;
            let cursor = |place: usize| row.get::<_, Option<i64>>(place).map(i64::unsigned_abs);
            Ok(Progress { taken: cursor(0), oldest: cursor(1), newest: cursor(2) })
        })
    }

    fn advance(&self, name: String, event: u64) -> Answer<'_, ()> {
        Box::pin(async move {
            let upsert = "INSERT INTO audit_export VALUES ($1, $2)
                ON CONFLICT (name) DO UPDATE SET event = greatest(audit_export.event, excluded.event)";
            self.database.client().await?.execute(upsert, &[&name, &number(event)]).await?;
            Ok(())
        })
    }
}
