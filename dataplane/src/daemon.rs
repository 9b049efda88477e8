//! The process: arguments, start-up order, and the way down.
//!
//! Start: configuration, kernel limits, audit spool, listeners, one thread per shard, the link. Connections are taken
//! once a policy is in force: the last known good one, or control's first. Down: stop accepting, let flows finish until
//! the drain deadline, write what the audit rings hold.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use penstock_core::sni::Sni;
use penstock_link::JoinToken;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::audit::{AuditRing, AuditWriter, SpoolReader};
use crate::auth::{Directory, Workers};
use crate::config::{Config, ControlAddress, IoEngineSetting, Link, TransparentListener};
use crate::ingress::{self, Listeners, udp};
use crate::link::{self, Background};
use crate::metrics::{ProcessCells, ShardCells};
use crate::notify::Notifier;
use crate::resolve::{ConnectorAddresses, Lookups, Resolver};
use crate::ring::{self, Inherited, IoEngine, Manager};
use crate::shard::mailbox::{Mailbox, MailboxSender, Message};
use crate::shard::{self, OpenFlows, PinnedClients, Pressure, Pulse, Seed, ShardSeed, Worn};
use crate::signer::{Place, SignerHandle};
use crate::tls::{RootsWatch, TlsShared, UpstreamRoots};
use crate::{audit, boot, signer, supervise, tls, watchdog};

/// Penstock's data plane: splices what passes, inspects the sign-in hosts.
#[derive(Debug, Parser)]
#[command(name = "penstock-dataplane", version, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", required_unless_present_any = ["probe", "signer"])]
    config: Option<PathBuf>,
    /// Check what this host offers (io_uring, limits), with --config also what that asks for (capabilities, rules, routes, disk,
    /// control, DNS), print it and exit: 0 when all is well, 1 when not
    #[arg(long)]
    probe: bool,
    /// With --probe: print JSON
    #[arg(long, requires = "probe")]
    json: bool,
    /// Check the configuration file and exit
    #[arg(long, requires = "config")]
    check: bool,
    /// What is logged on standard error: error, warn, info, debug, trace, or a filter by module
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: tracing_subscriber::EnvFilter,
    /// Stop when standard input ends: for a parent that must not leave this process behind
    #[arg(long)]
    exit_with_parent: bool,
    /// Keep the listening sockets in this process and run the data plane as its child: started again when it dies, replaced
    /// on SIGHUP by the binary and configuration on disk, without refusing a connection
    #[arg(long, requires = "config", conflicts_with_all = ["probe", "check"])]
    supervise: bool,
    /// Started by --supervise
    #[arg(long, hide = true, conflicts_with = "supervise")]
    supervised: bool,
    /// Started by a data plane: be its signer, with the key of this state directory, on the socket at standard input
    #[arg(long, hide = true, value_name = "DIR", conflicts_with_all = ["config", "probe", "supervise", "supervised"])]
    signer: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Join the fleet of a control on another machine: by a token, once, for a certificate
    #[command(after_help = JOIN_EXAMPLES)]
    Join {
        /// Where control listens for other machines
        #[arg(long, value_name = "HOST:PORT")]
        control: String,
        /// File with the token that `penstock node token` printed
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
        /// The data plane's state directory; run this as the user that it belongs to
        #[arg(long, value_name = "DIR")]
        state: PathBuf,
    },
}

const JOIN_EXAMPLES: &str = "\
Examples:
  penstock-dataplane join --control control.corp.example:7443 --token-file edge-1.token --state /var/lib/penstock-dataplane

The key is made here and stays here, with the certificate, in DIR/link/node.pem (mode 0600). In the configuration of the data
plane then stands:
  [link]
  controls = [\"control.corp.example:7443\"]";

const EXAMPLES: &str = "\
Examples:
  penstock-dataplane --config /etc/penstock/dataplane.toml
  penstock-dataplane --config /etc/penstock/dataplane.toml --supervise
  penstock-dataplane --config /etc/penstock/dataplane.toml --check
  penstock-dataplane --probe --config /etc/penstock/dataplane.toml --json
  penstock-dataplane join --control control.corp.example:7443 --token-file edge-1.token --state /var/lib/penstock-dataplane

It prints one line of JSON when it listens: {\"listening\":\"127.0.0.1:8080\",\"transparent\":[],\"shards\":2,\"pid\":1}
SIGTERM and SIGINT drain: no new connections, open ones may finish until the drain deadline.";

/// Runs the daemon. 0: done; 1: something is wrong, and standard error says what.
pub fn main(arguments: &Arguments) -> ExitCode {
    if arguments.probe {
        return probe(arguments.config.as_deref(), arguments.json);
    }
    tracing_subscriber::fmt()
        .with_env_filter(arguments.log.clone())
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    if let Some(state_directory) = &arguments.signer {
        return signer::run(state_directory).map_or_else(|error| fail(&format!("{error:#}")), |()| ExitCode::SUCCESS);
    }
    if let Some(Command::Join { control, token_file, state }) = &arguments.command {
        return join(control, token_file, state)
            .map_or_else(|error| fail(&format!("{error:#}")), |()| ExitCode::SUCCESS);
    }
    let path = arguments.config.as_deref().unwrap_or_else(|| Path::new(""));
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return fail(&error.to_string()),
    };
    if arguments.check {
        let users = config.auth.as_ref().map(|auth| Directory::load(&auth.users_file)).transpose();
        return users.map_or_else(|error| fail(&error), |_users| ExitCode::SUCCESS);
    }
    let result = if arguments.supervise { supervise(&config, path, arguments) } else { run(config, arguments) };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}")),
    }
}

fn fail(message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "penstock-dataplane: {message}");
    ExitCode::FAILURE
}

/// Becomes a member of a fleet.
fn join(control: &str, token_file: &Path, state: &Path) -> anyhow::Result<()> {
    let control = ControlAddress::parse(control).context("--control: must be HOST:PORT")?;
    let told = || token_file.display().to_string();
    let text = Zeroizing::new(std::fs::read_to_string(token_file).with_context(told)?);
    let token = JoinToken::parse(&text).with_context(|| format!("{}: no token of `penstock node token`", told()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let node = runtime.block_on(link::join(&control, &token, state))?;
    writeln!(std::io::stdout(), "joined as {node}")?;
    Ok(())
}

fn probe(file: Option<&Path>, json: bool) -> ExitCode {
    let report = match file.map(|file| (file, Config::load(file))) {
        None => boot::probe(ring::probe),
        Some((file, Ok(config))) => {
            let answers = answers(&config);
            boot::probe_for(ring::probe, file, &config, answers)
        }
        Some((_, Err(error))) => return fail(&error.to_string()),
    };
    let mut out = std::io::stdout().lock();
    if json {
        let _ = writeln!(out, "{}", serde_json::to_string(&report).unwrap_or_default());
    } else {
        for check in &report.checks {
            let _ = writeln!(out, "{check}");
        }
    }
    if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What DNS, the trust store and the kept state say.
fn answers(config: &Config) -> boot::Answers {
    let name: Option<Sni> = Sni::parse(boot::NAME_ASKED.as_bytes()).ok();
    let is_asked = config.upstream.proxy.is_none();
    let name = name.filter(|name| is_asked && config.upstream.hosts.find(name).is_none());
    let addresses = name.map(|name| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let resolver = Resolver::new(Lookups::start(runtime.handle(), &config.upstream.name_servers));
        let found = runtime.block_on(resolver.resolve(&name));
        found.map(|addresses| addresses.len()).map_err(|kind| kind.to_string())
    });
    let roots = UpstreamRoots::load(config.upstream.native_roots, &config.upstream.ca_files);
    boot::Answers {
        addresses,
        roots: roots.map(|roots| roots.count()).map_err(|error| error.to_string()),
        issuer: link::kept_issuer(&config.state_directory),
    }
}

/// A supervisor holds the state directory for its data planes, of which there may be several at a time.
fn supervise(config: &Config, path: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let _lock = boot::lock(&config.state_directory)?;
    supervise::run(supervise::Command {
        config: path.to_owned(),
        log: arguments.log.to_string(),
        exit_with_parent: arguments.exit_with_parent,
    })
}

fn run(config: Config, arguments: &Arguments) -> anyhow::Result<()> {
    let manager = if arguments.supervised { Manager::Supervisor } else { Manager::System };
    // Before anything else opens a descriptor.
    let mut inherited = Inherited::take(manager).context("the sockets of LISTEN_FDS cannot be taken over")?;
    let notifier = Arc::new(Notifier::from_environment());
    let _lock = (!arguments.supervised).then(|| boot::lock(&config.state_directory)).transpose()?;
    let engine = prepare_host(config.io_engine)?;
    let config = Arc::new(named(config)?);
    let (tls, watch) = start_tls(&config)?;
    let shard_cells: Vec<_> = (0..config.shards.get()).map(|_| Arc::new(ShardCells::new())).collect();
    let process_cells = Arc::new(ProcessCells::new());
    let (rings, writer, spool) = start_audit(&config, &shard_cells, &process_cells)?;
    let Listeners { proxy: address, transparent, per_shard } = ingress::bind(&config, &mut inherited, &notifier)?;
    let datagrams = udp::bind(&config, &mut inherited, &notifier)?;
    let background = Background::start()?;
    let auth = start_auth(&config, &background)?;
    background.handle().spawn(watch.run(Arc::clone(tls.roots())));
    let signer = start_signer(&config, arguments, &background, &process_cells);
    let lookups = Lookups::start(background.handle(), &config.upstream.name_servers);
    let addresses = ConnectorAddresses::start(background.handle(), lookups.clone());
    let (pinned, open_flows, worn) = (PinnedClients::default(), OpenFlows::default(), Worn::default());
    let pressure = watch_memory(&config, &background, &process_cells);
    let (mut mailboxes, mut shards, mut pulses) = (Vec::new(), Vec::new(), Vec::new());
    for ((((index, listeners), datagrams), audit), cells) in
        (0..).zip(per_shard).zip(datagrams).zip(rings).zip(&shard_cells)
    {
        let ((sender, mailbox), pulse) = (Mailbox::channel(), Arc::new(Pulse::default()));
        pulses.push(Arc::clone(&pulse));
        let shard = ShardSeed {
            index,
            config: Arc::clone(&config),
            cells: Arc::clone(cells),
            audit,
            lookups: lookups.clone(),
            addresses: addresses.clone(),
            pinned: pinned.clone(),
            tls: Arc::clone(&tls),
            auth: auth.clone(),
            open_flows: open_flows.clone(),
            pulse,
            signer: signer.clone(),
            worn: Arc::clone(&worn),
            pressure: Arc::clone(&pressure),
        };
        mailboxes.push(sender);
        shards.push(spawn(Seed { engine, index, listeners, datagrams, mailbox, shard })?);
    }
    let settings = link::Settings {
        node: config.node.clone(),
        labels: config.labels.clone(),
        link: config.link.clone(),
        state_directory: config.state_directory.clone(),
        proxy: address,
        mailboxes: mailboxes.clone(),
        shards: shard_cells,
        cells: process_cells,
        spool,
        tickets: Arc::clone(tls.tickets()),
        signer,
    };
    let link = link::start(background.handle(), settings);
    writer.serves();
    announce(address, &transparent, shards.len());
    background.handle().spawn(report(Arc::clone(&notifier), link.serving(), inherited));
    background.handle().spawn(watchdog::feed(Arc::clone(&notifier), pulses));
    let is_worn = background.handle().block_on(ending(arguments, &worn, &notifier));
    drain(&notifier, &mailboxes, shards)?;
    writer.stop();
    link.stop();
    background.stop();
    anyhow::ensure!(!is_worn, "too many panics: whoever started this process is to start another");
    Ok(())
}

/// A node of other machines' controls has the name in its certificate.
fn named(config: Config) -> anyhow::Result<Config> {
    let Link::Controls(_) = config.link else { return Ok(config) };
    let name = link::Identity::load(&config.state_directory)?.name;
    let own = &config.node;
    anyhow::ensure!(
        !config.is_named || *own == name,
        "the configuration calls this node {own}, and its certificate is that of {name}: mend `node`, or join as {own}"
    );
    Ok(Config { node: name, ..config })
}

/// What the shards share of TLS, and what keeps its roots fresh.
fn start_tls(config: &Config) -> anyhow::Result<(Arc<TlsShared>, RootsWatch)> {
    let (roots, watch) = RootsWatch::load(config.upstream.native_roots, &config.upstream.ca_files)?;
    let tls = TlsShared::new(roots).map_err(|kind| anyhow::anyhow!("cannot set TLS up: {kind}"))?;
    Ok((Arc::new(tls), watch))
}

/// The rings of the shards, the writer, and what the link sends.
fn start_audit(
    config: &Config,
    shards: &[Arc<ShardCells>],
    cells: &Arc<ProcessCells>,
) -> anyhow::Result<(Vec<AuditRing>, AuditWriter, SpoolReader)> {
    audit::start(&config.state_directory, &config.node, shards, Arc::clone(cells))
        .with_context(|| format!("cannot open the audit spool under {}", config.state_directory.display()))
}

/// The users and the threads that verify their passwords, where the configuration asks for credentials.
fn start_auth(config: &Config, background: &Background) -> anyhow::Result<Option<Workers>> {
    let Some(auth) = &config.auth else { return Ok(None) };
    let directory = Arc::new(Directory::load(&auth.users_file).map_err(anyhow::Error::msg)?);
    background.handle().spawn(Arc::clone(&directory).watch());
    Ok(Some(Workers::start(directory)?))
}

/// The process that holds the issuer's key.
fn start_signer(
    config: &Config,
    arguments: &Arguments,
    background: &Background,
    cells: &Arc<ProcessCells>,
) -> SignerHandle {
    let place = Place::Process { state_directory: config.state_directory.clone(), log: arguments.log.to_string() };
    signer::start(background.handle(), place, Arc::clone(cells))
}

/// Looks whether this host and this binary can carry a data plane, and which engine it shall have.
fn prepare_host(setting: IoEngineSetting) -> anyhow::Result<IoEngine> {
    let host = boot::probe(ring::probe);
    host.log();
    anyhow::ensure!(host.ok, "this host cannot carry a data plane");
    tls::trial().context("the cryptography fails its trial: this binary is damaged, or not for this machine")?;
    choose_engine(setting)
}

/// io_uring unless the host refuses it; a configuration that insists gets an error instead of a substitute.
fn choose_engine(setting: IoEngineSetting) -> anyhow::Result<IoEngine> {
    match (setting, ring::probe()) {
        (IoEngineSetting::Epoll, _) => Ok(IoEngine::Epoll),
        (_, Ok(())) => Ok(IoEngine::Uring),
        (IoEngineSetting::Auto, Err(error)) => {
            tracing::warn!(%error, "this host refuses io_uring, using epoll; `--probe` says what to mend");
            Ok(IoEngine::Epoll)
        }
        (IoEngineSetting::Uring, Err(error)) => {
            Err(error).context("this host refuses io_uring (see kernel.io_uring_disabled, or set io_engine = \"auto\")")
        }
    }
}

fn spawn(seed: Seed) -> std::io::Result<JoinHandle<anyhow::Result<()>>> {
    let name = format!("penstock-shard-{}", seed.index);
    std::thread::Builder::new().name(name).spawn(move || {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| shard::run(seed)));
        match ended {
            Ok(result) => result,
            // A shard that is gone leaves a listener that nobody serves: the process ends and is started again.
            Err(_panic) => std::process::abort(),
        }
    })
}

/// Measures the process's memory against what it may use.
fn watch_memory(config: &Config, background: &Background, cells: &Arc<ProcessCells>) -> Arc<Pressure> {
    let pressure = Arc::new(Pressure::default());
    let ceiling_bytes = config.limits.memory_bytes.unwrap_or_else(boot::ceiling_bytes);
    let watch = shard::watch(Arc::clone(&pressure), ceiling_bytes, boot::resident_bytes, Arc::clone(cells));
    background.handle().spawn(watch);
    pressure
}

/// Waits until the process is to drain; whether because it is worn out.
async fn ending(arguments: &Arguments, worn: &Worn, notifier: &Notifier) -> bool {
    tokio::select! {
        () = stop_requested(arguments.exit_with_parent || arguments.supervised) => false,
        () = wears_out(worn, notifier, arguments.supervised) => true,
    }
}

/// Completes when this process should make way for another. A supervisor is asked to replace it instead, so that flows
/// finish here while the other serves.
async fn wears_out(worn: &Worn, notifier: &Notifier, is_supervised: bool) {
    loop {
        worn.notified().await;
        tracing::error!("too many panics within a minute: another process should take over");
        if !is_supervised {
            return;
        }
        notifier.tell("X_WORN=1\nSTATUS=worn out by panics");
    }
}

/// Tells the service manager that this process listens, and once the first policy is in force that it serves and which
/// sockets are no longer wanted.
async fn report(notifier: Arc<Notifier>, serving: impl Future<Output = ()>, unclaimed: Inherited) {
    notifier.tell("X_LISTENING=1\nSTATUS=waits for a policy");
    serving.await;
    for (name, socket) in unclaimed.into_rest() {
        tracing::info!(name, "a socket of the process before is not wanted any more");
        drop(socket);
        notifier.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
    }
    notifier.tell("READY=1\nSTATUS=serving");
}

fn announce(address: SocketAddr, transparent: &[TransparentListener], shards: usize) {
    let mut out = std::io::stdout().lock();
    let of = |it: &TransparentListener| serde_json::json!({ "kind": it.steering.label(), "address": it.address.to_string() });
    let transparent: Vec<_> = transparent.iter().map(of).collect();
    let line = serde_json::json!({
        "listening": address.to_string(), "transparent": transparent, "shards": shards, "pid": std::process::id(),
    });
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

async fn stop_requested(exit_with_parent: bool) {
    use tokio::signal::unix::{SignalKind, signal};
    let [terminate, interrupt, hangup] =
        [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = (terminate, interrupt, hangup) else {
        return;
    };
    let parent = async {
        if exit_with_parent {
            let _ = parent_gone().await;
        } else {
            std::future::pending().await
        }
    };
    let upgrade = async {
        // Left to itself it would end the process.
        while hangup.recv().await.is_some() {
            tracing::warn!(
                "SIGHUP: the configuration is read at the start; restart this process, or run it under --supervise"
            );
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = parent => {}
        () = upgrade => {}
    }
}

/// Told when standard input ends. Read by a thread of its own: the runtime would wait at its end for a read that never
/// ends.
pub(crate) fn parent_gone() -> oneshot::Receiver<()> {
    let (gone, told) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = gone.send(());
    });
    told
}

fn drain(
    notifier: &Notifier,
    mailboxes: &[MailboxSender],
    shards: Vec<JoinHandle<anyhow::Result<()>>>,
) -> anyhow::Result<()> {
    tracing::info!("draining");
    notifier.tell("STOPPING=1\nSTATUS=draining");
    for mailbox in mailboxes {
        let _ = mailbox.send(Message::Drain);
    }
    for shard in shards {
        shard.join().map_err(|_panic| anyhow::anyhow!("a shard panicked"))??;
    }
    Ok(())
}
