//! The store of what daemons share beside events: the way to it, and its tables.

use std::future::Future;
use std::sync::Arc;

use deadpool_postgres::{Object, Pool};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::connect::{self, PATIENCE};
use super::{clean, schema, told};
use crate::config::PostgresSettings;
use crate::store::{Answer, NodeStore, StoreError};

/// Handle to the store. The database may be away: what is asked then fails, and is asked again by whoever needs it.
pub(crate) struct SharedStore {
    pool: Pool,
    /// What this daemon kept for itself before: whom it revoked stays revoked.
    before: Arc<dyn NodeStore>,
    /// Set once the tables were seen to.
    prepared: OnceCell<()>,
}

impl SharedStore {
    /// Dials nobody yet. Within a runtime.
    pub(crate) fn open(settings: &PostgresSettings, before: Arc<dyn NodeStore>) -> Result<Self, StoreError> {
        Ok(Self { pool: connect::pool(settings)?, before, prepared: OnceCell::new() })
    }

    /// A connection, once the tables are there.
    pub(super) async fn client(&self) -> Result<Object, StoreError> {
        let mut client = self.pool.get().await.map_err(|error| StoreError::Away(told(&error)))?;
        self.prepared.get_or_try_init(|| self.prepare(&mut client)).await?;
        Ok(client)
    }

    /// Brings the tables up to date, and refuses those from the future. Daemons that start at once take turns.
    async fn prepare(&self, client: &mut Client) -> Result<(), StoreError> {
        let revoked = self.before.revocations().await?;
        schema::check_encoding(client).await?;
        let transaction = client.transaction().await?;
        schema::lock(&transaction).await?;
        schema::upgrade(&transaction, "access_version", STEPS).await?;
        // Nobody comes back by a certificate that this daemon alone knew to be worthless. A later revocation, and a node
        // that joined after, stay as they are.
        let upsert = "INSERT INTO fleet_node AS kept (name, revoked_until) VALUES ($1, $2) ON CONFLICT (name)
            DO UPDATE SET revoked_until = greatest(excluded.revoked_until, kept.revoked_until)";
        for (name, until) in revoked {
            transaction.execute(upsert, &[&clean(&name), &until]).await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// What `work` gives, unless the database takes too long: somebody waits for it.
pub(super) fn answer<'a, T>(work: impl Future<Output = Result<T, StoreError>> + Send + 'a) -> Answer<'a, T> {
    Box::pin(async {
        let late = || Err(StoreError::Away(format!("no answer within {} s", PATIENCE.as_secs())));
        timeout(PATIENCE, work).await.unwrap_or_else(|_| late())
    })
}

/// As in `store::schema`. Text is compared by its bytes, as SQLite does. A step never changes once it was released.
const STEPS: &[&str] = &["
CREATE TABLE access_user (
    name text COLLATE \"C\" PRIMARY KEY,
    role text NOT NULL,
    password_hash text NOT NULL,
    created_ms bigint NOT NULL,
    signed_in_ms bigint
);

-- Cookies and tokens are here as SHA-256: who reads the table cannot sign in with what it finds.
CREATE TABLE access_session (
    hash text COLLATE \"C\" PRIMARY KEY,
    \"user\" text COLLATE \"C\" NOT NULL REFERENCES access_user (name) ON DELETE CASCADE,
    opened_ms bigint NOT NULL,
    used_ms bigint NOT NULL
);
CREATE INDEX ON access_session (\"user\");
CREATE INDEX ON access_session (used_ms);

CREATE TABLE access_token (
    id text COLLATE \"C\" PRIMARY KEY,
    hash text COLLATE \"C\" NOT NULL UNIQUE,
    comment text NOT NULL,
    role text NOT NULL,
    owner text COLLATE \"C\" REFERENCES access_user (name) ON DELETE CASCADE,
    created_ms bigint NOT NULL,
    expires_ms bigint NOT NULL,
    used_ms bigint
);

CREATE TABLE access_trail (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time text NOT NULL,
    who text COLLATE \"C\" NOT NULL,
    role text,
    address text NOT NULL,
    act text COLLATE \"C\" NOT NULL,
    subject text NOT NULL,
    outcome text NOT NULL
);

-- Data planes of other machines, and tokens (as SHA-256 of their secrets) by which others may join.
CREATE TABLE fleet_node (
    name text COLLATE \"C\" PRIMARY KEY,
    joined_ms bigint,
    certificate_ends bigint,
    revoked_until bigint,
    certificate_made bigint
);
CREATE TABLE fleet_join_token (
    hash text COLLATE \"C\" PRIMARY KEY,
    node text COLLATE \"C\" NOT NULL,
    expires_ms bigint NOT NULL
);
"];
