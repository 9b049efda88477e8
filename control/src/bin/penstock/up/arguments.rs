//! The arguments of `penstock up`, and what is made of them before anything starts.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Args;
use penstock_control::config::{AdminTls, RawAuthority};
use penstock_control::lock::Lock;
use penstock_core::sni::Sni;
use tracing_subscriber::EnvFilter;

use super::transparent::{self, Transparent};
use super::{files, supervise};
use crate::policy::document;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Folder for CA, database, token and sockets; made when absent.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// The policy. Published when it differs from the last one that came from a file.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Address of the proxy; port 0 is any free port.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Also listen for clients that know of no proxy: KIND redirect or tproxy for what the kernel leads here by nftables
    /// (deploy/nftables), direct for what DNS or a balancer does. May be repeated; each family has a listener of its own.
    #[arg(long, value_name = "KIND=IP:PORT", value_parser = transparent::read)]
    transparent: Vec<Transparent>,
    /// Dial with the client's own address for what came by --transparent tproxy. Needs CAP_NET_ADMIN.
    #[arg(long, requires = "transparent")]
    keep_source: bool,
    /// Mark connections to origins, so that rules of the kernel know them (SO_MARK). Needs CAP_NET_ADMIN.
    #[arg(long, value_name = "NUMBER")]
    mark: Option<NonZeroU32>,
    /// Also read what the kernel leads here of UDP/443 (deploy/nftables/quic.nft): QUIC to inspected hosts is refused, so that
    /// clients use TCP. May be repeated; each family has a listener of its own. Needs CAP_NET_ADMIN.
    #[arg(long, value_name = "IP:PORT")]
    quic: Vec<SocketAddr>,
    /// What a client is told whose QUIC is refused: close (it uses TCP at once; needs CAP_NET_BIND_SERVICE) or drop.
    #[arg(long, value_name = "HOW", requires = "quic", value_parser = ["close", "drop"], default_value = "close")]
    quic_refuse: String,
    /// Address of the admin API and the web UI; port 0 is any free port.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7080")]
    admin: SocketAddr,
    /// Serve it by TLS with this certificate (PEM, with those above it).
    #[arg(long, value_name = "FILE", requires = "admin_key")]
    admin_certificate: Option<PathBuf>,
    /// The private key of that certificate (PEM), readable by its owner alone.
    #[arg(long, value_name = "FILE", requires = "admin_certificate")]
    admin_key: Option<PathBuf>,
    /// Take another address than loopback for it without TLS, though passwords and tokens are readable on the way there.
    #[arg(long)]
    allow_plaintext_admin: bool,
    /// Threads of the data plane; one per CPU unless given.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    shards: Option<u16>,
    /// Trust the roots in this PEM file for origins, beside the system's; may be repeated.
    #[arg(long, value_name = "FILE")]
    upstream_ca: Vec<PathBuf>,
    /// Dial this address for that name (`*`: for every name not listed); may be repeated. TLS name and verification are
    /// unchanged.
    #[arg(long, value_name = "NAME=IP:PORT", value_parser = host_entry)]
    host: Vec<(String, SocketAddr)>,
    /// Ask the proxy's clients for credentials of this file's users; `penstock user hash` makes its lines.
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Tables of the data plane's configuration (TOML) beside those that these arguments make.
    #[arg(long, value_name = "FILE")]
    dataplane_config: Option<PathBuf>,
    /// The same of control's, such as its exports.
    #[arg(long, value_name = "FILE")]
    control_config: Option<PathBuf>,
    /// Sign with this authority of your own (PEM, a root or a sub-CA) in the place of a root that Penstock makes.
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    ca_certificate: Option<PathBuf>,
    /// Its private key (PEM), readable by its owner alone.
    #[arg(long, value_name = "FILE", requires = "ca_certificate")]
    ca_key: Option<PathBuf>,
    /// Certificates above it (PEM), nearest first; may be repeated.
    #[arg(long, value_name = "FILE", requires = "ca_certificate")]
    ca_chain: Vec<PathBuf>,
    /// What is logged: error, warn, info, debug, trace, or a filter.
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = log_filter)]
    log: String,
}

const EXAMPLES: &str = "\
Examples:
  penstock up --state /var/lib/penstock --policy policy.toml
  penstock up --state ./state --policy policy.toml --listen 127.0.0.1:0 --admin 127.0.0.1:0
  penstock up --state ./state --policy policy.toml --transparent redirect=0.0.0.0:8443 --transparent 'redirect=[::]:8443'
  penstock up --state ./state --policy policy.toml --transparent direct=0.0.0.0:443
  penstock up --state ./state --policy policy.toml --ca-certificate sub-ca.pem --ca-key sub-ca.key
  penstock up --state ./state --policy policy.toml --host '*=127.0.0.1:8443' --upstream-ca test-ca.pem

Prints one line of JSON when it serves. SIGTERM or SIGINT lets the flows finish and stops both processes; a second one
stops them at once. SIGHUP puts the data plane's binary on disk into service without refusing a connection.";

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let document = document::read(&arguments.policy)?;
    if document.compiled.is_err() {
        return document::report_refusal(&document, false);
    }
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(&arguments.log)).with_writer(io::stderr);
    log.with_ansi(false).init();
    let state = make_state_directory(&arguments.state)?;
    let _lock = Lock::take(&state.join("up.lock"))?;
    let plan = files::Plan {
        policy: absolute(&arguments.policy)?,
        upstream_ca: arguments.upstream_ca.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?,
        hosts: arguments.host.iter().cloned().collect(),
        users: arguments.users.as_deref().map(absolute).transpose()?,
        dataplane_more: arguments.dataplane_config.as_deref().map(read_tables).transpose()?.unwrap_or_default(),
        control_more: arguments.control_config.as_deref().map(read_tables).transpose()?.unwrap_or_default(),
        authority: RawAuthority {
            root_certificate: arguments.ca_certificate.as_deref().map(absolute).transpose()?,
            root_key: arguments.ca_key.as_deref().map(absolute).transpose()?,
            chain: arguments.ca_chain.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?,
            rotation_overlap_days: None,
        },
        listen: arguments.listen,
        transparent: arguments.transparent.clone(),
        keep_source: arguments.keep_source,
        mark: arguments.mark,
        quic: arguments.quic.clone(),
        quic_refuse: arguments.quic_refuse.clone(),
        admin: arguments.admin,
        allow_plaintext_admin: arguments.allow_plaintext_admin,
        admin_tls: match (&arguments.admin_certificate, &arguments.admin_key) {
            (Some(certificate), Some(key)) => {
                Some(AdminTls { certificate: absolute(certificate)?, key: absolute(key)? })
            }
            _ => None,
        },
        shards: arguments.shards,
        log: arguments.log.clone(),
        state,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise::run(plan))?;
    Ok(ExitCode::SUCCESS)
}

fn make_state_directory(path: &Path) -> anyhow::Result<PathBuf> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| path.display().to_string())?;
    absolute(path)
}

fn read_tables(path: &Path) -> anyhow::Result<toml::Table> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    fs::canonicalize(path).with_context(|| path.display().to_string())
}

/// Reads what stands for a name, or for every name (`*`).
pub(crate) fn host_entry(text: &str) -> anyhow::Result<(String, SocketAddr)> {
    let (name, address) = text.split_once('=').ok_or_else(|| anyhow!("write NAME=IP:PORT"))?;
    let name = match name {
        "*" => name.to_owned(),
        _ => Sni::parse(name.as_bytes()).map_err(|_| anyhow!("{name:?} is no host name"))?.to_string(),
    };
    let address = address.parse().map_err(|_| anyhow!("{address:?} is no IP:PORT"))?;
    Ok((name, address))
}

fn log_filter(text: &str) -> Result<String, String> {
    text.parse::<EnvFilter>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}
