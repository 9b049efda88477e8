//! The fleet's members and join tokens, as `store::node` keeps them in SQLite.
//!
//! Whoever changes both takes the token before the node, so that no two daemons wait for each other.

use tokio_postgres::Row;

use super::shared::{SharedStore, answer};
use super::{clean, number};
use crate::store::Answer;
use crate::store::node::{CertificateRecord, JoinTokenRecord, NODE, NodeRecord, NodeStore};

impl NodeStore for SharedStore {
    fn members(&self) -> Answer<'_, Vec<NodeRecord>> {
        answer(async move {
            let select = format!("SELECT {NODE} FROM fleet_node ORDER BY name");
            Ok(self.client().await?.query(&select, &[]).await?.iter().map(read_node).collect())
        })
    }

    fn member(&self, name: String) -> Answer<'_, Option<NodeRecord>> {
        answer(async move {
            let select = format!("SELECT {NODE} FROM fleet_node WHERE name = $1");
            Ok(self.client().await?.query_opt(&select, &[&clean(&name)]).await?.as_ref().map(read_node))
        })
    }

    fn add_join_token(&self, token: JoinTokenRecord, now_ms: u64) -> Answer<'_, ()> {
        answer(async move {
            let JoinTokenRecord { hash, node, expires_ms } = token;
            let client = self.client().await?;
            client.execute("DELETE FROM fleet_join_token WHERE expires_ms <= $1", &[&number(now_ms)]).await?;
            let insert = "INSERT INTO fleet_join_token (hash, node, expires_ms) VALUES ($1, $2, $3)";
            client.execute(insert, &[&hash, &node, &number(expires_ms)]).await?;
            Ok(())
        })
    }

    fn join_token(&self, hash: String) -> Answer<'_, Option<JoinTokenRecord>> {
        answer(async move {
            let select = "SELECT hash, node, expires_ms FROM fleet_join_token WHERE hash = $1";
            let row = self.client().await?.query_opt(select, &[&hash]).await?;
            Ok(row.map(|row| JoinTokenRecord {
                hash: row.get(0),
                node: row.get(1),
                expires_ms: row.get::<_, i64>(2).unsigned_abs(),
            }))
        })
    }

    fn redeem_join_token(&self, hash: String, joined_ms: u64, certificate: CertificateRecord) -> Answer<'_, bool> {
        answer(async move {
            let CertificateRecord { node, made, ends } = certificate;
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            if transaction.execute("DELETE FROM fleet_join_token WHERE hash = $1", &[&hash]).await? == 0 {
                return Ok(false);
            }
            let upsert = "INSERT INTO fleet_node AS kept (name, joined_ms, certificate_made, certificate_ends)
                VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO UPDATE SET joined_ms = excluded.joined_ms,
                    certificate_ends = excluded.certificate_ends,
                    certificate_made = greatest(excluded.certificate_made, kept.certificate_made)";
            transaction.execute(upsert, &[&node, &number(joined_ms), &made, &ends]).await?;
            transaction.commit().await?;
            Ok(true)
        })
    }

    fn note_renewal(&self, shown: i64, certificate: CertificateRecord) -> Answer<'_, bool> {
        answer(async move {
            let CertificateRecord { node, made, ends } = certificate;
            let upsert = "INSERT INTO fleet_node AS kept (name, certificate_made, certificate_ends)
                VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET certificate_ends = excluded.certificate_ends,
                    certificate_made = greatest(excluded.certificate_made, kept.certificate_made)
                WHERE kept.revoked_until IS NULL OR kept.revoked_until < $4";
            Ok(self.client().await?.execute(upsert, &[&node, &made, &ends, &shown]).await? > 0)
        })
    }

    fn revoke_member(&self, name: String, until: i64) -> Answer<'_, ()> {
        answer(async move {
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            transaction.execute("DELETE FROM fleet_join_token WHERE node = $1", &[&clean(&name)]).await?;
            let upsert = "INSERT INTO fleet_node AS kept (name, revoked_until) VALUES ($1, $2)
                ON CONFLICT (name) DO UPDATE SET
                    revoked_until = greatest(excluded.revoked_until, kept.revoked_until, kept.certificate_made)";
            transaction.execute(upsert, &[&clean(&name), &until]).await?;
            Ok(transaction.commit().await?)
        })
    }

    fn revocations(&self) -> Answer<'_, Vec<(String, i64)>> {
        answer(async move {
            let select = "SELECT name, revoked_until FROM fleet_node WHERE revoked_until IS NOT NULL";
            let rows = self.client().await?.query(select, &[]).await?;
            Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
        })
    }
}

fn read_node(row: &Row) -> NodeRecord {
    NodeRecord {
        name: row.get(0),
        joined_ms: row.get::<_, Option<i64>>(1).map(i64::unsigned_abs),
        certificate_ends: row.get(2),
        revoked_until: row.get(3),
    }
}
