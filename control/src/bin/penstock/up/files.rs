//! The files that `up` writes: a configuration for each daemon, and who runs under which process id.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use penstock_control::config::{AdminTls, RawAuthority, RawConfig, RawLink, RawStore};
use serde::Serialize;
use serde_json::json;

use super::transparent::Transparent;

/// What the arguments come to, paths absolute.
pub(super) struct Plan {
    pub(super) state: PathBuf,
    pub(super) policy: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) transparent: Vec<Transparent>,
    pub(super) keep_source: bool,
    pub(super) mark: Option<NonZeroU32>,
    pub(super) quic: Vec<SocketAddr>,
    pub(super) quic_refuse: String,
    pub(super) admin: SocketAddr,
    pub(super) allow_plaintext_admin: bool,
    pub(super) admin_tls: Option<AdminTls>,
    pub(super) shards: Option<u16>,
    pub(super) upstream_ca: Vec<PathBuf>,
    pub(super) hosts: BTreeMap<String, SocketAddr>,
    pub(super) users: Option<PathBuf>,
    /// Of the data plane's configuration, beside what the arguments come to.
    pub(super) dataplane_more: toml::Table,
    /// The same of control's.
    pub(super) control_more: toml::Table,
    pub(super) authority: RawAuthority,
    pub(super) log: String,
}

/// Process ids of what runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Pids {
    pub(super) control: Option<u32>,
    pub(super) dataplane: Option<u32>,
}

/// The data plane's configuration, as far as `up` sets it. Its own crate reads and checks it.
#[derive(Serialize)]
struct DataPlaneFile<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    shards: Option<u16>,
    state_directory: PathBuf,
    listen: ListenTable,
    link: LinkTable,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<AuthTable<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quic: Option<QuicTable<'a>>,
    upstream: UpstreamTable<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    listener: Vec<ListenerTable<'a>>,
}

#[derive(Serialize)]
struct AuthTable<'a> {
    users_file: &'a Path,
}

#[derive(Serialize)]
struct QuicTable<'a> {
    listen: &'a [SocketAddr],
    refuse: &'a str,
}

#[derive(Serialize)]
struct ListenTable {
    proxy: SocketAddr,
}

#[derive(Serialize)]
struct ListenerTable<'a> {
    #[serde(flatten)]
    transparent: &'a Transparent,
    keep_source: bool,
}

#[derive(Serialize)]
struct LinkTable {
    socket: PathBuf,
}

#[derive(Serialize)]
struct UpstreamTable<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<NonZeroU32>,
    ca_files: &'a [PathBuf],
    hosts: &'a BTreeMap<String, SocketAddr>,
}

impl Plan {
    pub(super) fn control_file(&self) -> PathBuf {
        self.state.join("control.toml")
    }

    pub(super) fn dataplane_file(&self) -> PathBuf {
        self.state.join("dataplane.toml")
    }

    /// The address of the admin listener as a URL.
    pub(super) fn admin_url(&self, address: SocketAddr) -> String {
        let scheme = if self.admin_tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }

    pub(super) fn token_file(&self) -> PathBuf {
        self.state.join("admin.token")
    }

    pub(super) fn root_file(&self) -> PathBuf {
        let is_own = self.authority.root_certificate.is_none();
        self.state.join(if is_own { "ca/root.pem" } else { "ca-operator/root.pem" })
    }

    /// Writes both configurations. Again after the first start, with the ports that were found, so that a daemon that is
    /// restarted comes back where its users expect it.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        let socket = self.state.join("link.sock");
        let control = RawConfig {
            listen: Some(self.admin),
            state_directory: self.state.clone(),
            policy_file: Some(self.policy.clone()),
            admin_token_file: Some(self.token_file()),
            link: RawLink { socket: Some(socket.clone()), listen: None },
            allow_plaintext_admin: self.allow_plaintext_admin,
            admin_tls: self.admin_tls.clone(),
            ca: self.authority.clone(),
            store: RawStore::default(),
            acknowledge_deadline_ms: None,
            audit_events_max: None,
            audit_days_max: None,
            audit_bytes_max: None,
            export: Vec::new(),
            metrics_push: None,
            oidc: None,
        };
        let of = |transparent| ListenerTable { transparent, keep_source: self.keep_source };
        let quic = !self.quic.is_empty();
        let dataplane = DataPlaneFile {
            shards: self.shards,
            state_directory: self.state.join("dataplane"),
            listen: ListenTable { proxy: self.listen },
            link: LinkTable { socket },
            auth: self.users.as_deref().map(|users_file| AuthTable { users_file }),
            quic: quic.then_some(QuicTable { listen: &self.quic, refuse: &self.quic_refuse }),
            upstream: UpstreamTable { mark: self.mark, ca_files: &self.upstream_ca, hosts: &self.hosts },
            listener: self.transparent.iter().map(of).collect(),
        };
        let mut dataplane = toml::Table::try_from(dataplane)?;
        merge(&mut dataplane, &self.dataplane_more).context("--dataplane-config")?;
        let mut control = toml::Table::try_from(control)?;
        merge(&mut control, &self.control_more).context("--control-config")?;
        replace(&self.control_file(), &format!("{HEADING}{}", toml::to_string(&control)?))?;
        replace(&self.dataplane_file(), &format!("{HEADING}{}", toml::to_string(&dataplane)?))
    }

    /// Takes over the ports that were found for the listeners of `--transparent`; those of `--dataplane-config` stand in
    /// that file alone.
    pub(super) fn settle_ports(&mut self, announced: &[Transparent]) {
        if !self.transparent.is_empty() {
            self.transparent = announced.to_vec();
        }
    }

    /// Writes who runs.
    pub(super) fn write_pids(&self, pids: Pids) -> anyhow::Result<()> {
        let pids = json!({ "up": std::process::id(), "control": pids.control, "dataplane": pids.dataplane });
        replace(&self.pid_file(), &format!("{pids}\n"))
    }

    /// Nothing runs any more.
    pub(super) fn remove_pids(&self) {
        // The file tells nothing that a reader could not find out; its absence is a courtesy.
        let _ = fs::remove_file(self.pid_file());
    }

    fn pid_file(&self) -> PathBuf {
        self.state.join("penstock.pids")
    }
}

/// Adds what the file has; what an argument says stands there alone.
fn merge(into: &mut toml::Table, more: &toml::Table) -> anyhow::Result<()> {
    for (key, value) in more {
        match (into.get_mut(key), value) {
            (None, value) => drop(into.insert(key.clone(), value.clone())),
            (Some(toml::Value::Table(known)), toml::Value::Table(more)) => merge(known, more)?,
            (Some(_), _) => anyhow::bail!("`{key}` is what arguments of `penstock up` say"),
        }
    }
    Ok(())
}

/// Whoever reads meanwhile sees the old file or the new one, whole.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
    written.with_context(|| path.display().to_string())
}

const HEADING: &str = "# Written by `penstock up` at each start: change its arguments, not this file.\n\n";
