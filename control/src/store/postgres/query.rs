//! Builds and runs the SQL of an event query, as `store::query` does for SQLite; which index leads is PostgreSQL's choice.

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::{clean, number};
use crate::store::StoreError;
use crate::store::audit::{EventPage, EventQuery, Order};

/// Runs the query.
pub(super) async fn run(client: &Client, query: &EventQuery) -> Result<EventPage, StoreError> {
    let mut page = EventPage::default();
    let Some(Range { first, end, days }) = range(client, query).await? else { return Ok(page) };
    let limit = number(query.count_max.saturating_add(1) as u64);
    let (since, until) = (query.since_ms.map(number), query.until_ms.map(number));
    let filters: Vec<Vec<String>> =
        query.equals.iter().map(|(_, wanted)| wanted.iter().map(|value| clean(value)).collect()).collect();
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&first, &end, &days.0, &days.1, &limit];
    let mut sql = "SELECT id, json FROM audit_event
        WHERE id >= $1 AND id < $2 AND day >= $3 AND day <= $4"
        .to_owned();
    if query.sign_ins {
        sql.push_str(" AND sign_in");
    }
    for (bound, comparison) in [(&since, "time_ms >="), (&until, "time_ms <")] {
        if let Some(bound) = bound {
            values.push(bound);
            sql.push_str(&format!(" AND {comparison} ${}", values.len()));
        }
    }
    for ((column, _), wanted) in query.equals.iter().zip(&filters) {
        values.push(wanted);
        sql.push_str(&format!(" AND \"{column}\" = ANY(${})", values.len()));
    }
    let direction = if query.order == Order::OldestFirst { "ASC" } else { "DESC" };
    sql.push_str(&format!(" ORDER BY id {direction} LIMIT $5"));
    for row in client.query(&sql, &values).await? {
        if page.events.len() == query.count_max {
            page.more = true;
            break;
        }
        page.push(row.get::<_, i64>(0).unsigned_abs(), row.get(1));
    }
    Ok(page)
}

/// Where every event of the interval lies, beyond the cursor.
struct Range {
    /// Ids, inclusive.
    first: i64,
    /// Exclusive.
    end: i64,
    /// Partitions, inclusive.
    days: (i32, i32),
}

/// `None` when there are no such events.
async fn range(client: &Client, query: &EventQuery) -> Result<Option<Range>, StoreError> {
    let (mut first, mut end) = (0, i64::MAX);
    if let Some(since_ms) = query.since_ms {
        let select = "SELECT min(block) FROM audit_block WHERE time_max >= $1";
        let block: Option<i64> = client.query_one(select, &[&number(since_ms)]).await?.get(0);
        let Some(block) = block else { return Ok(None) };
        first = block << 10;
    }
    if let Some(until_ms) = query.until_ms {
        let select = "SELECT max(block) FROM audit_block WHERE time_min < $1";
        let block: Option<i64> = client.query_one(select, &[&number(until_ms)]).await?.get(0);
        let Some(block) = block else { return Ok(None) };
        end = (block + 1) << 10;
    }
    if let Some(cursor) = query.cursor {
        match query.order {
            Order::NewestFirst => end = end.min(number(cursor)),
            Order::OldestFirst => first = first.max(number(cursor).saturating_add(1)),
        }
    }
    let select = "SELECT min(day), max(day) FROM audit_day WHERE id_last >= $1 AND id_first < $2";
    let row = client.query_one(select, &[&first, &end]).await?;
    let days: (Option<i32>, Option<i32>) = (row.get(0), row.get(1));
    let (Some(oldest), Some(newest)) = days else { return Ok(None) };
    Ok((first < end).then_some(Range { first, end, days: (oldest, newest) }))
}
