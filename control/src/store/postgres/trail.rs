//! The trail, as `store::trail` keeps it in SQLite.

use super::shared::{SharedStore, answer};
use super::{clean, number};
use crate::store::Answer;
use crate::store::trail::{ENTRIES_MAX, TrailEntry, TrailQuery, TrailStore};

impl TrailStore for SharedStore {
    fn add(&self, entry: TrailEntry) -> Answer<'_, ()> {
        answer(async move {
            let TrailEntry { id: _, time, who, role, address, act, subject, outcome } = entry;
            let insert = "INSERT INTO access_trail (time, who, role, address, act, subject, outcome)
                VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";
            let client = self.client().await?;
            let row = client
                .query_one(insert, &[&time, &clean(&who), &role, &address, &act, &clean(&subject), &outcome])
                .await?;
            // Ids grow by one, but for what could not be added: counting from the newest counts entries.
            let oldest = row.get::<_, i64>(0).saturating_sub(ENTRIES_MAX);
            client.execute("DELETE FROM access_trail WHERE id <= $1", &[&oldest]).await?;
            Ok(())
        })
    }

    fn trail(&self, query: TrailQuery) -> Answer<'_, Vec<TrailEntry>> {
        answer(async move {
            let TrailQuery { before, who, act, count_max } = query;
            let select = "SELECT id, time, who, role, address, act, subject, outcome FROM access_trail
                WHERE id < $1 AND ($2::text IS NULL OR who = $2) AND ($3::text IS NULL OR act = $3)
                ORDER BY id DESC LIMIT $4";
            let before = before.map_or(i64::MAX, number);
            let who = who.as_deref().map(clean);
            let rows = self
                .client()
                .await?
                .query(select, &[&before, &who, &act.as_deref().map(clean), &number(count_max as u64)])
                .await?;
            let read = |row: &tokio_postgres::Row| TrailEntry {
                id: row.get::<_, i64>(0).unsigned_abs(),
                time: row.get(1),
                who: row.get(2),
                role: row.get(3),
                address: row.get(4),
                act: row.get(5),
                subject: row.get(6),
                outcome: row.get(7),
            };
            Ok(rows.iter().map(read).collect())
        })
    }
}
