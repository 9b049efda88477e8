//! Who may use the admin API: users, their sessions, API tokens. Secrets are here as hashes alone.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Answer, StoreError};

/// A person, or what signs in like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserRecord {
    pub(crate) name: String,
    /// Label of a role.
    pub(crate) role: String,
    /// Argon2id, in PHC form.
    pub(crate) password_hash: String,
    /// Unix time, milliseconds.
    pub(crate) created_ms: u64,
    pub(crate) signed_in_ms: Option<u64>,
}

/// A browser that signed in. It goes with its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRecord {
    /// SHA-256 of the cookie's value, hex.
    pub(crate) hash: String,
    pub(crate) user: String,
    /// Unix time, milliseconds.
    pub(crate) opened_ms: u64,
    pub(crate) used_ms: u64,
}

/// A key for programs. It goes with its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenRecord {
    /// Names it in lists and in the trail.
    pub(crate) id: String,
    /// SHA-256 of the token, hex.
    pub(crate) hash: String,
    pub(crate) comment: String,
    /// Label of a role.
    pub(crate) role: String,
    /// Who made it; none where that was the holder of the token file.
    pub(crate) owner: Option<String>,
    /// Unix time, milliseconds.
    pub(crate) created_ms: u64,
    pub(crate) expires_ms: u64,
    pub(crate) used_ms: Option<u64>,
}

/// What is changed of a user. A new password ends the user's sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct UserChange {
    pub(crate) role: Option<String>,
    pub(crate) password_hash: Option<String>,
}

/// What became of a change to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserOutcome {
    Absent,
    Done,
    /// Nobody would be left to mend it.
    LastAdmin,
    Taken,
}

/// Keeps users, sessions and tokens.
pub(crate) trait AccessStore: Send + Sync {
    fn users(&self) -> Answer<'_, Vec<UserRecord>>;
    fn user(&self, name: String) -> Answer<'_, Option<UserRecord>>;
    fn add_user(&self, user: UserRecord) -> Answer<'_, UserOutcome>;
    /// Adds a user where there is none at all: of many who try at once, one does.
    fn add_first_user(&self, user: UserRecord) -> Answer<'_, UserOutcome>;
    fn change_user(&self, name: String, change: UserChange) -> Answer<'_, UserOutcome>;
    fn remove_user(&self, name: String) -> Answer<'_, UserOutcome>;
    /// Opens a session, notes the sign-in at its user, and forgets sessions that were not used since `idle_since_ms`.
    fn open_session(&self, session: SessionRecord, idle_since_ms: u64) -> Answer<'_, ()>;
    fn session(&self, hash: String) -> Answer<'_, Option<(SessionRecord, UserRecord)>>;
    fn touch_session(&self, hash: String, now_ms: u64) -> Answer<'_, ()>;
    fn close_session(&self, hash: String) -> Answer<'_, ()>;
    fn tokens(&self) -> Answer<'_, Vec<TokenRecord>>;
    fn token(&self, hash: String) -> Answer<'_, Option<TokenRecord>>;
    fn add_token(&self, token: TokenRecord) -> Answer<'_, ()>;
    fn touch_token(&self, id: String, now_ms: u64) -> Answer<'_, ()>;
    /// Whether there was one.
    fn remove_token(&self, id: String) -> Answer<'_, bool>;
}

pub(super) fn select_users(connection: &Connection) -> Result<Vec<UserRecord>, StoreError> {
    let query = format!("SELECT {USER} FROM access_user ORDER BY name");
    let mut statement = connection.prepare_cached(&query)?;
    let rows = statement.query_map([], |row| read_user(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn select_user(connection: &Connection, name: &str) -> Result<Option<UserRecord>, StoreError> {
    let query = format!("SELECT {USER} FROM access_user WHERE name = ?");
    Ok(connection.prepare_cached(&query)?.query_row([name], |row| read_user(row, 0)).optional()?)
}

pub(super) fn insert_user(connection: &Connection, user: &UserRecord) -> Result<UserOutcome, StoreError> {
    let insert = format!("INSERT INTO access_user ({USER}) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING");
    let UserRecord { name, role, password_hash, created_ms, signed_in_ms } = user;
    let added = connection.execute(&insert, params![name, role, password_hash, created_ms, signed_in_ms])?;
    Ok(if added == 1 { UserOutcome::Done } else { UserOutcome::Taken })
}

pub(super) fn insert_first_user(connection: &Connection, user: &UserRecord) -> Result<UserOutcome, StoreError> {
    let is_first = "SELECT NOT EXISTS (SELECT 1 FROM access_user)";
    if connection.query_row(is_first, [], |row| row.get(0))? {
        insert_user(connection, user)
    } else {
        Ok(UserOutcome::Taken)
    }
}

pub(super) fn update_user(connection: &Connection, name: &str, change: &UserChange) -> Result<UserOutcome, StoreError> {
    if change.role.as_ref().is_some_and(|role| role != ADMIN) && is_last_admin(connection, name)? {
        return Ok(UserOutcome::LastAdmin);
    }
    let update = "UPDATE access_user SET role = coalesce(?2, role), password_hash = coalesce(?3, password_hash)
        WHERE name = ?1";
    let changed = connection.execute(update, params![name, change.role, change.password_hash])?;
    if change.password_hash.is_some() {
        connection.execute("DELETE FROM access_session WHERE user = ?", [name])?;
    }
    Ok(if changed == 1 { UserOutcome::Done } else { UserOutcome::Absent })
}

pub(super) fn delete_user(connection: &Connection, name: &str) -> Result<UserOutcome, StoreError> {
    if is_last_admin(connection, name)? {
        return Ok(UserOutcome::LastAdmin);
    }
    let removed = connection.execute("DELETE FROM access_user WHERE name = ?", [name])?;
    Ok(if removed == 1 { UserOutcome::Done } else { UserOutcome::Absent })
}

fn is_last_admin(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    let count = "SELECT count(*) = 1 AND max(name) = ? FROM access_user WHERE role = ?";
    Ok(connection.query_row(count, [name, ADMIN], |row| row.get::<_, Option<bool>>(0))?.unwrap_or(false))
}

pub(super) fn insert_session(
    connection: &Connection,
    session: &SessionRecord,
    idle_since_ms: u64,
) -> Result<(), StoreError> {
    let SessionRecord { hash, user, opened_ms, used_ms } = session;
    connection.execute("DELETE FROM access_session WHERE used_ms < ?", [idle_since_ms])?;
    let insert = format!("INSERT INTO access_session ({SESSION}) VALUES (?, ?, ?, ?)");
    connection.execute(&insert, params![hash, user, opened_ms, used_ms])?;
    connection.execute("UPDATE access_user SET signed_in_ms = ? WHERE name = ?", params![opened_ms, user])?;
    Ok(())
}

pub(super) fn select_session(
    connection: &Connection,
    hash: &str,
) -> Result<Option<(SessionRecord, UserRecord)>, StoreError> {
    let query =
        "SELECT s.hash, s.user, s.opened_ms, s.used_ms, u.name, u.role, u.password_hash, u.created_ms, u.signed_in_ms
        FROM access_session s JOIN access_user u ON u.name = s.user WHERE s.hash = ?";
    let read = |row: &Row<'_>| {
        let session =
            SessionRecord { hash: row.get(0)?, user: row.get(1)?, opened_ms: row.get(2)?, used_ms: row.get(3)? };
        Ok((session, read_user(row, 4)?))
    };
    Ok(connection.prepare_cached(query)?.query_row([hash], read).optional()?)
}

pub(super) fn select_tokens(connection: &Connection) -> Result<Vec<TokenRecord>, StoreError> {
    let query = format!("SELECT {TOKEN} FROM access_token ORDER BY created_ms DESC, id");
    let mut statement = connection.prepare_cached(&query)?;
    let rows = statement.query_map([], read_token)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn select_token(connection: &Connection, hash: &str) -> Result<Option<TokenRecord>, StoreError> {
    let query = format!("SELECT {TOKEN} FROM access_token WHERE hash = ?");
    Ok(connection.prepare_cached(&query)?.query_row([hash], read_token).optional()?)
}

pub(super) fn insert_token(connection: &Connection, token: &TokenRecord) -> Result<(), StoreError> {
    let insert = format!("INSERT INTO access_token ({TOKEN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    let TokenRecord { id, hash, comment, role, owner, created_ms, expires_ms, used_ms } = token;
    connection.execute(&insert, params![id, hash, comment, role, owner, created_ms, expires_ms, used_ms])?;
    Ok(())
}

/// Runs a statement with one moment and one key; answers whether a row was there.
pub(super) fn touch(connection: &Connection, update: &str, now_ms: u64, key: &str) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached(update)?.execute(params![now_ms, key])? > 0)
}

/// Removes the row of one key; answers whether it was there.
pub(super) fn delete(connection: &Connection, statement: &str, key: &str) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached(statement)?.execute([key])? > 0)
}

fn read_user(row: &Row<'_>, first: usize) -> rusqlite::Result<UserRecord> {
    Ok(UserRecord {
        name: row.get(first)?,
        role: row.get(first + 1)?,
        password_hash: row.get(first + 2)?,
        created_ms: row.get(first + 3)?,
        signed_in_ms: row.get(first + 4)?,
    })
}

fn read_token(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    Ok(TokenRecord {
        id: row.get(0)?,
        hash: row.get(1)?,
        comment: row.get(2)?,
        role: row.get(3)?,
        owner: row.get(4)?,
        created_ms: row.get(5)?,
        expires_ms: row.get(6)?,
        used_ms: row.get(7)?,
    })
}

/// The role that there is always one of.
pub(super) const ADMIN: &str = "admin";
pub(super) const USER: &str = "name, role, password_hash, created_ms, signed_in_ms";
pub(super) const SESSION: &str = "hash, \"user\", opened_ms, used_ms";
pub(super) const TOKEN: &str = "id, hash, comment, role, owner, created_ms, expires_ms, used_ms";
