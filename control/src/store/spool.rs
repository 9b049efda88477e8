//! Which numbers of each life of a spool are recorded, in the embedded store: what comes again is recognised.
//!
//! Read and written with each batch, within what is undone with it: so there is nothing to forget when a batch fails. Both
//! together cost as much as two events.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, OptionalExtension as _};

use super::sequences::Sequences;

/// What is recorded of a life of a spool.
pub(super) fn recorded(connection: &Connection, node: &str, boot: &str) -> rusqlite::Result<Sequences> {
    let select = "SELECT recorded FROM audit_spool WHERE node = ? AND boot = ?";
    let recorded = connection.prepare_cached(select)?.query_row([node, boot], |row| row.get(0)).optional()?;
    Ok(recorded.unwrap_or_default())
}

/// Replaces that; `event` is the newest event of all.
pub(super) fn store(
    connection: &Connection,
    (node, boot): (&str, &str),
    recorded: &Sequences,
    event: i64,
) -> rusqlite::Result<()> {
    let upsert = "INSERT INTO audit_spool VALUES (?, ?, ?, ?)
        ON CONFLICT (node, boot) DO UPDATE SET recorded = excluded.recorded, event = excluded.event";
    connection.prepare_cached(upsert)?.execute((node, boot, recorded.write(), event))?;
    // A node that makes up lives of its spool takes room from nobody but itself.
    let delete = "DELETE FROM audit_spool WHERE node = ?1 AND boot IN
        (SELECT boot FROM audit_spool WHERE node = ?1 ORDER BY event DESC, boot = ?2 DESC LIMIT -1 OFFSET ?3)";
    connection.prepare_cached(delete)?.execute((node, boot, SPOOLS_PER_NODE_MAX))?;
    Ok(())
}

/// Forgets spools from which nothing came for as long as events are kept; none while no event is kept, since the last batch may
/// come again.
pub(super) fn forget(connection: &Connection) -> rusqlite::Result<()> {
    let delete = "DELETE FROM audit_spool WHERE event < (SELECT min(id) FROM audit_event)";
    connection.prepare_cached(delete)?.execute([])?;
    Ok(())
}

/// Lives of one node's spool that are known: far more than it has on its disk at once.
const SPOOLS_PER_NODE_MAX: usize = 256;

impl FromSql for Sequences {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::read(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::schema;
    use super::*;

    #[test]
    fn a_node_that_makes_up_lives_of_its_spool_is_bounded_and_the_newest_are_known() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection, Path::new("x")).unwrap();
        let mut numbers = Sequences::default();
        numbers.insert(7);
        store(&connection, ("other", "b"), &numbers, 0).unwrap();
        for boot in 0..SPOOLS_PER_NODE_MAX + 50 {
            store(&connection, ("node", &boot.to_string()), &numbers, 0).unwrap();
            assert_ne!(recorded(&connection, "node", &boot.to_string()).unwrap(), Sequences::default());
        }
        let count = |node: &str| {
            let select = "SELECT count(*) FROM audit_spool WHERE node = ?";
            connection.query_row(select, [node], |row| row.get::<_, usize>(0)).unwrap()
        };
        assert_eq!((count("node"), count("other")), (SPOOLS_PER_NODE_MAX, 1));
    }
}
