//! The writer's side of recording: each event once, with what is known of its block.

use rusqlite::{Connection, params};

use super::audit::IncomingEvent;
use super::block::Blocks;
use super::sign_in::SignIns;
use super::values::{self, BLOCK_BITS, Values};
use super::{StoreError, spool};

/// Records what is new of a batch, and answers how many events that were. Whoever calls undoes all of it when it fails.
pub(super) fn insert(
    connection: &Connection,
    (node, boot): (&str, &str),
    events: &[IncomingEvent],
    sign_ins: &mut SignIns,
) -> Result<usize, StoreError> {
    let mut recorded = spool::recorded(connection, node, boot)?;
    // Ids are given in ascending order and never again, whatever was removed: cursors stand on it.
    let mut id: i64 = connection.prepare_cached("SELECT event FROM audit_head")?.query_row([], |row| row.get(0))?;
    let (mut blocks, mut values) = (Blocks::new(BLOCK_BITS), Values::new());
    let mut insert =
        connection.prepare_cached("INSERT INTO audit_event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    let mut count = 0;
    for incoming in events {
        let sequence = i64::try_from(incoming.sequence).unwrap_or(i64::MAX);
        if !recorded.insert(sequence) {
            continue;
        }
        count += 1;
        match &incoming.event {
            Ok(read) => {
                id += 1;
                let begins_sign_in = sign_ins.begins(boot, &read.event);
                let filtered = values::of_event(&read.event);
                let [user, source, target_tenant, application, client, status, connector, node] = filtered;
                insert.execute(params![
                    id,
                    read.time_ms,
                    node,
                    source,
                    user,
                    application,
                    client,
                    connector,
                    target_tenant,
                    status,
                    begins_sign_in,
                    incoming.json,
                ])?;
                blocks.add(id, read.time_ms);
                values.add(id, filtered, begins_sign_in);
            }
            Err(reason) => {
                let insert_unread =
                    "INSERT INTO audit_unread (node, boot, sequence, reason, json) VALUES (?, ?, ?, ?, ?)";
                let row = params![node, boot, sequence, reason, incoming.json];
                connection.prepare_cached(insert_unread)?.execute(row)?;
            }
        }
    }
    if count > 0 {
        blocks.store(connection)?;
        values.store(connection)?;
        spool::store(connection, (node, boot), &recorded, id)?;
        connection.prepare_cached("UPDATE audit_head SET event = ?")?.execute([id])?;
    }
    Ok(count)
}
