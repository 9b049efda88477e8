//! A step of the schema: `audit_event` keeps as columns only what is filtered by, and its indices make way for
//! `audit_values` and `audit_spool`.
//!
//! What an event has beside is in its JSON, which is what is answered. The step rewrites all events in one transaction: it
//! takes about a minute for ten million. Meanwhile they are in the file as they were, once more in it as they will be, and once
//! more in its log: free room of twice what they have after.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row};

use super::sequences::Sequences;
use super::spool;
use super::values::{self, Values};

// As they were when this step was released, whatever they become.
const FILTER_COLUMNS: [&str; 8] =
    ["user", "source", "target_tenant", "application", "client", "status", "connector", "node"];
const BLOCK_BITS: u32 = 8;
const _: () = assert!(BLOCK_BITS == values::BLOCK_BITS);

/// Takes the step.
pub(super) fn rebuild(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(CREATE)?;
    fill_spools(connection)?;
    fill_values(connection)?;
    connection.execute_batch(DROP)
}

/// Every number of a node's spool that is recorded, readable or not.
fn fill_spools(connection: &Connection) -> rusqlite::Result<()> {
    let mut spools: BTreeMap<(String, String), Sequences> = BTreeMap::new();
    for table in ["audit_event_wide", "audit_unread_indexed"] {
        let mut select =
            connection.prepare(&format!("SELECT node, boot, sequence FROM {table} ORDER BY node, boot, sequence"))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            spools.entry((row.get(0)?, row.get(1)?)).or_default().insert(row.get(2)?);
        }
    }
    let newest = connection.query_row("SELECT event FROM audit_head", [], |row| row.get(0))?;
    for ((node, boot), recorded) in &spools {
        spool::store(connection, (node, boot), recorded, newest)?;
    }
    Ok(())
}

/// Block by block, so that memory does not grow with what is kept.
fn fill_values(connection: &Connection) -> rusqlite::Result<()> {
    let mut select_blocks = connection.prepare("SELECT block FROM audit_block")?;
    let columns = FILTER_COLUMNS.join(", ");
    let mut select = connection.prepare(&format!(
        "SELECT {columns}, id, sign_in FROM audit_event WHERE id >= ?1 << {BLOCK_BITS} AND id < (?1 + 1) << {BLOCK_BITS}"
    ))?;
    let mut blocks = select_blocks.query([])?;
    while let Some(block) = blocks.next()? {
        let read = |row: &Row<'_>| {
            let mut filtered = [const { None::<String> }; FILTER_COLUMNS.len()];
            for (place, value) in filtered.iter_mut().enumerate() {
                *value = row.get(place)?;
            }
            Ok((filtered, row.get(FILTER_COLUMNS.len())?, row.get(FILTER_COLUMNS.len() + 1)?))
        };
        let events: Vec<_> = select.query_map([block.get::<_, i64>(0)?], read)?.collect::<Result<_, _>>()?;
        let mut values = Values::new();
        for (filtered, id, begins_sign_in) in &events {
            values.add(*id, filtered.each_ref().map(Option::as_deref), *begins_sign_in);
        }
        values.store(connection)?;
    }
    Ok(())
}

const CREATE: &str = "
DROP INDEX audit_event_denial;
ALTER TABLE audit_event RENAME TO audit_event_wide;
ALTER TABLE audit_unread RENAME TO audit_unread_indexed;
DROP TABLE audit_block;

-- The JSON comes last: a filter reads no further than its column.
CREATE TABLE audit_event (
    id INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    node TEXT NOT NULL,
    source TEXT NOT NULL,
    user TEXT,
    application TEXT,
    client TEXT,
    connector TEXT,
    target_tenant TEXT,
    status TEXT NOT NULL,
    sign_in INTEGER NOT NULL,
    json TEXT NOT NULL
) STRICT;
INSERT INTO audit_event SELECT id, time_ms, node, source, user, application, client, connector, target_tenant, status,
    sign_in, json FROM audit_event_wide ORDER BY id;
CREATE INDEX audit_event_denial ON audit_event (time_ms, status, connector, target_tenant, application, user, source)
    WHERE sign_in = 1 AND status IN ('denied', 'would_deny');

-- The newest id that was ever given.
CREATE TABLE audit_head (event INTEGER NOT NULL) STRICT;
INSERT INTO audit_head SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'audit_event_wide';

-- The times in each 256 ids.
CREATE TABLE audit_block (
    block INTEGER PRIMARY KEY,
    time_min INTEGER NOT NULL,
    time_max INTEGER NOT NULL
) STRICT;
INSERT INTO audit_block SELECT id >> 8, min(time_ms), max(time_ms) FROM audit_event GROUP BY id >> 8;

-- The values in each 256 ids, as `super::values` writes them.
CREATE TABLE audit_values (
    block INTEGER PRIMARY KEY,
    entries BLOB NOT NULL
) STRICT;

-- Which numbers of each life of a spool are recorded.
CREATE TABLE audit_spool (
    node TEXT NOT NULL,
    boot TEXT NOT NULL,
    recorded TEXT NOT NULL,
    -- The newest event of all when the last ones came.
    event INTEGER NOT NULL,
    PRIMARY KEY (node, boot)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_unread (
    id INTEGER PRIMARY KEY,
    node TEXT NOT NULL,
    boot TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    reason TEXT NOT NULL,
    json TEXT NOT NULL
) STRICT;
INSERT INTO audit_unread SELECT id, node, boot, sequence, reason, json FROM audit_unread_indexed;
";
const DROP: &str = "
DROP TABLE audit_event_wide;
DROP TABLE audit_unread_indexed;
";
