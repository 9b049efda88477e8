//! Who belongs to the fleet across machines: data planes that joined, those that were revoked, and tokens for those to come.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Answer, StoreError};

/// A data plane that joined, or that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeRecord {
    pub(crate) name: String,
    /// When it last joined, Unix milliseconds; none where it never joined here.
    pub(crate) joined_ms: Option<u64>,
    /// The last second of its newest certificate; none where none was signed here.
    pub(crate) certificate_ends: Option<i64>,
    /// Certificates that were signed until this second are refused.
    pub(crate) revoked_until: Option<i64>,
}

/// A certificate that was signed for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateRecord {
    pub(crate) node: String,
    /// Unix second at which it was signed.
    pub(crate) made: i64,
    /// Its last second.
    pub(crate) ends: i64,
}

/// A token by which one node may join, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinTokenRecord {
    /// SHA-256 of the secret, hex.
    pub(crate) hash: String,
    pub(crate) node: String,
    pub(crate) expires_ms: u64,
}

/// Keeps the fleet's members. Each method is one step that others see whole or not at all.
pub(crate) trait NodeStore: Send + Sync {
    fn members(&self) -> Answer<'_, Vec<NodeRecord>>;
    fn member(&self, name: String) -> Answer<'_, Option<NodeRecord>>;
    /// Adds a token, and forgets those that ended before `now_ms`.
    fn add_join_token(&self, token: JoinTokenRecord, now_ms: u64) -> Answer<'_, ()>;
    fn join_token(&self, hash: String) -> Answer<'_, Option<JoinTokenRecord>>;
    /// Takes a token away and notes the certificate that was signed for it; whether the token was there: of two who come
    /// with it at once, one is told so.
    fn redeem_join_token(&self, hash: String, joined_ms: u64, certificate: CertificateRecord) -> Answer<'_, bool>;
    /// Notes a certificate that takes the place of one that was signed at `shown`; whether that one was not revoked
    /// meanwhile.
    fn note_renewal(&self, shown: i64, certificate: CertificateRecord) -> Answer<'_, bool>;
    /// Refuses what was signed for the name until `until`, Unix seconds, and what was signed by a clock that is ahead; forgets
    /// its tokens.
    fn revoke_member(&self, name: String, until: i64) -> Answer<'_, ()>;
    /// Names that were revoked, each with the second until which its certificates are refused.
    fn revocations(&self) -> Answer<'_, Vec<(String, i64)>>;
}

pub(super) fn select_all(connection: &Connection) -> Result<Vec<NodeRecord>, StoreError> {
    let query = format!("SELECT {NODE} FROM fleet_node ORDER BY name");
    let mut statement = connection.prepare_cached(&query)?;
    let rows = statement.query_map([], read_node)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn select_one(connection: &Connection, name: &str) -> Result<Option<NodeRecord>, StoreError> {
    let query = format!("SELECT {NODE} FROM fleet_node WHERE name = ?");
    Ok(connection.prepare_cached(&query)?.query_row([name], read_node).optional()?)
}

pub(super) fn insert_token(connection: &Connection, token: &JoinTokenRecord, now_ms: u64) -> Result<(), StoreError> {
    connection.execute("DELETE FROM fleet_join_token WHERE expires_ms <= ?", [now_ms])?;
    let JoinTokenRecord { hash, node, expires_ms } = token;
    let insert = "INSERT INTO fleet_join_token (hash, node, expires_ms) VALUES (?, ?, ?)";
    connection.execute(insert, params![hash, node, expires_ms])?;
    Ok(())
}

pub(super) fn select_token(connection: &Connection, hash: &str) -> Result<Option<JoinTokenRecord>, StoreError> {
    let query = "SELECT hash, node, expires_ms FROM fleet_join_token WHERE hash = ?";
    let read = |row: &Row<'_>| Ok(JoinTokenRecord { hash: row.get(0)?, node: row.get(1)?, expires_ms: row.get(2)? });
    Ok(connection.prepare_cached(query)?.query_row([hash], read).optional()?)
}

pub(super) fn redeem(
    connection: &Connection,
    hash: &str,
    joined_ms: u64,
    certificate: &CertificateRecord,
) -> Result<bool, StoreError> {
    if connection.execute("DELETE FROM fleet_join_token WHERE hash = ?", [hash])? == 0 {
        return Ok(false);
    }
    let CertificateRecord { node, made, ends } = certificate;
    let upsert = "INSERT INTO fleet_node (name, joined_ms, certificate_made, certificate_ends) VALUES (?, ?, ?, ?)
        ON CONFLICT DO UPDATE SET joined_ms = excluded.joined_ms, certificate_ends = excluded.certificate_ends,
            certificate_made = max(excluded.certificate_made, coalesce(certificate_made, 0))";
    connection.execute(upsert, params![node, joined_ms, made, ends])?;
    Ok(true)
}

pub(super) fn renew(connection: &Connection, shown: i64, certificate: &CertificateRecord) -> Result<bool, StoreError> {
    let CertificateRecord { node, made, ends } = certificate;
    let upsert = "INSERT INTO fleet_node (name, certificate_made, certificate_ends) VALUES (?1, ?2, ?3)
        ON CONFLICT DO UPDATE SET certificate_ends = excluded.certificate_ends,
            certificate_made = max(excluded.certificate_made, coalesce(certificate_made, 0))
        WHERE coalesce(revoked_until, ?4 - 1) < ?4";
    Ok(connection.execute(upsert, params![node, made, ends, shown])? > 0)
}

pub(super) fn revoke(connection: &Connection, name: &str, until: i64) -> Result<(), StoreError> {
    connection.execute("DELETE FROM fleet_join_token WHERE node = ?", [name])?;
    let upsert = "INSERT INTO fleet_node (name, revoked_until) VALUES (?, ?) ON CONFLICT DO UPDATE SET
        revoked_until = max(excluded.revoked_until, coalesce(revoked_until, 0), coalesce(certificate_made, 0))";
    connection.execute(upsert, params![name, until])?;
    Ok(())
}

pub(super) fn select_revocations(connection: &Connection) -> Result<Vec<(String, i64)>, StoreError> {
    let query = "SELECT name, revoked_until FROM fleet_node WHERE revoked_until IS NOT NULL";
    let mut statement = connection.prepare_cached(query)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read_node(row: &Row<'_>) -> rusqlite::Result<NodeRecord> {
    Ok(NodeRecord {
        name: row.get(0)?,
        joined_ms: row.get(1)?,
        certificate_ends: row.get(2)?,
        revoked_until: row.get(3)?,
    })
}

pub(super) const NODE: &str = "name, joined_ms, certificate_ends, revoked_until";
