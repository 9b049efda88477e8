//! The embedded store: one SQLite file in WAL mode, one writing thread, readers beside it.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, oneshot, watch};

use super::access::{self, AccessStore, SessionRecord, TokenRecord, UserChange, UserOutcome, UserRecord};
use super::audit::{AuditStore, EventPage, EventQuery, IncomingEvent};
use super::denial::{self, DenialCount, DenialQuery};
use super::export::{self, ExportStore, Progress};
use super::node::{self, CertificateRecord, JoinTokenRecord, NodeRecord, NodeStore};
use super::policy::{self, Addition, Head, PolicyStore, Revision, RevisionSource};
use super::trail::{self, TrailEntry, TrailQuery, TrailStore};
use super::writer::{self, Command, Writer};
use super::{Answer, Retention, StoreError, query, schema};

/// Answers Unix milliseconds.
pub(crate) type Clock = fn() -> u64;

/// Handle to the store; clones share it. The file is closed when the last clone is gone.
#[derive(Clone)]
pub(crate) struct SqliteStore {
    commands: mpsc::Sender<Command>,
    readers: Arc<Readers>,
}

/// Connections for reading, opened as needed and kept.
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl SqliteStore {
    /// Opens the file, creates or updates its tables, and starts the writer, which keeps audit events as `retention` says.
    pub(crate) fn open(path: &Path, retention: Retention, clock: Clock) -> Result<Self, StoreError> {
        fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let mut connection =
            open_for_writing(path).map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        schema::migrate(&mut connection, path)?;
        let (commands, queue) = mpsc::channel(writer::QUEUE_COMMANDS_MAX);
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || Writer::new(connection, retention, clock).run(queue))?;
        Ok(Self { commands, readers: Arc::new(Readers { path: path.to_owned(), idle: Mutex::default() }) })
    }

    async fn write<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }

    /// Runs `work` in a transaction of the writer's.
    fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(self.write(|reply| writer::change(work, reply)))
    }

    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'static, T> {
        let readers = Arc::clone(&self.readers);
        Box::pin(async move {
            tokio::task::spawn_blocking(move || readers.with(work)).await.map_err(|_| StoreError::Stopped)?
        })
    }
}

impl PolicyStore for SqliteStore {
    fn append(&self, addition: Addition) -> Answer<'_, ()> {
        self.change(move |connection| policy::insert(connection, &addition))
    }

    fn head(&self) -> Answer<'_, Head> {
        self.read(policy::select_head)
    }

    fn latest_from(&self, source: RevisionSource) -> Answer<'_, Option<Revision>> {
        self.read(move |connection| policy::select_latest_from(connection, source))
    }

    fn revision(&self, epoch: u64) -> Answer<'_, Option<Revision>> {
        self.read(move |connection| policy::select_one(connection, epoch))
    }

    fn save_rollout(&self, before: Option<String>, state: Option<String>) -> Answer<'_, ()> {
        self.change(move |connection| policy::replace_rollout(connection, before.as_deref(), state.as_deref()))
    }

    fn history(&self, before: Option<u64>, count_max: usize) -> Answer<'_, Vec<Revision>> {
        self.read(move |connection| policy::select_before(connection, before, count_max))
    }

    fn changes(&self) -> watch::Receiver<()> {
        // The state directory is locked.
        watch::channel(()).1
    }
}

impl AuditStore for SqliteStore {
    fn record(&self, node: String, boot: String, events: Vec<IncomingEvent>) -> Answer<'_, usize> {
        Box::pin(self.write(|reply| Command::RecordEvents { node, boot, events, reply }))
    }

    fn events(&self, query: EventQuery) -> Answer<'_, EventPage> {
        self.read(move |connection| query::run(connection, &query))
    }

    fn denials(&self, query: DenialQuery) -> Answer<'_, Vec<DenialCount>> {
        self.read(move |connection| denial::count(connection, &query))
    }

    fn tend(&self) {
        // A full queue means that the writer is awake anyway.
        drop(self.commands.try_send(Command::Tend));
    }
}

impl AccessStore for SqliteStore {
    fn users(&self) -> Answer<'_, Vec<UserRecord>> {
        self.read(access::select_users)
    }

    fn user(&self, name: String) -> Answer<'_, Option<UserRecord>> {
        self.read(move |connection| access::select_user(connection, &name))
    }

    fn add_user(&self, user: UserRecord) -> Answer<'_, UserOutcome> {
        self.change(move |connection| access::insert_user(connection, &user))
    }

    fn add_first_user(&self, user: UserRecord) -> Answer<'_, UserOutcome> {
        self.change(move |connection| access::insert_first_user(connection, &user))
    }

    fn change_user(&self, name: String, change: UserChange) -> Answer<'_, UserOutcome> {
        self.change(move |connection| access::update_user(connection, &name, &change))
    }

    fn remove_user(&self, name: String) -> Answer<'_, UserOutcome> {
        self.change(move |connection| access::delete_user(connection, &name))
    }

    fn open_session(&self, session: SessionRecord, idle_since_ms: u64) -> Answer<'_, ()> {
        self.change(move |connection| access::insert_session(connection, &session, idle_since_ms))
    }

    fn session(&self, hash: String) -> Answer<'_, Option<(SessionRecord, UserRecord)>> {
        self.read(move |connection| access::select_session(connection, &hash))
    }

    fn touch_session(&self, hash: String, now_ms: u64) -> Answer<'_, ()> {
        let update = "UPDATE access_session SET used_ms = ? WHERE hash = ?";
        self.change(move |connection| access::touch(connection, update, now_ms, &hash).map(drop))
    }

    fn close_session(&self, hash: String) -> Answer<'_, ()> {
        let delete = "DELETE FROM access_session WHERE hash = ?";
        self.change(move |connection| access::delete(connection, delete, &hash).map(drop))
    }

    fn tokens(&self) -> Answer<'_, Vec<TokenRecord>> {
        self.read(access::select_tokens)
    }

    fn token(&self, hash: String) -> Answer<'_, Option<TokenRecord>> {
        self.read(move |connection| access::select_token(connection, &hash))
    }

    fn add_token(&self, token: TokenRecord) -> Answer<'_, ()> {
        self.change(move |connection| access::insert_token(connection, &token))
    }

    fn touch_token(&self, id: String, now_ms: u64) -> Answer<'_, ()> {
        let update = "UPDATE access_token SET used_ms = ? WHERE id = ?";
        self.change(move |connection| access::touch(connection, update, now_ms, &id).map(drop))
    }

    fn remove_token(&self, id: String) -> Answer<'_, bool> {
        self.change(move |connection| access::delete(connection, "DELETE FROM access_token WHERE id = ?", &id))
    }
}

impl ExportStore for SqliteStore {
    fn progress(&self, name: String) -> Answer<'_, Progress> {
        self.read(move |connection| export::select(connection, &name))
    }

    fn advance(&self, name: String, event: u64) -> Answer<'_, ()> {
        self.change(move |connection| export::upsert(connection, &name, event))
    }
}

impl NodeStore for SqliteStore {
    fn members(&self) -> Answer<'_, Vec<NodeRecord>> {
        self.read(node::select_all)
    }

    fn member(&self, name: String) -> Answer<'_, Option<NodeRecord>> {
        self.read(move |connection| node::select_one(connection, &name))
    }

    fn add_join_token(&self, token: JoinTokenRecord, now_ms: u64) -> Answer<'_, ()> {
        self.change(move |connection| node::insert_token(connection, &token, now_ms))
    }

    fn join_token(&self, hash: String) -> Answer<'_, Option<JoinTokenRecord>> {
        self.read(move |connection| node::select_token(connection, &hash))
    }

    fn redeem_join_token(&self, hash: String, joined_ms: u64, certificate: CertificateRecord) -> Answer<'_, bool> {
        self.change(move |connection| node::redeem(connection, &hash, joined_ms, &certificate))
    }

    fn note_renewal(&self, shown: i64, certificate: CertificateRecord) -> Answer<'_, bool> {
        self.change(move |connection| node::renew(connection, shown, &certificate))
    }

    fn revoke_member(&self, name: String, until: i64) -> Answer<'_, ()> {
        self.change(move |connection| node::revoke(connection, &name, until))
    }

    fn revocations(&self) -> Answer<'_, Vec<(String, i64)>> {
        self.read(node::select_revocations)
    }
}

impl TrailStore for SqliteStore {
    fn add(&self, entry: TrailEntry) -> Answer<'_, ()> {
        self.change(move |connection| trail::insert(connection, &entry))
    }

    fn trail(&self, query: TrailQuery) -> Answer<'_, Vec<TrailEntry>> {
        self.read(move |connection| trail::select(connection, &query))
    }
}

impl Readers {
    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                open_for_reading(&self.path).map_err(|source| StoreError::Open { path: self.path.clone(), source })?
            }
        };
        let result = work(&connection);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS_MAX {
            idle.push(connection);
        }
        result
    }
}

/// Other users may not read it: it tells who signed in where. `synchronous=FULL`: a node deletes its copy of an event once it is told that the event is committed, so "committed"
/// must survive a power cut.
fn open_for_writing(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // A migration writes a long log once, and need not keep the room.
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    connection.set_prepared_statement_cache_capacity(WRITER_STATEMENTS_MAX);
    Ok(connection)
}

fn open_for_reading(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    Ok(connection)
}

/// What is kept of the room of a long log.
const LOG_BYTES_KEPT: i64 = 64 * 1024 * 1024;
/// Statements that the writer keeps prepared: all that it uses often.
const WRITER_STATEMENTS_MAX: usize = 64;
/// Reading connections kept for the next query.
const IDLE_READERS_MAX: usize = 4;
/// How long SQLite waits for another process's lock (a backup, an operator's shell).
const BUSY_WAIT: Duration = Duration::from_secs(5);
