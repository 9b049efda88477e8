//! Puts the parts of the daemon together, runs them, and takes them down in order.
//!
//! Called by `main` and by tests.

use std::fs;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixListener as PassedListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use penstock_core::moment::DAY_MS;
use penstock_core::policy::Diagnostic;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, oneshot, watch};
use zeroize::Zeroizing;

use crate::access::{AccessError, Doors, Gate, Trail};
use crate::admin::{self, Admin, AdminListener, Pages, TlsError, Token, TokenError};
use crate::audit::moment;
use crate::ca::{Authority, CaError, LinkAuthority};
use crate::config::Config;
use crate::export::Exports;
use crate::lock::{Lock, LockError};
use crate::metrics::{self, Exporter};
use crate::oidc::Provider;
use crate::publish::{self, Members, NetworkError, Presence, PublishError, Publisher, SocketError, now_unix};
use crate::service;
use crate::store::{AuditStore, NodeStore, Retention, StoreError, Stores};
use crate::web;

/// A daemon that has everything it needs and listens.
pub struct Daemon {
    admin: Admin,
    /// Told when what never ends by itself is to end.
    stop: watch::Sender<bool>,
    first_password: Option<Zeroizing<String>>,
    events: Arc<dyn AuditStore>,
    listener: AdminListener,
    address: SocketAddr,
    link: UnixListener,
    /// The link's listener for other machines, where there is one.
    network: Option<(TcpListener, SocketAddr)>,
    /// The link's file, where this process made it.
    link_socket: Option<PathBuf>,
    /// The state directory is ours until this is dropped.
    _lock: Lock,
}

/// Why the daemon does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// A file or folder of the state directory.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The admin listener, or that of the link.
    #[error("{what} {address}: {source}")]
    Listen {
        /// Which of them.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The first policy is refused, so there is none to put in force.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Policy(Vec<Diagnostic>),
    /// The policy could not be put in force for another reason.
    #[error("policy: {0}")]
    Publish(String),
    /// See [`CaError`].
    #[error(transparent)]
    Ca(#[from] CaError),
    /// See [`LockError`].
    #[error(transparent)]
    Lock(#[from] LockError),
    /// See [`NetworkError`].
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// See [`SocketError`].
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The first user could not be made.
    #[error("first user: {0}")]
    FirstUser(String),
    /// The OpenID provider's table.
    #[error("[oidc] {0}")]
    Oidc(io::Error),
    /// See [`TlsError`].
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// See [`TokenError`].
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The metrics registry.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The link's server.
    #[error("link: {0}")]
    Link(#[from] tonic::transport::Error),
}

impl Daemon {
    /// Opens the state, puts the stored policy in force, imports the policy file, binds both listeners. The link's is
    /// `link` where a service manager holds it.
    pub async fn start(config: Config, link: Option<PassedListener>) -> Result<Self, DaemonError> {
        let state = &config.state_directory;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(state);
        made.map_err(|source| DaemonError::Io { path: state.clone(), source })?;
        let lock = Lock::take(&state.join("control.lock"))?;
        let authority = Arc::new(Authority::open(state, &config.authority, now_unix())?);
        let token = Token::open_or_create(&config.admin_token_file)?;
        let stores = Stores::open(&state.join("control.db"), &config.store, retention(&config), moment::now_ms)?;
        let deadline = Duration::from_millis(config.acknowledge_deadline_ms);
        let name = config.store.policy.as_ref().map(|settings| settings.name.clone()).unwrap_or_default();
        let (revisions, ca) = (Arc::clone(&stores.policy), Arc::clone(&authority));
        let publisher = Arc::new(Publisher::new(revisions, ca, deadline, now_unix, name.clone()));
        let presence = Presence::new(Arc::clone(publisher.fleet()), stores.presence, name);
        resume(&publisher).await?;
        // Ticket keys for the first node; a renewal that fails is told and tried again.
        tend(&publisher).await;
        if let Some(path) = &config.policy_file {
            import(&publisher, path).await?;
        }
        let link_socket = link.is_none().then(|| config.link_socket.clone());
        let link = match link {
            Some(passed) => UnixListener::from_std(passed)
                .map_err(|source| DaemonError::Io { path: config.link_socket.clone(), source })?,
            None => publish::bind(&config.link_socket)?,
        };
        let (listener, address) = listen(&config).await?;
        let network = match config.link_listen {
            Some(address) => Some(bind("[link] listen", address).await?),
            None => None,
        };
        let members = network.is_some().then(|| members(state, stores.nodes)).transpose()?;
        let provider = provider(&config, address)?;
        let gate = Gate::new(stores.access, doors(&config));
        let first_password = first_password(&gate).await?;
        let (stop, stopping) = watch::channel(false);
        let admin = Admin {
            publisher,
            presence: Arc::new(presence),
            members,
            revisions: stores.policy,
            events: stores.events.clone(),
            exporter: Arc::new(Exporter::new()?),
            exports: Exports::start(config.exports, &stores.events),
            authority,
            gate: Arc::new(gate),
            provider,
            trail: Trail::new(Arc::clone(&stores.trail)),
            trail_store: stores.trail,
            token,
            is_secure: config.admin_tls.is_some(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            stopping,
            state_directory: state.clone(),
        };
        if let Some(settings) = config.metrics_push {
            let admin = admin.clone();
            tokio::spawn(metrics::push(settings, async move || admin.exporter.gather(admin::view(&admin).await)));
        }
        Ok(Self {
            admin,
            stop,
            first_password,
            events: stores.events,
            listener,
            address,
            link,
            network,
            link_socket,
            _lock: lock,
        })
    }

    /// The password of the user `admin`, where this start made that user. It is told here and never again.
    pub fn first_password(&mut self) -> Option<Zeroizing<String>> {
        self.first_password.take()
    }

    /// The admin listener's address, as bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address at which data planes of other machines find the link, as bound.
    pub fn link_address(&self) -> Option<SocketAddr> {
        self.network.as_ref().map(|(_, address)| *address)
    }

    /// Serves until `stop` completes or a part fails. Requests under way get a moment to end; data planes are simply
    /// let go, since they keep what they have.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) -> Result<(), DaemonError> {
        let publisher = Arc::clone(&self.admin.publisher);
        let events = Arc::clone(&self.events);
        let members = self.admin.members.clone();
        let (watched, gate) = (members.clone(), Arc::clone(&self.admin.gate));
        let presence = Arc::clone(&self.admin.presence);
        let network = network(self.network, members, Arc::clone(&publisher), self.events.clone())?;
        let link = publish::serve(self.link, Arc::clone(&publisher), self.events);
        let (drain, draining) = oneshot::channel::<()>();
        let pages = Pages { guarded: web::pages(), open: web::open_pages(), dress: web::dress };
        let api = axum::serve(self.listener, admin::service(self.admin, pages))
            .with_graceful_shutdown(async { drop(draining.await) })
            .into_future();
        let mut api = tokio::spawn(api);
        let address = self.address;
        service::ready(address);
        let ended = |source| DaemonError::Listen { what: ADMIN, address, source };
        tokio::select! {
            () = stop => {}
            result = link => result?,
            () = network => {}
            result = &mut api => return result.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(ended),
            () = renew(&publisher, events.as_ref()) => {}
            () = drive(&publisher) => {}
            () = follow(&publisher) => {}
            () = look(watched) => {}
            () = first_user(gate) => {}
            () = announce(&presence) => {}
            () = service::keep_alive() => {}
        }
        service::stopping();
        tracing::info!("stopping");
        self.stop.send_replace(true);
        drop(presence.withdraw().await);
        let _ = drain.send(());
        if tokio::time::timeout(STOP_PATIENCE, &mut api).await.is_err() {
            api.abort();
        }
        // The next start would remove it too; this keeps the folder honest.
        if let Some(file) = &self.link_socket {
            drop(fs::remove_file(file));
        }
        Ok(())
    }
}

/// Binds the admin listener, with TLS where it is configured.
async fn listen(config: &Config) -> Result<(AdminListener, SocketAddr), DaemonError> {
    let tls = config.admin_tls.as_ref().map(admin::tls_config).transpose()?;
    let (listener, address) = bind(ADMIN, config.listen).await?;
    let listener = match tls {
        Some(tls) => {
            AdminListener::tls(listener, tls).map_err(|source| DaemonError::Listen { what: ADMIN, address, source })?
        }
        None => AdminListener::Plain(listener),
    };
    Ok((listener, address))
}

async fn bind(what: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), DaemonError> {
    let failed = |source| DaemonError::Listen { what, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Who belongs to the fleet across machines.
fn members(state: &Path, store: Arc<dyn NodeStore>) -> Result<Arc<Members>, CaError> {
    let authority = LinkAuthority::open_or_create(state, now_unix())?;
    Ok(Arc::new(Members::new(authority, store, now_unix)))
}

/// Serves the link to other machines; waits for ever where there is no listener for them.
fn network(
    listener: Option<(TcpListener, SocketAddr)>,
    members: Option<Arc<Members>>,
    publisher: Arc<Publisher>,
    events: Arc<dyn AuditStore>,
) -> Result<impl Future<Output = ()> + use<>, NetworkError> {
    let parts = listener.zip(members).map(|((listener, _), members)| {
        publish::network(members, publisher, events).map(|network| (network, listener))
    });
    let parts = parts.transpose()?;
    Ok(async move {
        match parts {
            Some((network, listener)) => match network.serve(listener).await {},
            None => pending().await,
        }
    })
}

/// The OpenID provider, which is asked about itself meanwhile: while it is away the daemon does all else.
fn provider(config: &Config, listen: SocketAddr) -> Result<Option<Arc<Provider>>, DaemonError> {
    let Some(settings) = &config.oidc else { return Ok(None) };
    let redirect = settings.redirect(listen, config.admin_tls.is_some()).unwrap_or_default();
    let provider = Provider::new(settings.clone(), redirect).map_err(DaemonError::Oidc)?;
    let greeted = Arc::clone(&provider);
    tokio::spawn(async move { greeted.greet().await });
    Ok(Some(provider))
}

fn doors(config: &Config) -> Doors {
    config.oidc.as_ref().map_or_else(Doors::default, |settings| Doors {
        passwords: settings.passwords,
        vouched_ms: Some(u64::from(settings.session_minutes) * 60_000),
    })
}

fn retention(config: &Config) -> Retention {
    Retention {
        events_max: config.audit_events_max,
        age_ms_max: config.audit_days_max.map(|days| u64::from(days) * DAY_MS),
        bytes_max: config.audit_bytes_max,
    }
}

/// A stored policy that this version refuses leaves the data planes with what they have, and the API open to mend it.
async fn resume(publisher: &Publisher) -> Result<(), DaemonError> {
    match publisher.resume().await {
        Err(PublishError::Invalid(diagnostics)) => {
            for diagnostic in diagnostics {
                tracing::error!("the stored policy is refused by this version: {diagnostic}");
            }
            Ok(())
        }
        other => other.map_err(other_fault),
    }
}

/// A bad file keeps the stored policy in force; without one there is nothing to serve, so the start fails.
async fn import(publisher: &Publisher, path: &Path) -> Result<(), DaemonError> {
    let file = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| DaemonError::Io { path: path.to_owned(), source })?;
    match publisher.import(file, text).await {
        Ok(Some(epoch)) => tracing::info!(epoch, file = %path.display(), "policy file imported"),
        Ok(None) => tracing::info!(file = %path.display(), "policy file unchanged since its import"),
        Err(PublishError::Invalid(diagnostics)) if publisher.active().is_some() => {
            for diagnostic in diagnostics {
                tracing::error!("the policy file is refused, the stored policy stays in force: {diagnostic}");
            }
        }
        Err(error) => return Err(other_fault(error)),
    }
    Ok(())
}

fn other_fault(error: PublishError) -> DaemonError {
    match error {
        PublishError::Invalid(diagnostics) => DaemonError::Policy(diagnostics),
        PublishError::Ca(error) => error.into(),
        PublishError::Store(error) => error.into(),
        other => DaemonError::Publish(other.to_string()),
    }
}

/// Watches over the life of everything that ends, for ever.
async fn renew(publisher: &Publisher, events: &dyn AuditStore) {
    loop {
        tokio::time::sleep(RENEWAL_CHECK).await;
        tend(publisher).await;
        events.tend();
    }
}

/// Takes over what other daemons publish, for ever.
async fn follow(publisher: &Publisher) {
    let mut changes = publisher.changes();
    while changes.changed().await.is_ok() {
        match publisher.follow().await {
            Ok(()) => {}
            Err(PublishError::Invalid(diagnostics)) => {
                for diagnostic in diagnostics {
                    tracing::error!("a policy that another daemon published is refused by this version: {diagnostic}");
                }
            }
            Err(error) => {
                tracing::error!(%error, "what other daemons publish cannot be taken over; it is tried again");
                tokio::time::sleep(FOLLOW_PAUSE).await;
                changes.mark_changed();
            }
        }
    }
    pending().await
}

/// Makes the first user, where there is none.
async fn first_password(gate: &Gate) -> Result<Option<Zeroizing<String>>, DaemonError> {
    match gate.first_password().await {
        // What needs no users is served all the same: data planes, and the holder of the token file.
        Err(AccessError::Store(error @ StoreError::Away(_))) => {
            tracing::error!(%error, "nobody can sign in, and no node can join, until the store is back");
            Ok(None)
        }
        first => first.map_err(|error| DaemonError::FirstUser(error.to_string())),
    }
}

/// Makes the first user where that could not be done at start. Nobody is there to be told a password.
async fn first_user(gate: Arc<Gate>) {
    loop {
        match gate.first_password().await {
            Ok(None) => break,
            Ok(Some(_)) => {
                tracing::warn!("the user admin has no known password; run: penstock user password admin");
                break;
            }
            Err(error) => tracing::debug!(%error, "the first user cannot be made yet"),
        }
        tokio::time::sleep(RENEWAL_CHECK).await;
    }
    pending().await
}

/// Tells other daemons which data planes are attached here, for ever.
async fn announce(presence: &Presence) {
    if !presence.is_shared() {
        return pending().await;
    }
    let mut is_heard = true;
    loop {
        let announced = presence.announce().await;
        match &announced {
            Err(error) if is_heard => {
                tracing::error!(%error, "other daemons cannot be told what is attached here; it is tried again");
            }
            _ => {}
        }
        is_heard = announced.is_ok();
        tokio::time::sleep(MEMBERS_LOOK).await;
    }
}

/// Sees to it that a node that another control revoked is gone within seconds, and that a file of the link's authority that is
/// copied from another control counts, for ever.
async fn look(members: Option<Arc<Members>>) {
    let Some(members) = members else { return pending().await };
    let mut is_known = true;
    loop {
        let looked = members.look().await;
        match &looked {
            Err(error) if is_known => {
                tracing::error!(%error, "whom other controls revoke is not heard of; it is tried again");
            }
            _ => {}
        }
        is_known = looked.is_ok();
        if let Err(error) = members.reread() {
            tracing::warn!(%error, "the link's authority stays the one that is known");
        }
        tokio::time::sleep(MEMBERS_LOOK).await;
    }
}

/// Drives rollouts on, for ever; sleeps while there is none.
async fn drive(publisher: &Publisher) {
    let mut rollouts = publisher.subscribe_rollout();
    loop {
        match publisher.drive().await {
            Ok(true) => tokio::time::sleep(ROLLOUT_LOOK).await,
            Ok(false) => drop(rollouts.changed().await),
            Err(error) => {
                tracing::error!(%error, "the rollout cannot go on; it is tried again");
                tokio::time::sleep(RENEWAL_CHECK).await;
            }
        }
    }
}

async fn tend(publisher: &Publisher) {
    if let Err(error) = publisher.tend().await {
        tracing::error!(%error, "root, issuer or ticket keys could not be renewed; what was in force stays");
    }
}

const ADMIN: &str = "admin listener";
/// Pages that follow the events at once, each of one task and a query a second.
const STREAMS_MAX: usize = 32;
/// Time that requests under way get at the end.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// Before what could not be taken over is tried again.
const FOLLOW_PAUSE: Duration = Duration::from_secs(2);
/// How often the nodes of a rollout are looked at.
const ROLLOUT_LOOK: Duration = Duration::from_secs(1);
/// How often it is looked whom other controls have revoked, and they are told what is attached here.
const MEMBERS_LOOK: Duration = Duration::from_secs(2);
/// How often the ages of root, issuer, ticket keys and audit events are looked at.
const RENEWAL_CHECK: Duration = Duration::from_secs(60);

/// Completes when the process is asked to stop; a signal counts from this call on, within a runtime.
pub fn stop_signal(with_parent: bool) -> impl Future<Output = ()> + Send {
    use tokio::signal::unix::{SignalKind, signal};
    let on = |kind| {
        let signal = signal(kind).inspect_err(|error| tracing::error!(%error, "a signal cannot be listened for"));
        async {
            match signal {
                Ok(mut signal) => drop(signal.recv().await),
                Err(_) => pending::<()>().await,
            }
        }
    };
    let (terminate, interrupt, hangup) =
        (on(SignalKind::terminate()), on(SignalKind::interrupt()), on(SignalKind::hangup()));
    async move {
        tokio::select! {
            () = terminate => {}
            () = interrupt => {}
            // Started again by whoever started it, with the configuration of then.
            () = hangup => {}
            () = parent_gone(), if with_parent => tracing::info!("the parent process is gone"),
        }
    }
}

/// Completes when standard input ends: its other end is held by the parent for as long as that lives.
async fn parent_gone() {
    let (gone, seen) = oneshot::channel();
    let watch = move || {
        drop(io::copy(&mut io::stdin().lock(), &mut io::sink()));
        let _ = gone.send(());
    };
    if let Err(error) = std::thread::Builder::new().name("parent".to_owned()).spawn(watch) {
        tracing::error!(%error, "the parent cannot be watched");
        pending::<()>().await;
    }
    drop(seen.await);
}
