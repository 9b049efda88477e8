//! Refused sign-ins, counted, as `store::denial` does for SQLite.

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::{clean, number};
use crate::store::StoreError;
use crate::store::denial::{DenialCount, DenialQuery};

/// The first rows of the answer.
pub(super) async fn count(client: &Client, query: &DenialQuery) -> Result<Vec<DenialCount>, StoreError> {
    let since = number(query.since_ms.unwrap_or(0));
    let until = number(query.until_ms.unwrap_or(u64::MAX));
    let limit = number(query.count_max as u64);
    let connector = query.connector.as_deref().map(clean);
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&since, &until, &limit];
    let filter = if let Some(connector) = &connector {
        values.push(connector);
        "AND connector = $4"
    } else {
        ""
    };
    let (by, order) = (query.by.expression(), query.by.order());
    let sql = format!(
        "SELECT key, denied, would_deny, first_ms, last_ms FROM (
            SELECT CAST({by} AS text) COLLATE \"C\" AS key, count(*) FILTER (WHERE status = 'denied') AS denied,
                count(*) FILTER (WHERE status = 'would_deny') AS would_deny, min(time_ms) AS first_ms, max(time_ms) AS last_ms
            FROM audit_event
            WHERE sign_in AND status IN ('denied', 'would_deny') AND time_ms >= $1 AND time_ms < $2 {filter}
            GROUP BY {by}) AS counted
         ORDER BY {order} NULLS FIRST LIMIT $3"
    );
    let rows = client.query(&sql, &values).await?;
    let count = |row: &tokio_postgres::Row, place: usize| row.get::<_, i64>(place).unsigned_abs();
    let read = |row: &tokio_postgres::Row| DenialCount {
        key: row.get(0),
        denied: count(row, 1),
        would_deny: count(row, 2),
        first_ms: count(row, 3),
        last_ms: count(row, 4),
    };
    Ok(rows.iter().map(read).collect())
}
