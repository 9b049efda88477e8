//! The tables, and how an older file becomes a current one.
//!
//! `user_version` counts the steps of [`STEPS`] that a file has seen. A step never changes once it was released.

use std::path::Path;

use rusqlite::Connection;

use super::{StoreError, lean};

/// Brings the file up to date, one transaction a step, and refuses a file from the future.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    take(connection, path, STEPS)
}

/// Takes those of the steps that the file has not seen.
pub(super) fn take(connection: &mut Connection, path: &Path, steps: &[Step]) -> Result<(), StoreError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::SchemaNewer { path: path.to_owned(), found, known });
    }
    for (index, step) in (1_i64..).zip(steps) {
        if index <= found {
            continue;
        }
        if found > 0 {
            tracing::info!(step = index, path = %path.display(), "the store is rewritten for this version");
        }
        let transaction = connection.transaction()?;
        match step {
            Step::Code(step) => step(&transaction)?,
            Step::Sql(step) => transaction.execute_batch(step)?,
        }
        transaction.pragma_update(None, "user_version", index)?;
        transaction.commit()?;
    }
    Ok(())
}

/// One change of the tables.
pub(super) enum Step {
    /// By a program, where SQL alone cannot.
    Code(fn(&Connection) -> rusqlite::Result<()>),
    Sql(&'static str),
}

pub(super) const STEPS: &[Step] = &[
    Step::Sql(
        "
CREATE TABLE policy_revision (
    epoch INTEGER PRIMARY KEY,
    text TEXT NOT NULL,
    digest TEXT NOT NULL,
    author TEXT NOT NULL,
    comment TEXT NOT NULL,
    source TEXT NOT NULL,
    time_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE audit_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    boot TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    time TEXT NOT NULL,
    node TEXT NOT NULL,
    site TEXT,
    shard INTEGER NOT NULL,
    flow TEXT NOT NULL,
    source TEXT NOT NULL,
    user TEXT,
    username TEXT,
    application TEXT,
    client TEXT,
    connector TEXT,
    profile TEXT,
    mode TEXT,
    epoch INTEGER,
    sni TEXT,
    http TEXT,
    method TEXT,
    path TEXT,
    target_tenant TEXT,
    status TEXT NOT NULL,
    code TEXT,
    vendor_request_id TEXT,
    headers_set TEXT NOT NULL,
    headers_stripped TEXT NOT NULL,
    fault TEXT,
    json TEXT NOT NULL,
    UNIQUE (node, boot, sequence)
) STRICT;
CREATE INDEX audit_event_time ON audit_event (time_ms);
CREATE INDEX audit_event_status ON audit_event (status, id);
CREATE INDEX audit_event_connector ON audit_event (connector, id);
CREATE INDEX audit_event_source ON audit_event (source, id);
CREATE INDEX audit_event_user ON audit_event (user, id);
CREATE INDEX audit_event_target_tenant ON audit_event (target_tenant, id);

-- Events that this version cannot read (a newer node's): kept as they came, never lost, never in a report.
CREATE TABLE audit_unread (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node TEXT NOT NULL,
    boot TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    reason TEXT NOT NULL,
    json TEXT NOT NULL,
    UNIQUE (node, boot, sequence)
) STRICT;
",
    ),
    Step::Sql(
        "
CREATE TABLE access_user (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    signed_in_ms INTEGER
) STRICT;

-- Cookies and tokens are here as SHA-256: who reads the file cannot sign in with what it finds.
CREATE TABLE access_session (
    hash TEXT PRIMARY KEY,
    user TEXT NOT NULL REFERENCES access_user (name) ON DELETE CASCADE,
    opened_ms INTEGER NOT NULL,
    used_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE access_token (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    comment TEXT NOT NULL,
    role TEXT NOT NULL,
    owner TEXT REFERENCES access_user (name) ON DELETE CASCADE,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    used_ms INTEGER
) STRICT;

CREATE TABLE access_trail (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time TEXT NOT NULL,
    who TEXT NOT NULL,
    role TEXT,
    address TEXT NOT NULL,
    act TEXT NOT NULL,
    subject TEXT NOT NULL,
    outcome TEXT NOT NULL
) STRICT;
",
    ),
    Step::Sql(
        "
-- Sign-ins have a row each in the report: the first request of each is marked.
ALTER TABLE audit_event ADD COLUMN sign_in INTEGER NOT NULL DEFAULT 0;
UPDATE audit_event SET sign_in = 1 WHERE id IN (
    SELECT min(id) FROM audit_event
    WHERE status IN ('denied', 'would_deny') OR (target_tenant IS NOT NULL AND connector IS NOT NULL)
    GROUP BY node, boot, flow, application, target_tenant, status, code);
CREATE INDEX audit_event_sign_in ON audit_event (sign_in) WHERE sign_in = 1;
CREATE INDEX audit_event_application ON audit_event (application, id);
CREATE INDEX audit_event_client ON audit_event (client, id);
CREATE INDEX audit_event_node ON audit_event (node, id);
CREATE INDEX audit_event_denial ON audit_event (time_ms, status, connector, target_tenant, application, user, source)
    WHERE sign_in = 1 AND status IN ('denied', 'would_deny');

-- The times in each 1,024 ids: an interval becomes a range of ids, whatever else is asked.
CREATE TABLE audit_block (
    block INTEGER PRIMARY KEY,
    time_min INTEGER NOT NULL,
    time_max INTEGER NOT NULL
) STRICT;
INSERT INTO audit_block SELECT id >> 10, min(time_ms), max(time_ms) FROM audit_event GROUP BY id >> 10;
DROP INDEX audit_event_time;
",
    ),
    Step::Sql(
        "
-- How far each export is: the last event that its sink has taken.
CREATE TABLE audit_export (
    name TEXT PRIMARY KEY,
    event INTEGER NOT NULL
) STRICT;
",
    ),
    Step::Sql(
        "
-- The rollout in waves that is under way, as JSON.
CREATE TABLE policy_rollout (state TEXT NOT NULL) STRICT;
",
    ),
    Step::Sql(
        "
-- Data planes of other machines, and tokens (as SHA-256 of their secrets) by which others may join.
CREATE TABLE fleet_node (
    name TEXT PRIMARY KEY,
    joined_ms INTEGER,
    certificate_ends INTEGER,
    revoked_until INTEGER
) STRICT;
CREATE TABLE fleet_join_token (
    hash TEXT PRIMARY KEY,
    node TEXT NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT;
",
    ),
    Step::Sql(
        "
-- When the newest certificate was signed: a revocation holds against that one too, whatever clock signed it.
ALTER TABLE fleet_node ADD COLUMN certificate_made INTEGER;
",
    ),
    Step::Code(lean::rebuild),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_migrated_once_and_one_from_the_future_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("x")).unwrap();
        migrate(&mut connection, Path::new("x")).unwrap();
        connection.pragma_update(None, "user_version", 1_000_i64).unwrap();
        let error = migrate(&mut connection, Path::new("control.db")).unwrap_err().to_string();
        assert!(error.contains("control.db") && error.contains("1000"), "{error}");
    }
}
