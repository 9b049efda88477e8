//! The file as a whole: as written (`RawConfig`), and checked (`Config`).

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};

use penstock_core::limits;
use serde::{Deserialize, Serialize};

use super::export::{self, ExportSettings, RawExport};
use super::oidc::OidcSettings;
use super::push::{MetricsPush, RawMetricsPush};
use super::store::{RawStore, StoreSettings};

/// The configuration file as written, TOML.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// Address of the admin API, the web UI and `/metrics`. Default `127.0.0.1:7080`; port 0 takes any free port. Another
    /// address than loopback needs `[admin_tls]`, or `allow_plaintext_admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Folder of the CA, the token and the database; made when absent, readable by its owner alone.
    pub state_directory: PathBuf,
    /// A policy that is published at start when it differs from the last one published from a file. Default: none, the
    /// stored policy is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_file: Option<PathBuf>,
    /// File of the admin API's bearer token, made at the first start. Default `admin.token` in the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_token_file: Option<PathBuf>,
    /// Serve the admin listener without TLS on another address than loopback: passwords and tokens are then readable on
    /// the way. For a listener behind a TLS terminator, or in a container whose port is published on loopback. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_plaintext_admin: bool,
    /// TLS of the admin listener. Default: none, plain HTTP on loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_tls: Option<AdminTls>,
    /// The link to data planes.
    #[serde(default)]
    pub link: RawLink,
    /// The certificate authority. Default: a root that Penstock makes.
    #[serde(default, skip_serializing_if = "RawAuthority::is_default")]
    pub ca: RawAuthority,
    /// Where policies and events are kept. Default: SQLite in the state directory.
    #[serde(default, skip_serializing_if = "RawStore::is_default")]
    pub store: RawStore,
    /// Time that a policy change waits for every data plane, milliseconds. Default 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledge_deadline_ms: Option<u64>,
    /// Audit events that are kept; beyond, the oldest go. Default 10,000,000, which costs about 9 GB of disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_events_max: Option<u64>,
    /// Days for which audit events are kept. Default: until another bound is met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_days_max: Option<u32>,
    /// Bytes that the database may use before the oldest audit events go; it counts policies too, which always stay.
    /// Default: no bound but that of `audit_events_max`. At least 16 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_bytes_max: Option<u64>,
    /// Where audit events go beside the store. Default: nowhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub export: Vec<RawExport>,
    /// A collector that is told the metrics. Default: none, `/metrics` is scraped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_push: Option<RawMetricsPush>,
    /// An OpenID provider that says who signs in to the web UI. Default: none, users sign in by password.
    #[serde(default, skip_serializing)]
    pub oidc: Option<OidcSettings>,
}

/// The `[admin_tls]` table. Read at start: a renewed certificate takes effect with the next start.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct AdminTls {
    /// PEM: the listener's certificate, then those above it, nearest first.
    pub certificate: PathBuf,
    /// PEM: its private key, not encrypted, readable by its owner alone.
    pub key: PathBuf,
}

/// The `[link]` table as written.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawLink {
    /// The Unix socket that data planes dial. Default `link.sock` in the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// The TCP address that data planes of other machines dial, by TLS with certificates of the fleet's own authority.
    /// Default: none, data planes are on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// The `[ca]` table as written.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RawAuthority {
    /// PEM: the certificate of an authority of the operator's own (a root, or a sub-CA of the enterprise), in the place of
    /// the root that Penstock makes; those above it may follow in the same file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_certificate: Option<PathBuf>,
    /// PEM: its private key (RSA, P-256 or P-384, not encrypted), readable by its owner alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_key: Option<PathBuf>,
    /// PEM: certificates above it, nearest first. Clients are shown them, up to the enterprise's root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<PathBuf>,
    /// Days for which a next root is served before it signs (`penstock ca rotate`). Default 14.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_overlap_days: Option<u16>,
}

impl RawAuthority {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How the authority is kept.
#[derive(Clone, Debug)]
pub struct AuthoritySettings {
    /// How long a next root is served before it signs.
    pub overlap_seconds: i64,
    /// An authority of the operator's own in the place of a root that Penstock makes.
    pub operator: Option<OperatorFiles>,
}

impl Default for AuthoritySettings {
    fn default() -> Self {
        Self { overlap_seconds: limits::ROOT_OVERLAP_SECONDS, operator: None }
    }
}

/// Where the operator's authority lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorFiles {
    /// PEM: the authority's certificate, perhaps followed by those above it.
    pub certificate: PathBuf,
    /// PEM: its private key, PKCS #8, PKCS #1 or SEC 1, not encrypted. Readable by its owner alone.
    pub key: PathBuf,
    /// PEM: certificates above it, nearest first; the enterprise's root may be left out.
    pub chain: Vec<PathBuf>,
}

impl TryFrom<RawAuthority> for AuthoritySettings {
    type Error = ConfigError;

    fn try_from(raw: RawAuthority) -> Result<Self, ConfigError> {
        let RawAuthority { root_certificate, root_key, chain, rotation_overlap_days } = raw;
        let operator = match (root_certificate, root_key) {
            (Some(certificate), Some(key)) => Some(OperatorFiles { certificate, key, chain }),
            (None, None) if chain.is_empty() => None,
            _ => return Err(ConfigError::HalfAuthority),
        };
        let overlap =
            rotation_overlap_days.map(|days| i64::from(days) * 86_400).unwrap_or(limits::ROOT_OVERLAP_SECONDS);
        if overlap > limits::ROOT_LIFE_SECONDS / 2 {
            return Err(ConfigError::Overlap);
        }
        Ok(Self { overlap_seconds: overlap, operator })
    }
}

/// The configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// See [`RawConfig::listen`].
    pub listen: SocketAddr,
    /// See [`RawConfig::state_directory`].
    pub state_directory: PathBuf,
    /// See [`RawConfig::policy_file`].
    pub policy_file: Option<PathBuf>,
    /// See [`RawConfig::admin_token_file`].
    pub admin_token_file: PathBuf,
    /// See [`RawConfig::admin_tls`].
    pub admin_tls: Option<AdminTls>,
    /// See [`RawLink::socket`].
    pub link_socket: PathBuf,
    /// See [`RawLink::listen`].
    pub link_listen: Option<SocketAddr>,
    /// See [`RawAuthority`].
    pub authority: AuthoritySettings,
    /// See [`RawConfig::store`].
    pub store: StoreSettings,
    /// See [`RawConfig::acknowledge_deadline_ms`].
    pub acknowledge_deadline_ms: u64,
    /// See [`RawConfig::audit_events_max`].
    pub audit_events_max: u64,
    /// See [`RawConfig::audit_days_max`].
    pub audit_days_max: Option<u32>,
    /// See [`RawConfig::audit_bytes_max`].
    pub audit_bytes_max: Option<u64>,
    /// Where audit events go beside the store.
    pub exports: Vec<ExportSettings>,
    /// A collector that is told the metrics.
    pub metrics_push: Option<MetricsPush>,
    /// See [`RawConfig::oidc`].
    pub oidc: Option<OidcSettings>,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be; the message names line and column.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value that cannot be, in a file.
    #[error("{}: {source}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Which value, and why.
        source: Box<Self>,
    },
    /// A path that cannot be the name of a Unix socket.
    #[error("[link] socket: {} is longer than the {SOCKET_PATH_BYTES_MAX} bytes that the kernel allows; choose a shorter state_directory or set [link] socket", .0.display())]
    SocketPath(PathBuf),
    /// A certificate without its key, or the reverse.
    #[error("[ca]: root_certificate and root_key go together, and chain goes with them")]
    HalfAuthority,
    /// A rotation that would last for years.
    #[error("[ca] rotation_overlap_days: must be at most {}", limits::ROOT_LIFE_SECONDS / 2 / 86_400)]
    Overlap,
    /// Passwords would cross a network in the clear.
    #[error(
        "listen: {0} is not loopback: configure [admin_tls], or say allow_plaintext_admin = true if nobody can listen on the way"
    )]
    PlaintextAdmin(SocketAddr),
    /// A deadline of nothing.
    #[error("acknowledge_deadline_ms: must be between 1 and {ACKNOWLEDGE_DEADLINE_MS_MAX}")]
    Deadline,
    /// A store that keeps nothing.
    #[error("audit_events_max: must be at least 1")]
    NoEvents,
    /// The same by age.
    #[error("audit_days_max: must be at least 1")]
    NoDays,
    /// A collector that cannot be.
    #[error("[metrics_push] {0}")]
    MetricsPush(&'static str),
    /// An export that cannot be.
    #[error("[[export]] {name:?}: {reason}")]
    Export {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A store that cannot be.
    #[error("[{table}] {reason}")]
    Store {
        /// Its table.
        table: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Browsers cannot be told where to come back to.
    #[error("[oidc] redirect_url: must be given, since `listen` is every address of the machine")]
    NoRedirect,
    /// A store too small to work with.
    #[error("audit_bytes_max: must be at least {AUDIT_BYTES_MIN}")]
    NoBytes,
}

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let raw: RawConfig = toml::from_str(&text)
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        Self::try_from(raw).map_err(|source| ConfigError::Value { path: path.to_owned(), source: Box::new(source) })
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let in_state = |given: Option<PathBuf>, name: &str| given.unwrap_or_else(|| raw.state_directory.join(name));
        let link_socket = in_state(raw.link.socket, "link.sock");
        check_socket_path(&link_socket)?;
        let acknowledge_deadline_ms = raw.acknowledge_deadline_ms.unwrap_or(10_000);
        if !(1..=ACKNOWLEDGE_DEADLINE_MS_MAX).contains(&acknowledge_deadline_ms) {
            return Err(ConfigError::Deadline);
        }
        let audit_events_max = raw.audit_events_max.unwrap_or(limits::AUDIT_STORE_EVENTS_MAX);
        if audit_events_max == 0 {
            return Err(ConfigError::NoEvents);
        }
        let listen = raw.listen.unwrap_or(DEFAULT_LISTEN);
        let is_safe = listen.ip().to_canonical().is_loopback() || raw.admin_tls.is_some();
        if !is_safe && !raw.allow_plaintext_admin {
            return Err(ConfigError::PlaintextAdmin(listen));
        }
        if raw.audit_days_max == Some(0) {
            return Err(ConfigError::NoDays);
        }
        if raw.audit_bytes_max.is_some_and(|bytes| bytes < AUDIT_BYTES_MIN) {
            return Err(ConfigError::NoBytes);
        }
        if raw.oidc.as_ref().is_some_and(|oidc| oidc.redirect(listen, raw.admin_tls.is_some()).is_none()) {
            return Err(ConfigError::NoRedirect);
        }
        Ok(Self {
            listen,
            policy_file: raw.policy_file,
            admin_token_file: in_state(raw.admin_token_file, "admin.token"),
            admin_tls: raw.admin_tls,
            link_socket,
            link_listen: raw.link.listen,
            authority: AuthoritySettings::try_from(raw.ca)?,
            store: StoreSettings::try_from(raw.store)?,
            acknowledge_deadline_ms,
            audit_events_max,
            audit_days_max: raw.audit_days_max,
            audit_bytes_max: raw.audit_bytes_max,
            exports: export::check(raw.export)?,
            metrics_push: raw.metrics_push.map(MetricsPush::try_from).transpose()?,
            oidc: raw.oidc,
            state_directory: raw.state_directory,
        })
    }
}

/// Whether the kernel takes the path as the name of a Unix socket.
pub fn check_socket_path(path: &Path) -> Result<(), ConfigError> {
    if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        return Err(ConfigError::SocketPath(path.to_owned()));
    }
    Ok(())
}

/// Where the admin API listens unless told otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7080));
/// `sun_path` has 108 bytes, one for the terminating zero; the socket is bound under a longer name (`.new`) first.
const SOCKET_PATH_BYTES_MAX: usize = 107 - ".new".len();
const ACKNOWLEDGE_DEADLINE_MS_MAX: u64 = 600_000;
const AUDIT_BYTES_MIN: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, String> {
        let raw: RawConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        Config::try_from(raw).map_err(|error| error.to_string())
    }

    #[test]
    fn everything_but_the_state_directory_has_a_default() {
        let config = config("state_directory = '/var/lib/penstock'").unwrap();
        assert_eq!(config.listen, DEFAULT_LISTEN);
        assert_eq!(config.link_socket, Path::new("/var/lib/penstock/link.sock"));
        assert_eq!(config.admin_token_file, Path::new("/var/lib/penstock/admin.token"));
        assert_eq!(config.link_listen, None, "nobody else reaches it unless that is asked for");
    }

    #[test]
    fn mistakes_are_named() {
        assert!(config("state_directory = '/x'\nlisten_on = '127.0.0.1:1'").unwrap_err().contains("listen_on"));
        assert!(config("state_directory = '/x'\nlisten = 'localhost'").unwrap_err().contains("line 2"));
        assert!(config("state_directory = '/x'\nacknowledge_deadline_ms = 0").unwrap_err().contains("between 1 and"));
        for half in ["root_key = '/k'", "root_certificate = '/c'", "chain = ['/c']"] {
            assert!(config(&format!("state_directory = '/x'\n[ca]\n{half}")).unwrap_err().contains("go together"));
        }
        for open in ["0.0.0.0:7080", "[::]:7080", "192.0.2.1:7080"] {
            let plain = format!("state_directory = '/x'\nlisten = '{open}'");
            assert!(config(&plain).unwrap_err().contains("allow_plaintext_admin"), "{open}");
            config(&format!("{plain}\nallow_plaintext_admin = true")).unwrap();
            config(&format!("{plain}\n[admin_tls]\ncertificate = '/c'\nkey = '/k'")).unwrap();
        }
        config("state_directory = '/x'\nlisten = '[::1]:7080'").unwrap();
        for (bound, told) in [("audit_days_max = 0", "audit_days_max"), ("audit_bytes_max = 1", "at least 16777216")] {
            assert!(config(&format!("state_directory = '/x'\n{bound}")).unwrap_err().contains(told));
        }
        for (push, told) in
            [("url = 'otel'", "must begin with"), ("url = 'https://o'\ninterval_seconds = 1", "at least 5")]
        {
            assert!(config(&format!("state_directory = '/x'\n[metrics_push]\n{push}")).unwrap_err().contains(told));
        }
        let overlap = "state_directory = '/x'\n[ca]\nrotation_overlap_days = 4000";
        assert!(config(overlap).unwrap_err().contains("rotation_overlap_days"));
        let long = format!("state_directory = '/{}'", "d".repeat(120));
        assert!(config(&long).unwrap_err().contains("shorter state_directory"));
    }
}
