//! How many sign-ins were refused, or would have been: counted by what they have in common.
//!
//! Answered from one index that holds nothing else, so the cost goes with the refusals in the interval.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::StoreError;

/// What refusals are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DenialKey {
    Application,
    Connector,
    Day,
    Hour,
    Source,
    TargetTenant,
    User,
}

/// Which refusals to count.
#[derive(Clone, Debug)]
pub(crate) struct DenialQuery {
    pub(crate) by: DenialKey,
    /// Unix time, milliseconds, inclusive.
    pub(crate) since_ms: Option<u64>,
    /// Exclusive.
    pub(crate) until_ms: Option<u64>,
    pub(crate) connector: Option<String>,
    pub(crate) count_max: usize,
}

/// One row of the answer: the largest first, or in order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DenialCount {
    /// `None` where the events do not tell. Of an hour or a day, its beginning in Unix milliseconds.
    pub(crate) key: Option<String>,
    pub(crate) denied: u64,
    pub(crate) would_deny: u64,
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
}

impl DenialKey {
    pub(super) const fn expression(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Connector => "connector",
            Self::Day => "time_ms / 86400000 * 86400000",
            Self::Hour => "time_ms / 3600000 * 3600000",
            Self::Source => "source",
            Self::TargetTenant => "target_tenant",
            Self::User => "\"user\"",
        }
    }

    pub(super) const fn order(self) -> &'static str {
        match self {
            Self::Day | Self::Hour => "1",
            _ => "denied + would_deny DESC, 1",
        }
    }
}

/// The first rows of the answer.
pub(super) fn count(connection: &Connection, query: &DenialQuery) -> Result<Vec<DenialCount>, StoreError> {
    let number = |value: u64| Value::Integer(i64::try_from(value).unwrap_or(i64::MAX));
    let (by, order) = (query.by.expression(), query.by.order());
    let mut values = vec![number(query.since_ms.unwrap_or(0)), number(query.until_ms.unwrap_or(u64::MAX))];
    let connector = query.connector.as_ref().map_or("", |connector| {
        values.push(Value::Text(connector.clone()));
        "AND connector = ?"
    });
    values.push(number(query.count_max as u64));
    let sql = format!(
        "SELECT CAST({by} AS TEXT), sum(status = 'denied') AS denied, sum(status = 'would_deny') AS would_deny, min(time_ms), max(time_ms)
         FROM audit_event INDEXED BY audit_event_denial
         WHERE sign_in = 1 AND status IN ('denied', 'would_deny') AND time_ms >= ? AND time_ms < ? {connector}
         GROUP BY {by} ORDER BY {order} LIMIT ?"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| {
        Ok(DenialCount {
            key: row.get(0)?,
            denied: row.get(1)?,
            would_deny: row.get(2)?,
            first_ms: row.get(3)?,
            last_ms: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
