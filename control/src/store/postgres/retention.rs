//! Days that are beyond a bound go, each as a whole; days to come get their partitions. The day that is recorded into stays,
//! whatever the bounds.

use super::{Database, number, schema};
use crate::store::{Retention, StoreError};

/// A day that has events.
struct Day {
    day: i32,
    id_last: i64,
    time_max: i64,
    bytes: i64,
}

/// Does what time asks for.
pub(super) async fn tend(database: &Database) -> Result<(), StoreError> {
    let now_ms = (database.clock)();
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    begin(&transaction).await?;
    for day in schema::ahead(now_ms) {
        schema::partition(&transaction, day).await?;
    }
    transaction.commit().await?;

    // One transaction for each: nobody who records waits for longer than one takes.
    for day in beyond(&days(&client).await?, &database.retention, now_ms) {
        let name = schema::partition_name(day);
        let transaction = client.transaction().await?;
        begin(&transaction).await?;
        transaction.batch_execute(&format!("DROP TABLE IF EXISTS {name}")).await?;
        transaction.execute("DELETE FROM audit_day WHERE day = $1", &[&day]).await?;
        transaction.batch_execute(FORGET).await?;
        transaction.commit().await?;
        tracing::info!(partition = name, "the audit events of a day are removed");
    }
    Ok(())
}

/// A partition cannot come or go while somebody reads: rather than keep all others waiting too, it is tried again.
async fn begin(transaction: &tokio_postgres::Transaction<'_>) -> Result<(), StoreError> {
    schema::lock(transaction).await?;
    Ok(transaction.batch_execute("SET LOCAL lock_timeout = '2s'").await?)
}

/// The oldest first.
async fn days(client: &tokio_postgres::Client) -> Result<Vec<Day>, StoreError> {
    let mut days = Vec::new();
    for row in client.query("SELECT day, id_last, time_max FROM audit_day ORDER BY id_last", &[]).await? {
        let day = row.get(0);
        let size = "SELECT coalesce(pg_total_relation_size(to_regclass($1)), 0)";
        let bytes = client.query_one(size, &[&schema::partition_name(day)]).await?.get(0);
        days.push(Day { day, id_last: row.get(1), time_max: row.get(2), bytes });
    }
    Ok(days)
}

/// Which of them go.
fn beyond(days: &[Day], retention: &Retention, now_ms: u64) -> Vec<i32> {
    let Some((newest, old)) = days.split_last() else { return Vec::new() };
    let since = retention.age_ms_max.map(|age| number(now_ms.saturating_sub(age)));
    let events_max = number(retention.events_max);
    let mut bytes: i64 = days.iter().map(|day| day.bytes).sum();
    let mut gone = Vec::new();
    for day in old {
        let is_too_old = since.is_some_and(|since| day.time_max < since);
        let is_too_many = newest.id_last.saturating_sub(day.id_last) >= events_max;
        let is_too_large = retention.bytes_max.is_some_and(|bytes_max| bytes > number(bytes_max));
        if is_too_old || is_too_many || is_too_large {
            bytes -= day.bytes;
            gone.push(day.day);
        }
    }
    gone
}

const FORGET: &str = "
DELETE FROM audit_block WHERE block < (SELECT min(id_first) FROM audit_day) >> 10;
DELETE FROM audit_spool WHERE day < (SELECT min(day) FROM audit_day);
DELETE FROM audit_unread WHERE day < (SELECT min(day) FROM audit_day);
";
