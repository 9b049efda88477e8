//! What the control daemons of a fleet share in PostgreSQL: audit events; and who may do what, who did, and who belongs to it.
//!
//! | file | owns |
//! |---|---|
//! | `server` | the store of events |
//! | `connect` | the pool of connections |
//! | `schema` | the tables of events, and a partition for each day |
//! | `record` | the one task that writes: batches by COPY, each event once |
//! | `query` | pages of events |
//! | `denial` | refusals, counted |
//! | `retention` | days that go |
//! | `shared` | the store of everything else, and its tables |
//! | `access` | users, sessions, tokens |
//! | `node` | data planes and what they join by |
//! | `trail` | who did what |
//!
//! Whoever writes events holds [`LOCK`] until its commit. So they become visible in the order of their ids, whichever daemon
//! recorded them, and who follows them by a cursor misses none.

mod access;
mod connect;
mod denial;
mod node;
mod query;
mod record;
mod retention;
mod schema;
mod server;
mod shared;
mod trail;

use super::StoreError;
use server::Database;
pub(crate) use server::PostgresStore;
pub(crate) use shared::SharedStore;

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Away(told(&error))
    }
}

/// An error with its causes: by itself it says little more than "db error".
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// As PostgreSQL counts.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// PostgreSQL's text holds no NUL. The event itself keeps it, escaped; what is compared does not.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Key of the advisory lock, "penstock" in ASCII.
const LOCK: i64 = 0x7065_6e73_746f_636b;
