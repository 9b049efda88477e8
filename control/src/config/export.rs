//! `[[export]]`: where audit events go beside the store, and how a mistake there is told.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::store::is_loopback;

/// An `[[export]]` table as written.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawExport {
    /// Names the export in its metrics and remembers how far it is: another name begins with the oldest event that is kept.
    pub name: String,
    /// `file`, `syslog`, `otlp` or `nats`.
    pub kind: String,
    /// Names of people as they are. Default false: masked, as in the report.
    #[serde(default)]
    pub personal: bool,
    /// file: where lines of JSON are added.
    pub path: Option<PathBuf>,
    /// file: bytes at which a file is closed and another begun. Default 64 MiB, at least 4 KiB.
    pub rotate_bytes: Option<u64>,
    /// file: closed files that are kept beside the open one. Default 8.
    pub keep: Option<u32>,
    /// syslog: `HOST:PORT`. RFC 5424 messages, octet counted, over TLS (RFC 5425) or TCP (RFC 6587).
    pub address: Option<String>,
    /// otlp: `https://HOST[:PORT]/PATH`, mostly `/v1/logs`: OTLP logs as JSON over HTTP.
    pub url: Option<String>,
    /// otlp: file with one `Name: value` a line, sent as headers; readable by its owner alone.
    pub headers_file: Option<PathBuf>,
    /// nats: `HOST[:PORT]` of each server of a cluster; the port is 4222 unless it is said.
    pub servers: Option<Vec<String>>,
    /// nats: subject of the messages, which a stream must take. Default `penstock.events`.
    pub subject: Option<String>,
    /// nats: file with the user's JWT and seed, as `nsc` writes it; readable by its owner alone.
    pub credentials_file: Option<PathBuf>,
    /// syslog, nats: whether TLS is spoken. Default true.
    pub tls: Option<bool>,
    /// PEM: authorities that are trusted beside those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// Speak in the clear with another host than this one: the events can be read on the way. Default false.
    #[serde(default)]
    pub allow_plaintext: bool,
}

/// One export, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportSettings {
    /// Unique; fit for a label.
    pub name: String,
    /// Names of people as they are.
    pub personal: bool,
    /// Where to.
    pub destination: Destination,
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Lines of JSON.
    File {
        /// The open file; closed ones have `.1`, `.2` behind the name, the newest first.
        path: PathBuf,
        /// Size at which the next is begun.
        rotate_bytes: u64,
        /// Closed files that are kept.
        keep: u32,
    },
    /// A stream of JetStream.
    Nats(NatsSettings),
    /// Syslog over a stream.
    Syslog(Peer),
    /// OTLP logs as JSON over HTTP.
    Otlp(CollectorSettings),
}

/// Servers of NATS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsSettings {
    /// `HOST:PORT` of each.
    pub servers: Vec<String>,
    /// Where messages go.
    pub subject: String,
    /// File with the user's JWT and seed.
    pub credentials_file: Option<PathBuf>,
    /// TLS, with these authorities beside the operating system's; `None` in the clear.
    pub tls: Option<Option<PathBuf>>,
}

impl NatsSettings {
    /// As it is told to people.
    pub fn label(&self) -> String {
        format!("{} {}", self.servers.join(","), self.subject)
    }
}

/// A collector of OpenTelemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorSettings {
    /// Where it listens.
    pub peer: Peer,
    /// Path and query of the request.
    pub path: String,
    /// File of more headers.
    pub headers_file: Option<PathBuf>,
}

impl CollectorSettings {
    /// As it is told to people.
    pub fn label(&self) -> String {
        format!("{}{}", self.peer.label(), self.path)
    }

    /// Reads `https://HOST[:PORT]/PATH`.
    pub(super) fn read(
        url: &str,
        default_path: &str,
        headers_file: Option<PathBuf>,
        ca_file: Option<PathBuf>,
        allow_plaintext: bool,
    ) -> Result<Self, &'static str> {
        let (tls, rest) = match url.split_once("://") {
            Some(("https", rest)) => (Some(ca_file), rest),
            Some(("http", rest)) => (None, rest),
            _ => return Err("url: must begin with https:// or http://"),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let default_port = if tls.is_some() { 443 } else { 80 };
        let (host, port) = host_and_port(authority, Some(default_port)).ok_or("url: names no host")?;
        let path = if path.is_empty() { default_path } else { path };
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("url: has a character that stands in no path");
        }
        let peer = peer(host, port, tls, allow_plaintext)?;
        Ok(Self { peer, path: path.to_owned(), headers_file })
    }
}

/// The other end of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// TLS, with these authorities beside the operating system's; `None` in the clear.
    pub tls: Option<Option<PathBuf>>,
}

impl Peer {
    /// As it is told to people.
    pub fn label(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}", self.port)
    }
}

/// Checks all tables of a file.
pub(super) fn check(raw: Vec<RawExport>) -> Result<Vec<ExportSettings>, ConfigError> {
    let mut exports: Vec<ExportSettings> = Vec::new();
    for table in raw {
        let name = table.name.clone();
        let refuse = |reason: &str| ConfigError::Export { name: name.clone(), reason: reason.to_owned() };
        let is_fit = !name.is_empty() && name.len() <= NAME_BYTES_MAX;
        if !is_fit || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
            return Err(refuse("name: 1 to 32 of a to z, 0 to 9 and -"));
        }
        if exports.iter().any(|other| other.name == name) {
            return Err(refuse("there is another export of this name"));
        }
        if exports.len() >= EXPORTS_MAX {
            return Err(refuse("there are more than 8 exports"));
        }
        let personal = table.personal;
        let destination = destination(table).map_err(refuse)?;
        exports.push(ExportSettings { name, personal, destination });
    }
    Ok(exports)
}

fn destination(raw: RawExport) -> Result<Destination, &'static str> {
    if let Some(allowed) = keys(&raw.kind)
        && given(&raw).into_iter().any(|(key, is_given)| is_given && !allowed.contains(&key))
    {
        return Err("it has keys of another kind of export");
    }
    let tls = raw.tls.unwrap_or(true).then(|| raw.ca_file.clone());
    match raw.kind.as_str() {
        "file" => {
            let rotate_bytes = raw.rotate_bytes.unwrap_or(ROTATE_BYTES);
            if rotate_bytes < ROTATE_BYTES_MIN {
                return Err("rotate_bytes: must be at least 4096");
            }
            let path = raw.path.ok_or("path: says where the lines go")?;
            Ok(Destination::File { path, rotate_bytes, keep: raw.keep.unwrap_or(KEEP).min(KEEP_MAX) })
        }
        "nats" => nats(raw, tls).map(Destination::Nats),
        "syslog" => {
            let address = raw.address.ok_or("address: says HOST:PORT")?;
            let (host, port) = host_and_port(&address, None).ok_or("address: must be HOST:PORT")?;
            Ok(Destination::Syslog(peer(host, port, tls, raw.allow_plaintext)?))
        }
        "otlp" => {
            let url = raw.url.ok_or("url: says https://HOST[:PORT]/PATH")?;
            let (headers_file, ca_file) = (raw.headers_file, raw.ca_file);
            let read = CollectorSettings::read(&url, "/v1/logs", headers_file, ca_file, raw.allow_plaintext)?;
            Ok(Destination::Otlp(read))
        }
        _ => Err("kind: must be \"file\", \"syslog\", \"otlp\" or \"nats\""),
    }
}

fn nats(raw: RawExport, tls: Option<Option<PathBuf>>) -> Result<NatsSettings, &'static str> {
    let told = raw.servers.filter(|servers| !servers.is_empty()).ok_or("servers: says HOST[:PORT] of each")?;
    let read = |text: &String| {
        let (host, port) = host_and_port(text, Some(NATS_PORT)).ok_or("servers: each must be HOST[:PORT]")?;
        peer(host, port, tls.clone(), raw.allow_plaintext).map(|server| server.label())
    };
    let servers = told.iter().map(read).collect::<Result<_, _>>()?;
    let subject = raw.subject.unwrap_or_else(|| "penstock.events".to_owned());
    let is_token =
        |token: &str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic() && !b"*>".contains(&byte));
    if !subject.split('.').all(is_token) {
        return Err("subject: must be words with dots between them, without * and >");
    }
    Ok(NatsSettings { servers, subject, credentials_file: raw.credentials_file, tls })
}

/// The keys that are for a kind of export, beside those that are for all.
fn keys(kind: &str) -> Option<&'static [&'static str]> {
    match kind {
        "file" => Some(&["path", "rotate_bytes", "keep"]),
        "nats" => Some(&["servers", "subject", "credentials_file", "tls", "ca_file"]),
        "otlp" => Some(&["url", "headers_file", "ca_file"]),
        "syslog" => Some(&["address", "tls", "ca_file"]),
        _ => None,
    }
}

fn given(raw: &RawExport) -> [(&'static str, bool); 11] {
    [
        ("address", raw.address.is_some()),
        ("ca_file", raw.ca_file.is_some()),
        ("credentials_file", raw.credentials_file.is_some()),
        ("headers_file", raw.headers_file.is_some()),
        ("keep", raw.keep.is_some()),
        ("path", raw.path.is_some()),
        ("rotate_bytes", raw.rotate_bytes.is_some()),
        ("servers", raw.servers.is_some()),
        ("subject", raw.subject.is_some()),
        ("tls", raw.tls.is_some()),
        ("url", raw.url.is_some()),
    ]
}

fn peer(host: String, port: u16, tls: Option<Option<PathBuf>>, allow_plaintext: bool) -> Result<Peer, &'static str> {
    if tls.is_none() && !is_loopback(&host) && !allow_plaintext {
        return Err("events would cross the network in the clear: use TLS, or say allow_plaintext = true");
    }
    Ok(Peer { host, port, tls })
}

pub(super) fn host_and_port(text: &str, default_port: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port.strip_prefix(':'))
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(default_port, |port| port.parse().ok().filter(|port| *port != 0))?;
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
    (!host.is_empty() && host.bytes().all(is_fit)).then(|| (host.to_owned(), port))
}

const NATS_PORT: u16 = 4222;
const EXPORTS_MAX: usize = 8;
const NAME_BYTES_MAX: usize = 32;
const ROTATE_BYTES: u64 = 64 * 1024 * 1024;
const ROTATE_BYTES_MIN: u64 = 4_096;
const KEEP: u32 = 8;
const KEEP_MAX: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<ExportSettings>, String> {
        let text = format!("state_directory = '/x'\n{text}");
        let raw: super::super::RawConfig = toml::from_str(&text).map_err(|error| error.to_string())?;
        check(raw.export).map_err(|error| error.to_string())
    }

    #[test]
    fn exports_are_read_with_their_defaults() {
        let read = read(
            "[[export]]\nname = 'lines'\nkind = 'file'\npath = '/e.jsonl'\n\
             [[export]]\nname = 'siem'\nkind = 'syslog'\naddress = 'siem.example:6514'\npersonal = true\n\
             [[export]]\nname = 'otel'\nkind = 'otlp'\nurl = 'http://[::1]:4318'\n\
             [[export]]\nname = 'nats'\nkind = 'nats'\nservers = ['a.example', '[::1]:4223']\n",
        )
        .unwrap();
        let file = Destination::File { path: "/e.jsonl".into(), rotate_bytes: 64 << 20, keep: 8 };
        assert_eq!((&read[0].destination, read[0].personal), (&file, false));
        let siem = Peer { host: "siem.example".to_owned(), port: 6514, tls: Some(None) };
        assert_eq!((&read[1].destination, read[1].personal), (&Destination::Syslog(siem), true));
        let here = Peer { host: "::1".to_owned(), port: 4318, tls: None };
        assert_eq!(here.label(), "[::1]:4318");
        let collector = CollectorSettings { peer: here, path: "/v1/logs".to_owned(), headers_file: None };
        assert_eq!(read[2].destination, Destination::Otlp(collector));
        let Destination::Nats(nats) = &read[3].destination else { panic!("{:?}", read[3]) };
        assert_eq!(nats.label(), "a.example:4222,[::1]:4223 penstock.events");
        assert_eq!(nats.tls, Some(None));
    }

    #[test]
    fn mistakes_are_named() {
        for (table, told) in [
            ("name = ''\nkind = 'file'\npath = '/e'", "name: 1 to 32"),
            ("name = 'A'\nkind = 'file'\npath = '/e'", "name: 1 to 32"),
            ("name = 'a'\nkind = 'kafka'", "kind: must be"),
            ("name = 'a'\nkind = 'file'", "path: says"),
            ("name = 'a'\nkind = 'file'\npath = '/e'\naddress = 'b:1'", "another kind"),
            ("name = 'a'\nkind = 'file'\npath = '/e'\nrotate_bytes = 1", "at least 4096"),
            ("name = 'a'\nkind = 'syslog'\naddress = 'siem.example'", "must be HOST:PORT"),
            ("name = 'a'\nkind = 'syslog'\naddress = 'siem.example:0'", "must be HOST:PORT"),
            ("name = 'a'\nkind = 'syslog'\naddress = 'siem.example:514'\ntls = false", "in the clear"),
            ("name = 'a'\nkind = 'otlp'\nurl = 'http://otel.example/v1/logs'", "in the clear"),
            ("name = 'a'\nkind = 'otlp'\nurl = 'ftp://otel.example'", "must begin with"),
            ("name = 'a'\nkind = 'otlp'\nurl = 'https://ot el/'", "names no host"),
            ("name = 'a'\nkind = 'otlp'\nurl = 'https://otel/a b'", "stands in no path"),
            ("name = 'a'\nkind = 'nats'\nservers = []", "servers: says"),
            ("name = 'a'\nkind = 'nats'\nservers = ['a b']", "each must be HOST[:PORT]"),
            ("name = 'a'\nkind = 'nats'\nservers = ['nats.example']\ntls = false", "in the clear"),
            ("name = 'a'\nkind = 'nats'\nservers = ['n']\nsubject = 'events.>'", "without * and >"),
            ("name = 'a'\nkind = 'nats'\nservers = ['n']\nurl = 'https://n'", "another kind"),
        ] {
            let refused = read(&format!("[[export]]\n{table}\n")).unwrap_err();
            assert!(refused.contains(told), "{table}: {refused}");
        }
        let twice = "[[export]]\nname = 'a'\nkind = 'file'\npath = '/e'\n".repeat(2);
        assert!(read(&twice).unwrap_err().contains("another export of this name"));
        read("[[export]]\nname = 'a'\nkind = 'syslog'\naddress = 's:514'\ntls = false\nallow_plaintext = true")
            .unwrap();
    }
}
