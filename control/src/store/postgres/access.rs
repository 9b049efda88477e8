//! Users, sessions and tokens, as `store::access` keeps them in SQLite.

use tokio_postgres::{Row, Transaction};

use super::shared::{SharedStore, answer};
use super::{clean, number};
use crate::store::access::{
    ADMIN, AccessStore, SESSION, SessionRecord, TOKEN, TokenRecord, USER, UserChange, UserOutcome, UserRecord,
};
use crate::store::{Answer, StoreError};

impl AccessStore for SharedStore {
    fn users(&self) -> Answer<'_, Vec<UserRecord>> {
        answer(async move {
            let rows =
                self.client().await?.query(&format!("SELECT {USER} FROM access_user ORDER BY name"), &[]).await?;
            Ok(rows.iter().map(|row| read_user(row, 0)).collect())
        })
    }

    fn user(&self, name: String) -> Answer<'_, Option<UserRecord>> {
        answer(async move {
            let select = format!("SELECT {USER} FROM access_user WHERE name = $1");
            Ok(self.client().await?.query_opt(&select, &[&clean(&name)]).await?.map(|row| read_user(&row, 0)))
        })
    }

    fn add_user(&self, user: UserRecord) -> Answer<'_, UserOutcome> {
        answer(async move {
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            let outcome = insert_user(&transaction, &user).await?;
            transaction.commit().await?;
            Ok(outcome)
        })
    }

    fn add_first_user(&self, user: UserRecord) -> Answer<'_, UserOutcome> {
        answer(async move {
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            one_at_a_time(&transaction).await?;
            let is_first = "SELECT NOT EXISTS (SELECT 1 FROM access_user)";
            if !transaction.query_one(is_first, &[]).await?.get::<_, bool>(0) {
                return Ok(UserOutcome::Taken);
            }
            let outcome = insert_user(&transaction, &user).await?;
            transaction.commit().await?;
            Ok(outcome)
        })
    }

    fn change_user(&self, name: String, change: UserChange) -> Answer<'_, UserOutcome> {
        answer(async move {
            let name = clean(&name);
            let UserChange { role, password_hash } = change;
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            one_at_a_time(&transaction).await?;
            if role.as_ref().is_some_and(|role| role != ADMIN) && is_last_admin(&transaction, &name).await? {
                return Ok(UserOutcome::LastAdmin);
            }
            let update = "UPDATE access_user SET role = coalesce($2, role),
                password_hash = coalesce($3, password_hash) WHERE name = $1";
            let changed = transaction.execute(update, &[&name, &role, &password_hash]).await?;
            if password_hash.is_some() {
                transaction.execute("DELETE FROM access_session WHERE \"user\" = $1", &[&name]).await?;
            }
            transaction.commit().await?;
            Ok(if changed == 1 { UserOutcome::Done } else { UserOutcome::Absent })
        })
    }

    fn remove_user(&self, name: String) -> Answer<'_, UserOutcome> {
        answer(async move {
            let name = clean(&name);
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            one_at_a_time(&transaction).await?;
            if is_last_admin(&transaction, &name).await? {
                return Ok(UserOutcome::LastAdmin);
            }
            let removed = transaction.execute("DELETE FROM access_user WHERE name = $1", &[&name]).await?;
            transaction.commit().await?;
            Ok(if removed == 1 { UserOutcome::Done } else { UserOutcome::Absent })
        })
    }

    fn open_session(&self, session: SessionRecord, idle_since_ms: u64) -> Answer<'_, ()> {
        answer(async move {
            let SessionRecord { hash, user, opened_ms, used_ms } = session;
            let (opened_ms, used_ms) = (number(opened_ms), number(used_ms));
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            let update = "UPDATE access_user SET signed_in_ms = $1 WHERE name = $2";
            transaction.execute(update, &[&opened_ms, &user]).await?;
            let delete = "DELETE FROM access_session WHERE used_ms < $1";
            transaction.execute(delete, &[&number(idle_since_ms)]).await?;
            let insert = format!("INSERT INTO access_session ({SESSION}) VALUES ($1, $2, $3, $4)");
            transaction.execute(&insert, &[&hash, &user, &opened_ms, &used_ms]).await?;
            Ok(transaction.commit().await?)
        })
    }

    fn session(&self, hash: String) -> Answer<'_, Option<(SessionRecord, UserRecord)>> {
        answer(async move {
            let select = "SELECT s.hash, s.\"user\", s.opened_ms, s.used_ms,
                    u.name, u.role, u.password_hash, u.created_ms, u.signed_in_ms
                FROM access_session s JOIN access_user u ON u.name = s.\"user\" WHERE s.hash = $1";
            let row = self.client().await?.query_opt(select, &[&hash]).await?;
            Ok(row.map(|row| {
                let (opened_ms, used_ms) = (moment(&row, 2), moment(&row, 3));
                let session = SessionRecord { hash: row.get(0), user: row.get(1), opened_ms, used_ms };
                (session, read_user(&row, 4))
            }))
        })
    }

    fn touch_session(&self, hash: String, now_ms: u64) -> Answer<'_, ()> {
        // Of two daemons that both note a use the later one stays.
        let update = "UPDATE access_session SET used_ms = greatest(used_ms, $1) WHERE hash = $2";
        answer(async move {
            self.client().await?.execute(update, &[&number(now_ms), &hash]).await?;
            Ok(())
        })
    }

    fn close_session(&self, hash: String) -> Answer<'_, ()> {
        answer(async move {
            self.client().await?.execute("DELETE FROM access_session WHERE hash = $1", &[&hash]).await?;
            Ok(())
        })
    }

    fn tokens(&self) -> Answer<'_, Vec<TokenRecord>> {
        answer(async move {
            let select = format!("SELECT {TOKEN} FROM access_token ORDER BY created_ms DESC, id");
            Ok(self.client().await?.query(&select, &[]).await?.iter().map(read_token).collect())
        })
    }

    fn token(&self, hash: String) -> Answer<'_, Option<TokenRecord>> {
        answer(async move {
            let select = format!("SELECT {TOKEN} FROM access_token WHERE hash = $1");
            Ok(self.client().await?.query_opt(&select, &[&hash]).await?.as_ref().map(read_token))
        })
    }

    fn add_token(&self, token: TokenRecord) -> Answer<'_, ()> {
        answer(async move {
            let TokenRecord { id, hash, comment, role, owner, created_ms, expires_ms, used_ms } = token;
            let (created_ms, expires_ms, used_ms) = (number(created_ms), number(expires_ms), used_ms.map(number));
            let insert = format!("INSERT INTO access_token ({TOKEN}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
            self.client()
                .await?
                .execute(&insert, &[&id, &hash, &clean(&comment), &role, &owner, &created_ms, &expires_ms, &used_ms])
                .await?;
            Ok(())
        })
    }

    fn touch_token(&self, id: String, now_ms: u64) -> Answer<'_, ()> {
        // As of sessions.
        let update = "UPDATE access_token SET used_ms = greatest(used_ms, $1) WHERE id = $2";
        answer(async move {
            self.client().await?.execute(update, &[&number(now_ms), &id]).await?;
            Ok(())
        })
    }

    fn remove_token(&self, id: String) -> Answer<'_, bool> {
        answer(async move {
            let delete = "DELETE FROM access_token WHERE id = $1";
            Ok(self.client().await?.execute(delete, &[&clean(&id)]).await? > 0)
        })
    }
}

/// Whoever asks who there is before changing it keeps others from changing it meanwhile.
async fn one_at_a_time(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    Ok(transaction.batch_execute("LOCK TABLE access_user IN SHARE ROW EXCLUSIVE MODE").await?)
}

async fn insert_user(transaction: &Transaction<'_>, user: &UserRecord) -> Result<UserOutcome, StoreError> {
    let UserRecord { name, role, password_hash, created_ms, signed_in_ms } = user;
    let insert = format!("INSERT INTO access_user ({USER}) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING");
    let (created_ms, signed_in_ms) = (number(*created_ms), signed_in_ms.map(number));
    let added = transaction.execute(&insert, &[name, role, password_hash, &created_ms, &signed_in_ms]).await?;
    Ok(if added == 1 { UserOutcome::Done } else { UserOutcome::Taken })
}

async fn is_last_admin(transaction: &Transaction<'_>, name: &str) -> Result<bool, StoreError> {
    let count = "SELECT coalesce(count(*) = 1 AND max(name) = $1, false) FROM access_user WHERE role = $2";
    Ok(transaction.query_one(count, &[&name, &ADMIN]).await?.get(0))
}

fn read_user(row: &Row, first: usize) -> UserRecord {
    UserRecord {
        name: row.get(first),
        role: row.get(first + 1),
        password_hash: row.get(first + 2),
        created_ms: moment(row, first + 3),
        signed_in_ms: row.get::<_, Option<i64>>(first + 4).map(i64::unsigned_abs),
    }
}

fn read_token(row: &Row) -> TokenRecord {
    TokenRecord {
        id: row.get(0),
        hash: row.get(1),
        comment: row.get(2),
        role: row.get(3),
        owner: row.get(4),
        created_ms: moment(row, 5),
        expires_ms: moment(row, 6),
        used_ms: row.get::<_, Option<i64>>(7).map(i64::unsigned_abs),
    }
}

/// Unix milliseconds.
fn moment(row: &Row, place: usize) -> u64 {
    row.get::<_, i64>(place).unsigned_abs()
}
