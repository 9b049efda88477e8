//! The one task that writes: takes batches from a queue, commits as many at once as wait, then answers.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_postgres::Transaction;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::{Database, clean, number, schema};
use crate::store::StoreError;
use crate::store::audit::{IncomingEvent, ReadEvent};
use crate::store::block::Blocks;
use crate::store::sequences::Sequences;
use crate::store::sign_in::SignIns;

/// What a node sent, and where to answer how many events were new.
pub(super) struct Batch {
    pub(super) node: String,
    pub(super) boot: String,
    pub(super) events: Vec<IncomingEvent>,
    pub(super) reply: oneshot::Sender<Result<usize, StoreError>>,
}

/// Batches that wait before their senders wait.
pub(super) const QUEUE_BATCHES_MAX: usize = 256;
/// Batches of one transaction.
const TRANSACTION_BATCHES_MAX: usize = 64;
/// Time for a transaction: a database that does not answer is not waited for by those who can go to another daemon.
const PATIENCE: Duration = Duration::from_secs(30);

/// The writing end of the store.
pub(super) struct Recorder {
    database: Arc<Database>,
    sign_ins: SignIns,
    /// The day whose partition is known to be there.
    day: i32,
}

/// What a transaction adds.
struct Additions<'batch> {
    day: i32,
    /// The next event's id.
    id: i64,
    events: Vec<(i64, &'batch IncomingEvent, &'batch ReadEvent, bool)>,
    unread: Vec<(&'batch Batch, &'batch IncomingEvent, &'batch str)>,
    /// By node and life of its spool.
    spools: HashMap<(String, String), Sequences>,
}

impl Recorder {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database, sign_ins: SignIns::default(), day: 0 }
    }

    /// Runs until every sender is gone.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Batch>) {
        let mut batches = Vec::new();
        while queue.recv_many(&mut batches, TRANSACTION_BATCHES_MAX).await > 0 {
            let late = Err(StoreError::Away(format!("no answer within {} s", PATIENCE.as_secs())));
            let outcome = timeout(PATIENCE, self.commit(&batches)).await.unwrap_or(late);
            self.sign_ins.settle(outcome.is_ok());
            match outcome {
                Ok(counts) => {
                    for (batch, count) in batches.drain(..).zip(counts) {
                        drop(batch.reply.send(Ok(count)));
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "audit events cannot be recorded; their nodes keep them");
                    for batch in batches.drain(..) {
                        drop(batch.reply.send(Err(StoreError::NotCommitted)));
                    }
                }
            }
        }
    }

    /// Records all of them, and answers how many events of each were new.
    async fn commit(&mut self, batches: &[Batch]) -> Result<Vec<usize>, StoreError> {
        let mut client = self.database.client().await?;
        let transaction = client.transaction().await?;
        schema::lock(&transaction).await?;
        let day = schema::day_of((self.database.clock)());
        if day != self.day {
            schema::partition(&transaction, day).await?;
        }
        let newest = transaction.query_one("SELECT coalesce(max(id_last), 0) FROM audit_day", &[]).await?;
        let id = newest.get::<_, i64>(0) + 1;
        let mut additions = Additions { day, id, events: Vec::new(), unread: Vec::new(), spools: HashMap::new() };
        let mut counts = Vec::with_capacity(batches.len());
        for batch in batches {
            counts.push(additions.take(&transaction, batch, &mut self.sign_ins).await?);
        }
        additions.store(&transaction).await?;
        transaction.commit().await?;
        self.day = day;
        Ok(counts)
    }
}

impl<'batch> Additions<'batch> {
    /// Takes what is new in a batch.
    async fn take(
        &mut self,
        transaction: &Transaction<'_>,
        batch: &'batch Batch,
        sign_ins: &mut SignIns,
    ) -> Result<usize, StoreError> {
        let key = (clean(&batch.node), clean(&batch.boot));
        if !self.spools.contains_key(&key) {
            let recorded = recorded(transaction, &key).await?;
            self.spools.insert(key.clone(), recorded);
        }
        let recorded = self.spools.entry(key).or_default();
        let mut count = 0;
        for incoming in &batch.events {
            if !recorded.insert(number(incoming.sequence)) {
                continue;
            }
            count += 1;
            match &incoming.event {
                Ok(read) => {
                    let begins = sign_ins.begins(&batch.boot, &read.event);
                    self.events.push((self.id, incoming, read, begins));
                    self.id += 1;
                }
                Err(reason) => self.unread.push((batch, incoming, reason)),
            }
        }
        Ok(count)
    }

    async fn store(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        self.copy(transaction).await?;
        let mut blocks = Blocks::new(BLOCK_BITS);
        for (id, _, read, _) in &self.events {
            blocks.add(*id, read.time_ms);
        }
        let upsert = "INSERT INTO audit_block VALUES ($1, $2, $3) ON CONFLICT (block) DO UPDATE SET
            time_min = least(audit_block.time_min, excluded.time_min),
            time_max = greatest(audit_block.time_max, excluded.time_max)";
        for block in blocks.iter() {
            let times = (number(block.time_min), number(block.time_max));
            transaction.execute(upsert, &[&block.number, &times.0, &times.1]).await?;
        }
        if let (Some((first, ..)), Some((last, ..))) = (self.events.first(), self.events.last()) {
            let time_max = number(self.events.iter().map(|(_, _, read, _)| read.time_ms).max().unwrap_or(0));
            let upsert = "INSERT INTO audit_day VALUES ($1, $2, $3, $4) ON CONFLICT (day) DO UPDATE SET
                id_last = excluded.id_last, time_max = greatest(audit_day.time_max, excluded.time_max)";
            transaction.execute(upsert, &[&self.day, first, last, &time_max]).await?;
        }
        let insert = "INSERT INTO audit_unread VALUES ($1, $2, $3, $4, $5, $6)";
        for (batch, incoming, reason) in &self.unread {
            let (node, boot, json) = (clean(&batch.node), clean(&batch.boot), clean(&incoming.json));
            let values: [&(dyn ToSql + Sync); 6] =
                [&node, &boot, &number(incoming.sequence), &self.day, &clean(reason), &json];
            transaction.execute(insert, &values).await?;
        }
        let upsert = "INSERT INTO audit_spool VALUES ($1, $2, $3::text::int8multirange, $4)
            ON CONFLICT (node, boot) DO UPDATE SET recorded = excluded.recorded, day = excluded.day";
        for ((node, boot), recorded) in &self.spools {
            transaction.execute(upsert, &[node, boot, &recorded.write(), &self.day]).await?;
        }
        Ok(())
    }

    async fn copy(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        if self.events.is_empty() {
            return Ok(());
        }
        let sink = transaction.copy_in(COPY).await?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, COPY_TYPES));
        for (id, incoming, read, begins) in &self.events {
            let event = &read.event;
            let text = |value: &Option<String>| value.as_deref().map(clean);
            let values: [&(dyn ToSql + Sync); 13] = [
                id,
                &self.day,
                &number(read.time_ms),
                &clean(&event.node),
                &clean(&event.source),
                &text(&event.user),
                &text(&event.application),
                &text(&event.client),
                &text(&event.connector),
                &text(&event.target_tenant),
                &clean(&event.status),
                begins,
                &clean(&incoming.json),
            ];
            writer.as_mut().write(&values).await?;
        }
        writer.finish().await?;
        Ok(())
    }
}

/// What is recorded of a life of a spool.
async fn recorded(transaction: &Transaction<'_>, (node, boot): &(String, String)) -> Result<Sequences, StoreError> {
    let select = "SELECT lower(range), upper(range) - 1 FROM audit_spool, unnest(recorded) AS range
        WHERE node = $1 AND boot = $2 ORDER BY 1";
    let rows = transaction.query(select, &[node, boot]).await?;
    Ok(Sequences::new(rows.iter().map(|row| (row.get(0), row.get(1))).collect()))
}

/// Of 1,024 ids; [`super::query`] shifts by it too.
const BLOCK_BITS: u32 = 10;
const COPY: &str = "COPY audit_event (id, day, time_ms, node, source, \"user\", application, client, connector,
    target_tenant, status, sign_in, json) FROM STDIN BINARY";
const COPY_TYPES: &[Type] = &[
    Type::INT8,
    Type::INT4,
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::BOOL,
    Type::TEXT,
];
