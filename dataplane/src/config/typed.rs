//! The configuration as it is used: checked, typed, defaults applied.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};
use std::time::Duration;

use penstock_core::limits;
use toml::Spanned;

use super::error::ConfigError;
#[cfg(debug_assertions)]
use super::faults::Faults;
use super::flow_limits::{FlowLimits, MintLimits};
use super::hosts::HostTable;
use super::link::Link;
use super::listener::TransparentListener;
use super::parent::{HeaderRule, ParentProxy};
use super::proxy_protocol::{ProxyProtocol, Written};
use super::quic::Quic;
use super::raw::{RawAuth, RawConfig, RawDeadlines, RawListen, RawUpstream};

/// Everything that the process is told when it starts.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Name of this data plane in audit events and on the link. Default: the name in its certificate where it has one, else
    /// the machine's host name.
    pub(crate) node: String,
    /// Whether the file names it.
    pub(crate) is_named: bool,
    /// Words by which a rollout in waves names this node among others. Default: none.
    pub(crate) labels: Vec<String>,
    /// Shards, each a pinned thread with its own ring. Default: one per CPU that the process may use. Costs about 30 MiB
    /// each when its tables are full.
    pub(crate) shards: NonZeroU16,
    /// What carries the shards' waits. Default: io_uring where the host allows it, else epoll, which makes about two
    /// more system calls per wait.
    pub(crate) io_engine: IoEngineSetting,
    /// Directory for the audit spool (at most 1 GiB) and the last-known-good policy; made when it is missing.
    pub(crate) state_directory: PathBuf,
    /// Where clients that know of the proxy arrive.
    pub(crate) listen: Listen,
    /// Where those arrive that do not. Default: nowhere.
    pub(crate) listeners: Vec<TransparentListener>,
    /// Who may use the explicit proxy. Default: whoever reaches it.
    pub(crate) auth: Option<Auth>,
    /// What becomes of QUIC. Default: it does not come here.
    pub(crate) quic: Option<Quic>,
    /// How control is reached.
    pub(crate) link: Link,
    /// How origins are found and trusted.
    pub(crate) upstream: Upstream,
    /// How many flows may be open.
    pub(crate) limits: FlowLimits,
    /// How many leaves may be minted.
    pub(crate) mints: MintLimits,
    /// How long each step of a flow may take.
    pub(crate) deadlines: Deadlines,
    /// What tests have it do wrong.
    #[cfg(debug_assertions)]
    pub(crate) faults: Faults,
}

/// Which I/O engine the shards use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IoEngineSetting {
    /// io_uring where the host allows it, else epoll.
    #[default]
    Auto,
    /// Always epoll.
    Epoll,
    /// io_uring, or the process does not start.
    Uring,
}

/// Where clients that know of the proxy arrive.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    /// The explicit proxy's address; port 0 is any free port.
    pub(crate) proxy: SocketAddr,
    /// Whether connections there begin with a PROXY protocol header.
    pub(crate) proxy_protocol: ProxyProtocol,
}

/// Who may use the explicit proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Auth {
    /// Users, hashes and groups; read again when it changes. A verification costs what its hash asks for, on a thread of
    /// its own: at most 256 MiB each on two threads.
    pub(crate) users_file: PathBuf,
    /// What browsers show when they ask for a password. Default: `Penstock`.
    pub(crate) realm: String,
    /// Whether `username` in the audit shows the whole name. Default: no, its first letter.
    pub(crate) clear_usernames: bool,
}

/// How origins are found and trusted.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    /// PEM files with roots that are trusted beside the native ones. Default: none.
    pub(crate) ca_files: Vec<PathBuf>,
    /// Whether the roots of the operating system are trusted. Default: true.
    pub(crate) native_roots: bool,
    /// Mark on the data plane's own connections to origins, by which rules of the kernel know them (`SO_MARK`, needs
    /// CAP_NET_ADMIN). Default: none.
    pub(crate) mark: Option<NonZeroU32>,
    /// DNS servers. Default: those of the operating system.
    pub(crate) name_servers: Vec<SocketAddr>,
    /// Addresses to dial for names, ahead of DNS.
    pub(crate) hosts: HostTable,
    /// The proxy through which origins are reached. Default: none.
    pub(crate) proxy: Option<ParentProxy>,
    /// Upstreams that are sent a PROXY protocol header. Default: none.
    pub(crate) proxy_headers: Vec<HeaderRule>,
}

/// How long each step of a flow may take; the defaults are those of `penstock_core::limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// From accept to the end of a PROXY protocol header.
    pub(crate) proxy_header: Duration,
    /// From accept to the end of the proxy request head.
    pub(crate) connect_head: Duration,
    /// From accept, or from the answer to CONNECT, to a whole ClientHello.
    pub(crate) sniff: Duration,
    /// For one address of an upstream.
    pub(crate) dial: Duration,
    /// For one TLS handshake.
    pub(crate) handshake: Duration,
    /// From the first byte of an inspected request head to its end, in either version of HTTP; over HTTP/2 also that of the
    /// preface and of frames that hold no content.
    pub(crate) request_head: Duration,
    /// For each 16 KiB of an inspected request's body that the origin waits for, and for its end.
    pub(crate) request_body: Duration,
    /// For which one side of an inspected flow may keep the other waiting in the middle of something. A connection that
    /// stalls holds at most about 1 MiB.
    pub(crate) stall: Duration,
    /// Without a byte in either direction.
    pub(crate) idle: Duration,
    /// For one direction after the other has ended.
    pub(crate) half_close: Duration,
    /// For flows to finish when the process drains.
    pub(crate) drain: Duration,
}

impl Config {
    /// Reads and checks a file.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&file, &text),
            Err(error) => Err(ConfigError::unreadable(&file, error)),
        }
    }

    /// Checks `text`; `file` is its name in messages.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let source = Source { file, text };
        let raw: RawConfig = toml::from_str(text)
            .map_err(|error| ConfigError::at(file, text, error.span().unwrap_or(0..0), error.message()))?;
        let shards = source.shards(raw.shards)?;
        Ok(Self {
            is_named: raw.node.is_some(),
            node: source.node(raw.node)?,
            labels: source.labels(raw.labels)?,
            shards,
            io_engine: source.io_engine(raw.io_engine)?,
            state_directory: source.path("state_directory", &raw.state_directory)?,
            listen: source.listen(raw.listen)?,
            listeners: source.listeners(raw.listener)?,
            auth: raw.auth.map(|auth| source.auth(auth)).transpose()?,
            quic: raw.quic.map(|quic| source.quic(quic)).transpose()?,
            link: source.link(raw.link)?,
            upstream: source.upstream(raw.upstream)?,
            mints: source.mint_limits(&raw.limits)?,
            limits: source.flow_limits(&raw.limits, shards)?,
            deadlines: source.deadlines(raw.deadlines)?,
            #[cfg(debug_assertions)]
            faults: raw.faults,
        })
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            proxy_header: Duration::from_millis(limits::PROXY_HEADER_DEADLINE_MS),
            connect_head: Duration::from_millis(limits::CONNECT_HEAD_DEADLINE_MS),
            sniff: Duration::from_millis(limits::SNIFF_DEADLINE_MS),
            dial: Duration::from_millis(limits::DIAL_DEADLINE_MS),
            handshake: Duration::from_millis(limits::HANDSHAKE_DEADLINE_MS),
            request_head: Duration::from_millis(limits::REQUEST_HEAD_DEADLINE_MS),
            request_body: Duration::from_millis(limits::REQUEST_BODY_DEADLINE_MS),
            stall: Duration::from_millis(limits::STALL_DEADLINE_MS),
            idle: Duration::from_millis(limits::IDLE_DEADLINE_MS),
            half_close: Duration::from_millis(limits::HALF_CLOSE_DEADLINE_MS),
            drain: Duration::from_millis(limits::DRAIN_DEADLINE_MS),
        }
    }
}

/// The text under check: turns a value with its place into a typed one, or into an error that names the place.
pub(super) struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl Source<'_> {
    pub(super) fn refuse<T, V>(&self, value: &Spanned<T>, reason: impl Into<String>) -> Result<V, ConfigError> {
        Err(ConfigError::at(self.file, self.text, value.span(), reason))
    }

    fn node(&self, node: Option<Spanned<String>>) -> Result<String, ConfigError> {
        let Some(node) = node else {
            let uname = rustix::system::uname();
            let name = uname.nodename().to_string_lossy().into_owned();
            return Ok(if is_node_name(&name) { name } else { "dataplane".to_owned() });
        };
        if is_node_name(node.get_ref()) {
            return Ok(node.into_inner());
        }
        self.refuse(&node, format!("`node` must be 1 to {NODE_BYTES_MAX} letters, digits, `-`, `_` or `.`"))
    }

    fn labels(&self, labels: Vec<Spanned<String>>) -> Result<Vec<String>, ConfigError> {
        if let Some(label) = labels.get(LABELS_MAX) {
            return self.refuse(label, format!("a node has at most {LABELS_MAX} labels"));
        }
        let check = |label: Spanned<String>| match is_node_name(label.get_ref()) {
            true => Ok(label.into_inner()),
            false => self.refuse(&label, "a label is letters, digits, `-`, `_` or `.`"),
        };
        labels.into_iter().map(check).collect()
    }

    fn shards(&self, shards: Option<Spanned<u64>>) -> Result<NonZeroU16, ConfigError> {
        let Some(shards) = shards else {
            let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(SHARDS_MAX);
            return Ok(u16::try_from(cpus).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN));
        };
        let within = usize::try_from(*shards.get_ref()).is_ok_and(|count| count <= SHARDS_MAX);
        match u16::try_from(*shards.get_ref()).ok().and_then(NonZeroU16::new) {
            Some(count) if within => Ok(count),
            _ => self.refuse(&shards, format!("`shards` must be between 1 and {SHARDS_MAX}")),
        }
    }

    fn io_engine(&self, engine: Option<Spanned<String>>) -> Result<IoEngineSetting, ConfigError> {
        let Some(engine) = engine else { return Ok(IoEngineSetting::default()) };
        match engine.get_ref().as_str() {
            "auto" => Ok(IoEngineSetting::Auto),
            "epoll" => Ok(IoEngineSetting::Epoll),
            "uring" => Ok(IoEngineSetting::Uring),
            _ => self.refuse(&engine, "`io_engine` must be \"auto\", \"uring\" or \"epoll\"".to_owned()),
        }
    }

    pub(super) fn path(&self, key: &str, path: &Spanned<String>) -> Result<PathBuf, ConfigError> {
        if path.get_ref().is_empty() {
            return self.refuse(path, format!("`{key}` is empty"));
        }
        Ok(PathBuf::from(path.get_ref()))
    }

    pub(super) fn address(&self, key: &str, address: &Spanned<String>) -> Result<SocketAddr, ConfigError> {
        match address.get_ref().parse() {
            Ok(address) => Ok(address),
            Err(_) => self.refuse(
                address,
                format!("`{key}`: `{}` is not an address: write IP:PORT, for IPv6 [IP]:PORT", address.get_ref()),
            ),
        }
    }

    fn listen(&self, raw: RawListen) -> Result<Listen, ConfigError> {
        let proxy = self.address("listen.proxy", &raw.proxy)?;
        let written = Written { mode: raw.proxy_protocol, trusted: raw.trusted, user: raw.proxy_protocol_user };
        Ok(Listen { proxy, proxy_protocol: self.proxy_protocol("listen", written)? })
    }

    fn auth(&self, raw: RawAuth) -> Result<Auth, ConfigError> {
        let users_file = self.path("auth.users_file", &raw.users_file)?;
        let is_plain = |realm: &str| {
            !realm.is_empty() && realm.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
        };
        let realm = match raw.realm {
            None => "Penstock".to_owned(),
            Some(realm) if is_plain(realm.get_ref()) => realm.into_inner(),
            Some(realm) => {
                return self.refuse(&realm, "`auth.realm` must be plain ASCII without quotes and backslashes");
            }
        };
        let clear_usernames = match raw.usernames {
            None => false,
            Some(word) if word.get_ref() == "clear" => true,
            Some(word) if word.get_ref() == "masked" => false,
            Some(word) => return self.refuse(&word, "`auth.usernames` must be \"masked\" or \"clear\""),
        };
        Ok(Auth { users_file, realm, clear_usernames })
    }

    fn upstream(&self, raw: RawUpstream) -> Result<Upstream, ConfigError> {
        let mut hosts = HostTable::default();
        for (name, address) in &raw.hosts {
            if let Err(error) = hosts.insert(name, address.get_ref()) {
                return self.refuse(address, format!("`upstream.hosts`: {error}"));
            }
        }
        let ca_files =
            raw.ca_files.iter().map(|file| self.path("upstream.ca_files", file)).collect::<Result<_, _>>()?;
        let name_servers = raw
            .name_servers
            .iter()
            .map(|server| self.address("upstream.name_servers", server))
            .collect::<Result<_, _>>()?;
        let mark = match raw.mark {
            None => None,
            Some(mark) => match u32::try_from(*mark.get_ref()).ok().and_then(NonZeroU32::new) {
                Some(mark) => Some(mark),
                None => return self.refuse(&mark, format!("`upstream.mark` must be between 1 and {}", u32::MAX)),
            },
        };
        let proxy = raw.proxy.map(|parent| self.parent(parent)).transpose()?;
        let proxy_headers = self.header_rules(&raw.proxy_header)?;
        Ok(Upstream {
            mark,
            ca_files,
            native_roots: raw.native_roots.unwrap_or(true),
            name_servers,
            hosts,
            proxy,
            proxy_headers,
        })
    }

    fn deadlines(&self, raw: RawDeadlines) -> Result<Deadlines, ConfigError> {
        let mut deadlines = Deadlines::default();
        for (key, written, deadline) in [
            ("proxy_header_ms", raw.proxy_header_ms, &mut deadlines.proxy_header),
            ("connect_head_ms", raw.connect_head_ms, &mut deadlines.connect_head),
            ("sniff_ms", raw.sniff_ms, &mut deadlines.sniff),
            ("dial_ms", raw.dial_ms, &mut deadlines.dial),
            ("handshake_ms", raw.handshake_ms, &mut deadlines.handshake),
            ("request_head_ms", raw.request_head_ms, &mut deadlines.request_head),
            ("request_body_ms", raw.request_body_ms, &mut deadlines.request_body),
            ("stall_ms", raw.stall_ms, &mut deadlines.stall),
            ("idle_ms", raw.idle_ms, &mut deadlines.idle),
            ("half_close_ms", raw.half_close_ms, &mut deadlines.half_close),
            ("drain_ms", raw.drain_ms, &mut deadlines.drain),
        ] {
            let Some(written) = written else { continue };
            if !(1..=DEADLINE_MS_MAX).contains(written.get_ref()) {
                return self.refuse(&written, format!("`deadlines.{key}` must be between 1 and {DEADLINE_MS_MAX}"));
            }
            *deadline = Duration::from_millis(*written.get_ref());
        }
        Ok(deadlines)
    }
}

fn is_node_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=NODE_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}

/// Labels of one node.
const LABELS_MAX: usize = 16;
/// Longest node name.
const NODE_BYTES_MAX: usize = 253;
/// Most shards of one process.
const SHARDS_MAX: usize = 1024;
/// A day: a longer deadline is none.
const DEADLINE_MS_MAX: u64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const SHORTEST: &str =
        "state_directory = \"state\"\nlisten.proxy = \"127.0.0.1:8080\"\nlink.socket = \"link.sock\"\n";

    fn refused(text: &str) -> String {
        Config::parse("dataplane.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn the_example_is_accepted() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/config/dataplane.toml");
        let config = Config::load(Path::new(path)).unwrap();
        assert_eq!(config.listen.proxy, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(config.deadlines, Deadlines::default(), "the example shows the defaults");
        assert!(config.upstream.native_roots);
    }

    #[test]
    fn the_shortest_file_has_all_defaults() {
        let config = Config::parse("dataplane.toml", SHORTEST).unwrap();
        assert!(is_node_name(&config.node));
        assert!(config.shards.get() >= 1);
        assert_eq!(config.upstream.hosts, HostTable::default());
        assert!(config.upstream.ca_files.is_empty());
        assert_eq!(config.deadlines, Deadlines::default());
    }

    #[test]
    fn hosts_and_deadlines_are_read() {
        let text = format!(
            "shards = 2\n{SHORTEST}[upstream]\nnative_roots = false\nca_files = [\"a.pem\"]\nname_servers = [\"[::1]:53\"]\n\
             [upstream.hosts]\n\"*\" = \"127.0.0.1:4433\"\n[deadlines]\nidle_ms = 5\nhttp1_head_ms = 6\nstall_ms = 7\n"
        );
        let config = Config::parse("dataplane.toml", &text).unwrap();
        assert_eq!(config.shards.get(), 2);
        assert!(!config.upstream.native_roots);
        assert_eq!(config.upstream.ca_files, [PathBuf::from("a.pem")]);
        assert_eq!(config.upstream.name_servers, ["[::1]:53".parse().unwrap()]);
        assert_ne!(config.upstream.hosts, HostTable::default());
        assert_eq!(config.deadlines.idle, Duration::from_millis(5));
        assert_eq!(config.deadlines.request_head, Duration::from_millis(6), "under its former name");
        assert_eq!(config.deadlines.stall, Duration::from_millis(7));
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        assert_eq!(
            refused("shards = 0\nstate_directory = \"s\"\nlisten.proxy = \"127.0.0.1:1\"\nlink.socket = \"l\""),
            "dataplane.toml:1:10: error: `shards` must be between 1 and 1024"
        );
        assert_eq!(
            refused(&format!("{SHORTEST}[upstream.hosts]\n\"a.example\" = \"nowhere\"\n")),
            "dataplane.toml:5:15: error: `upstream.hosts`: `nowhere` is not an address: write IP:PORT, for IPv6 [IP]:PORT"
        );
        assert!(refused(&format!("{SHORTEST}[deadlines]\nidle_ms = 0\n")).starts_with("dataplane.toml:5:11: error: "));
        assert!(refused(&format!("{SHORTEST}sharts = 1\n")).contains("unknown field `sharts`"));
        let labels = format!("labels = [\"canary\", \"site-7\"]\n{SHORTEST}");
        assert_eq!(Config::parse("dataplane.toml", &labels).unwrap().labels, ["canary", "site-7"]);
        assert!(refused(&format!("labels = [\"a b\"]\n{SHORTEST}")).starts_with("dataplane.toml:1:11: error: a label"));
        assert!(refused(&format!("node = \"a b\"\n{SHORTEST}")).starts_with("dataplane.toml:1:8: error: `node` must"));
        assert!(
            refused(&format!("{SHORTEST}[auth]\nusers_file = \"u\"\nrealm = 'a\"b'\n"))
                .contains(":6:9: error: `auth.realm`")
        );
        assert!(refused(&format!("{SHORTEST}[auth]\nrealm = \"a\"\n")).contains("users_file"));
        assert!(refused(&format!("{SHORTEST}[upstream]\nmark = 0\n")).contains(":5:8: error: `upstream.mark`"));
        assert!(refused("listen.proxy = \"127.0.0.1:1\"\nlink.socket = \"l\"").contains("state_directory"));
        assert!(refused("state_directory = \n").starts_with("dataplane.toml:1:"));
    }

    #[test]
    fn an_unreadable_file_is_named() {
        let error = Config::load(Path::new("/nonexistent/dataplane.toml")).unwrap_err().to_string();
        assert!(error.starts_with("/nonexistent/dataplane.toml: error: cannot be read: "), "{error}");
    }
}
