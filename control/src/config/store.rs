//! `[store]`: where what a daemon remembers is kept, when not in SQLite.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio_postgres::config::{Host, SslMode};

use super::ConfigError;
use super::export::host_and_port;

/// The `[store]` table as written.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawStore {
    /// Policies in etcd. Default: SQLite in the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<RawEtcd>,
    /// Audit events in PostgreSQL. Default: SQLite in the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<RawPostgres>,
    /// Users, sessions, API tokens, the trail, and who belongs to the fleet, in PostgreSQL: the database of the events, or
    /// another. Default: SQLite in the state directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<RawPostgres>,
}

/// The `[store.policy]` table as written.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawEtcd {
    /// `https://HOST[:PORT]` of each member; all with TLS, or none.
    pub etcd: Vec<String>,
    /// Begins every key. Default `/penstock/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Of this daemon, different from all others that share the store. Default: the host's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// User of etcd. Default: none, what the certificate says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File with the user's password; readable by its owner alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// PEM: authorities that are trusted beside those of the operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM: the certificate that this daemon shows, then those above it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// PEM: its private key, readable by its owner alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Speak in the clear with another host than this one. Default false.
    #[serde(default)]
    pub allow_plaintext: bool,
}

/// The `[store.events]` and `[store.access]` tables as written.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawPostgres {
    /// `postgresql://USER@HOST[:PORT]/DATABASE`, without a password.
    pub postgres: String,
    /// File with the password; readable by its owner alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// PEM: authorities that are trusted beside those of the operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM: the certificate that this daemon shows, then those above it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// PEM: its private key, readable by its owner alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Speak in the clear with another host than this one. Default false.
    #[serde(default)]
    pub allow_plaintext: bool,
}

/// The same, checked.
#[derive(Clone, Debug, Default)]
pub struct StoreSettings {
    /// Where policies are; `None`: SQLite.
    pub policy: Option<EtcdSettings>,
    /// Where audit events are; `None`: SQLite.
    pub events: Option<PostgresSettings>,
    /// Where users, tokens, the trail and the fleet's members are; `None`: SQLite.
    pub access: Option<PostgresSettings>,
}

/// A cluster.
#[derive(Clone, Debug)]
pub struct EtcdSettings {
    /// Host and port of each member.
    pub endpoints: Vec<(String, u16)>,
    /// See [`RawEtcd::prefix`].
    pub prefix: String,
    /// See [`RawEtcd::name`].
    pub name: String,
    /// User, and the file with the password.
    pub user: Option<(String, PathBuf)>,
    /// `None`: in the clear.
    pub tls: Option<ClientTls>,
}

/// A database.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// Everything but the password.
    pub config: tokio_postgres::Config,
    /// File with the password.
    pub password_file: Option<PathBuf>,
    /// `None`: in the clear.
    pub tls: Option<ClientTls>,
}

/// How a client knows a server, and is known to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// PEM: authorities that are trusted beside those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// What the client shows of itself.
    pub identity: Option<ClientIdentity>,
}

/// A client's certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// PEM: the certificate, then those above it.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

impl RawStore {
    pub(super) const fn is_default(&self) -> bool {
        self.events.is_none() && self.policy.is_none() && self.access.is_none()
    }
}

impl TryFrom<RawStore> for StoreSettings {
    type Error = ConfigError;

    fn try_from(raw: RawStore) -> Result<Self, ConfigError> {
        let events = raw.events.map(postgres).transpose();
        let events = events.map_err(|reason| ConfigError::Store { table: "store.events", reason })?;
        let policy = raw.policy.map(etcd).transpose();
        let policy = policy.map_err(|reason| ConfigError::Store { table: "store.policy", reason })?;
        let access = raw.access.map(postgres).transpose();
        let access = access.map_err(|reason| ConfigError::Store { table: "store.access", reason })?;
        Ok(Self { policy, events, access })
    }
}

fn etcd(raw: RawEtcd) -> Result<EtcdSettings, String> {
    let RawEtcd { etcd, prefix, name, user, password_file, ca_file, certificate, key, allow_plaintext } = raw;
    let is_secret = etcd.iter().all(|url| url.starts_with("https://"));
    let mut endpoints = Vec::new();
    for url in &etcd {
        let rest = url.strip_prefix(if is_secret { "https://" } else { "http://" });
        let rest = rest.ok_or("etcd: each begins with https://, or each with http://")?;
        let peer = host_and_port(rest.trim_end_matches('/'), Some(2379));
        let (host, port) = peer.ok_or_else(|| format!("etcd: {url} names no host"))?;
        if !is_secret && !is_loopback(&host) && !allow_plaintext {
            return Err(
                "etcd: policies would cross the network in the clear: use https://, or say allow_plaintext = true"
                    .to_owned(),
            );
        }
        endpoints.push((host, port));
    }
    if endpoints.is_empty() {
        return Err("etcd: names no member".to_owned());
    }
    let prefix = prefix.unwrap_or_else(|| "/penstock/".to_owned());
    if !prefix.ends_with('/') {
        return Err("prefix: must end with /".to_owned());
    }
    let user = match (user, password_file) {
        (Some(user), Some(file)) => Some((user, file)),
        (None, None) => None,
        _ => return Err("user and password_file go together".to_owned()),
    };
    let name = name.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    if name.is_empty() {
        return Err("name: must not be empty".to_owned());
    }
    let tls = client_tls(ca_file, certificate, key)?;
    Ok(EtcdSettings { endpoints, prefix, name, user, tls: is_secret.then_some(tls) })
}

fn postgres(raw: RawPostgres) -> Result<PostgresSettings, String> {
    let RawPostgres { postgres, password_file, ca_file, certificate, key, allow_plaintext } = raw;
    let mut config: tokio_postgres::Config =
        postgres.parse().map_err(|error: tokio_postgres::Error| format!("postgres: {error}"))?;
    if config.get_password().is_some() {
        return Err("postgres: the password goes into a file that password_file names".to_owned());
    }
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err("postgres: names no host".to_owned());
    }
    let is_here = config.get_hostaddrs().iter().all(IpAddr::is_loopback)
        && config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => is_loopback(name),
            Host::Unix(_) => true,
        });
    let is_secret = config.get_ssl_mode() == SslMode::Require || !(is_here || allow_plaintext);
    config.ssl_mode(if is_secret { SslMode::Require } else { SslMode::Disable });
    let tls = client_tls(ca_file, certificate, key)?;
    Ok(PostgresSettings { config, password_file, tls: is_secret.then_some(tls) })
}

fn client_tls(
    ca_file: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<ClientTls, String> {
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(ClientIdentity { certificate, key }),
        (None, None) => None,
        _ => return Err("certificate and key go together".to_owned()),
    };
    Ok(ClientTls { ca_file, identity })
}

/// This machine, as a URL names it.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<StoreSettings, String> {
        let raw: RawStore = toml::from_str(text).map_err(|error| error.to_string())?;
        StoreSettings::try_from(raw).map_err(|error| error.to_string())
    }

    #[test]
    fn tls_is_for_other_machines_and_for_who_asks() {
        let is_secret = |more: &str| {
            let read = read(&format!("[events]\n{more}\n[access]\n{more}")).unwrap();
            let [events, access] = [read.events, read.access].map(|settings| settings.unwrap().tls.is_some());
            assert_eq!(events, access);
            access
        };
        let none = read("[events]\npostgres = 'postgresql://p@localhost/p'").unwrap();
        assert!(none.access.is_none(), "who shares events alone goes on to have users of each daemon's own");
        assert!(read("").unwrap().events.is_none());
        assert!(!is_secret("postgres = 'postgresql://p@localhost/p'"));
        assert!(!is_secret("postgres = 'host=/run/postgresql user=p'"));
        assert!(is_secret("postgres = 'postgresql://p@localhost/p?sslmode=require'"));
        assert!(is_secret("postgres = 'postgresql://p@db.example/p'"));
        assert!(is_secret("postgres = 'postgresql://p@db.example/p?sslmode=disable'"));
        assert!(!is_secret("postgres = 'postgresql://p@db.example/p'\nallow_plaintext = true"));
    }

    #[test]
    fn members_of_a_cluster_are_read_with_their_defaults() {
        let read = read("[policy]\netcd = ['https://a.example', 'https://[::1]:2381/']\nname = 'one'").unwrap();
        let policy = read.policy.unwrap();
        assert_eq!(policy.endpoints, [("a.example".to_owned(), 2379), ("::1".to_owned(), 2381)]);
        assert_eq!((policy.prefix.as_str(), policy.name.as_str()), ("/penstock/", "one"));
        assert!(policy.tls.is_some() && policy.user.is_none());
    }

    #[test]
    fn mistakes_are_named() {
        for (table, told) in [
            ("etcd = []", "names no member"),
            ("etcd = ['http://a.example']", "in the clear"),
            ("etcd = ['https://a.example', 'http://localhost']", "each with http://"),
            ("etcd = ['https://a b']", "names no host"),
            ("etcd = ['http://localhost']\nprefix = '/x'", "must end with /"),
            ("etcd = ['http://localhost']\nuser = 'x'", "go together"),
            ("etcd = ['http://localhost']\nname = ''", "must not be empty"),
        ] {
            let refused = read(&format!("[policy]\n{table}")).unwrap_err();
            assert!(refused.contains("[store.policy]") && refused.contains(told), "{table}: {refused}");
        }
        for (table, told) in [
            ("postgres = 'mysql://'", "[store.events] postgres: "),
            ("postgres = 'user=p'", "names no host"),
            ("postgres = 'postgresql://p:secret@db/p'", "password_file"),
            ("postgres = 'postgresql://p@db/p'\nkey = '/k'", "go together"),
            ("postgres = 'postgresql://p@db/p'\nhost = 'x'", "unknown field"),
        ] {
            let refused = read(&format!("[events]\n{table}")).unwrap_err();
            assert!(refused.contains(told) && !refused.contains("secret"), "{table}: {refused}");
        }
    }
}
