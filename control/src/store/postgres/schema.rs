//! The tables, how an older database becomes a current one, and a partition for each day.
//!
//! `audit_version` counts the steps of [`STEPS`] that a database has seen. A step never changes once it was released.

use std::path::PathBuf;

use penstock_core::audit::timestamp;
use penstock_core::moment::DAY_MS;
use tokio_postgres::{Client, Transaction};

use super::LOCK;
use crate::store::StoreError;

/// Brings the database up to date, and refuses one from the future. Daemons that start at once take turns.
pub(super) async fn migrate(client: &mut Client, now_ms: u64) -> Result<(), StoreError> {
    check_encoding(client).await?;
    let transaction = client.transaction().await?;
    lock(&transaction).await?;
    upgrade(&transaction, "audit_version", STEPS).await?;
    for day in ahead(now_ms) {
        partition(&transaction, day).await?;
    }
    Ok(transaction.commit().await?)
}

pub(super) async fn check_encoding(client: &Client) -> Result<(), StoreError> {
    let encoding: String = client.query_one("SHOW server_encoding", &[]).await?.get(0);
    if encoding == "UTF8" {
        return Ok(());
    }
    Err(StoreError::Away(format!("the database is encoded as {encoding}: make one with ENCODING 'UTF8'")))
}

/// Takes the steps that the database has not seen, which the table `version` counts. The caller has the lock.
pub(super) async fn upgrade(transaction: &Transaction<'_>, version: &str, steps: &[&str]) -> Result<(), StoreError> {
    transaction.batch_execute(&format!("CREATE TABLE IF NOT EXISTS {version} (steps int NOT NULL)")).await?;
    let row = transaction.query_opt(&format!("SELECT steps FROM {version}"), &[]).await?;
    let found = row.map_or(0, |row| row.get::<_, i32>(0));
    let known = i32::try_from(steps.len()).unwrap_or(i32::MAX);
    if found > known {
        let (found, known) = (found.into(), known.into());
        return Err(StoreError::SchemaNewer { path: PathBuf::from("PostgreSQL"), found, known });
    }
    if found < known {
        for step in steps.iter().skip(usize::try_from(found).unwrap_or(0)) {
            transaction.batch_execute(step).await?;
        }
        transaction.batch_execute(&format!("DELETE FROM {version}")).await?;
        transaction.execute(&format!("INSERT INTO {version} VALUES ($1)"), &[&known]).await?;
    }
    Ok(())
}

/// Waits until nobody else writes; held to the end of the transaction.
pub(super) async fn lock(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    Ok(())
}

/// Days since 1970, in UTC.
pub(super) fn day_of(unix_ms: u64) -> i32 {
    i32::try_from(unix_ms / DAY_MS).unwrap_or(i32::MAX - 1)
}

/// Today and the days whose partitions are made before they come.
pub(super) fn ahead(now_ms: u64) -> impl Iterator<Item = i32> {
    let today = day_of(now_ms);
    today..=today.saturating_add(2)
}

/// `audit_event_20261121`.
pub(super) fn partition_name(day: i32) -> String {
    let date = timestamp(u64::try_from(day).unwrap_or(0) * DAY_MS);
    let digits: String = date.chars().take_while(|character| *character != 'T').filter(char::is_ascii_digit).collect();
    format!("audit_event_{digits}")
}

/// Makes the partition of a day, unless it is there.
pub(super) async fn partition(transaction: &Transaction<'_>, day: i32) -> Result<(), StoreError> {
    let name = partition_name(day);
    let is_there = "SELECT to_regclass($1) IS NOT NULL";
    if transaction.query_one(is_there, &[&name]).await?.get(0) {
        return Ok(());
    }
    let end = day.saturating_add(1);
    let create = format!("CREATE TABLE {name} PARTITION OF audit_event FOR VALUES FROM ({day}) TO ({end})");
    Ok(transaction.batch_execute(&create).await?)
}

/// `day` is that of recording, so that a partition has an end; `time_ms` is the event's own. Text is compared by its bytes,
/// as SQLite does.
const STEPS: &[&str] = &["
CREATE TABLE audit_event (
    id bigint NOT NULL,
    day int NOT NULL,
    time_ms bigint NOT NULL,
    node text COLLATE \"C\" NOT NULL,
    source text COLLATE \"C\" NOT NULL,
    \"user\" text COLLATE \"C\",
    application text COLLATE \"C\",
    client text COLLATE \"C\",
    connector text COLLATE \"C\",
    target_tenant text COLLATE \"C\",
    status text COLLATE \"C\" NOT NULL,
    sign_in boolean NOT NULL,
    json text NOT NULL
) PARTITION BY RANGE (day);
CREATE INDEX ON audit_event (id);
CREATE INDEX ON audit_event (node, id);
CREATE INDEX ON audit_event (source, id);
CREATE INDEX ON audit_event (\"user\", id);
CREATE INDEX ON audit_event (application, id);
CREATE INDEX ON audit_event (client, id);
CREATE INDEX ON audit_event (connector, id);
CREATE INDEX ON audit_event (target_tenant, id);
CREATE INDEX ON audit_event (status, id);
CREATE INDEX ON audit_event (id) WHERE sign_in;
CREATE INDEX ON audit_event (time_ms, status, connector, target_tenant, application, \"user\", source)
    WHERE sign_in AND status IN ('denied', 'would_deny');

-- A row for each partition that has events. Ids are given without a gap, in the order of commits.
CREATE TABLE audit_day (
    day int PRIMARY KEY,
    id_first bigint NOT NULL,
    id_last bigint NOT NULL,
    time_max bigint NOT NULL
);

-- The times in each 1,024 ids: an interval becomes a range of ids, whatever else is asked.
CREATE TABLE audit_block (
    block bigint PRIMARY KEY,
    time_min bigint NOT NULL,
    time_max bigint NOT NULL
);

-- Which numbers of each life of a spool are recorded: what comes again is recognised, in whatever partition it is.
CREATE TABLE audit_spool (
    node text COLLATE \"C\",
    boot text COLLATE \"C\",
    recorded int8multirange NOT NULL,
    -- The day of the last ones.
    day int NOT NULL,
    PRIMARY KEY (node, boot)
);

-- Events that this version cannot read (a newer node's): kept as they came, never lost, never in a report.
CREATE TABLE audit_unread (
    node text NOT NULL,
    boot text NOT NULL,
    sequence bigint NOT NULL,
    day int NOT NULL,
    reason text NOT NULL,
    json text NOT NULL
);

-- How far each export is: the last event that its sink has taken.
CREATE TABLE audit_export (
    name text PRIMARY KEY,
    event bigint NOT NULL
);
"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_by_its_day() {
        assert_eq!(partition_name(day_of(1_795_219_200_000 - 1)), "audit_event_20261120");
        assert_eq!(partition_name(day_of(1_795_219_200_000)), "audit_event_20261121");
    }
}
