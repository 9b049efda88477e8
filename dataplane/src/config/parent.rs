//! `[upstream.proxy]` and `[[upstream.proxy_header]]`: the proxy through which origins are reached, and the upstreams that
//! are told by a PROXY protocol header whom a connection is for.

use std::fmt;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use penstock_core::proxy::proxy_protocol::Version;
use penstock_core::proxy::{Authority, Host, parent};
use penstock_core::sni::Sni;
use toml::Spanned;
use zeroize::Zeroizing;

use super::error::ConfigError;
use super::raw::{RawHeaderRule, RawParent};
use super::typed::Source;

/// The parent proxy.
#[derive(Clone)]
pub(crate) struct ParentProxy {
    pub(crate) address: Authority,
    /// The field with the credentials, or nothing.
    pub(crate) authorization: Arc<Zeroizing<Vec<u8>>>,
    /// Whether the parent is told by a PROXY protocol header whom a connection is for. Default: no.
    pub(crate) proxy_header: Option<Version>,
    /// What is reached without the parent. Default: nothing.
    exceptions: Vec<Reach>,
}

/// Upstreams that are sent a PROXY protocol header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeaderRule {
    hosts: Vec<Reach>,
    version: Version,
}

/// Hosts in a list of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reach {
    /// Every name below.
    Below(Sni),
    Name(Sni),
    Network(IpNet),
}

impl ParentProxy {
    /// Whether `host` is reached without the parent. Names are not resolved for that: a network covers addresses alone.
    pub(crate) fn excepts(&self, host: &Host) -> bool {
        self.exceptions.iter().any(|reach| reach.covers(host))
    }
}

impl fmt::Debug for ParentProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParentProxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl HeaderRule {
    /// The header that the rules want ahead of a connection for `host`.
    pub(crate) fn find(rules: &[Self], host: &Host) -> Option<Version> {
        rules.iter().find(|rule| rule.hosts.iter().any(|reach| reach.covers(host))).map(|rule| rule.version)
    }
}

impl Reach {
    fn parse(text: &str) -> Option<Self> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        if let Ok(network) = network {
            return (network.trunc() == network).then_some(Self::Network(network));
        }
        match text.strip_prefix("*.") {
            Some(suffix) => Sni::parse(suffix.as_bytes()).ok().map(Self::Below),
            None => Sni::parse(text.as_bytes()).ok().map(Self::Name),
        }
    }

    fn covers(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Network(network), Host::Address(address)) => network.contains(address),
            (Self::Name(known), Host::Name(name)) => known == name,
            (Self::Below(suffix), Host::Name(name)) => {
                let above = name.as_str().strip_suffix(suffix.as_str()).and_then(|rest| rest.strip_suffix('.'));
                above.is_some_and(|labels| !labels.is_empty())
            }
            _ => false,
        }
    }
}

impl Source<'_> {
    pub(super) fn parent(&self, raw: RawParent) -> Result<ParentProxy, ConfigError> {
        let written = raw.address.get_ref();
        let has_port = written.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let address = Authority::with_default_port(written.as_bytes(), 1).filter(|_| has_port);
        let Some(address) = address else {
            let reason = format!("`upstream.proxy.address`: `{written}` is not HOST:PORT, for IPv6 [IP]:PORT");
            return self.refuse(&raw.address, reason);
        };
        let authorization = raw.credentials_file.map(|file| self.credentials(&file)).transpose()?;
        Ok(ParentProxy {
            address,
            authorization: Arc::new(authorization.unwrap_or_default()),
            proxy_header: raw.proxy_header.map(|word| self.header_version(&word)).transpose()?,
            exceptions: self.reaches("upstream.proxy.no_proxy", &raw.no_proxy)?,
        })
    }

    pub(super) fn header_rules(&self, raw: &[RawHeaderRule]) -> Result<Vec<HeaderRule>, ConfigError> {
        let rule = |rule: &RawHeaderRule| {
            let hosts = self.reaches("upstream.proxy_header.hosts", &rule.hosts)?;
            Ok(HeaderRule { hosts, version: self.header_version(&rule.version)? })
        };
        raw.iter().map(rule).collect()
    }

    fn header_version(&self, word: &Spanned<String>) -> Result<Version, ConfigError> {
        match Version::ALL.iter().find(|version| version.label() == word.get_ref()) {
            Some(version) => Ok(*version),
            None => self.refuse(word, "a PROXY protocol header is of version \"v1\" or \"v2\""),
        }
    }

    fn reaches(&self, key: &str, list: &[Spanned<String>]) -> Result<Vec<Reach>, ConfigError> {
        let read = |text: &Spanned<String>| match Reach::parse(text.get_ref()) {
            Some(reach) => Ok(reach),
            None => self.refuse(
                text,
                format!("`{key}`: `{}` is neither a name, *.NAME, an address nor a network", text.get_ref()),
            ),
        };
        list.iter().map(read).collect()
    }

    /// Reads `user:password`, which nobody but the owner of the file may be able to read.
    fn credentials(&self, file: &Spanned<String>) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
        let path = file.get_ref();
        let read = || {
            let text = std::fs::read_to_string(path).map(Zeroizing::new)?;
            Ok::<_, std::io::Error>((std::fs::metadata(Path::new(path))?.mode(), text))
        };
        let (mode, text) = match read() {
            Ok(read) => read,
            Err(error) => return self.refuse(file, format!("`{path}` cannot be read: {error}")),
        };
        if mode & 0o077 != 0 {
            return self.refuse(file, format!("`{path}` can be read by others than its owner: chmod 600 {path}"));
        }
        match parent::authorization(text.trim_end_matches(['\r', '\n'])) {
            Some(field) => Ok(field),
            None => self.refuse(file, format!("`{path}` must hold one line, user:password")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::Config;
    use super::*;

    const SHORTEST: &str = "state_directory = \"s\"\nlisten.proxy = \"127.0.0.1:8080\"\nlink.socket = \"l\"\n";

    fn read(text: &str) -> Result<Config, String> {
        Config::parse("dataplane.toml", &format!("{SHORTEST}{text}")).map_err(|error| error.to_string())
    }

    fn host(text: &str) -> Host {
        Authority::with_default_port(text.as_bytes(), 443).unwrap().host
    }

    #[test]
    fn a_parent_with_exceptions_is_read() {
        let config = read(
            "[upstream.proxy]\naddress = \"proxy.corp.example:3128\"\nproxy_header = \"v2\"\n\
             no_proxy = [\"*.corp.example\", \"a.example\", \"10.0.0.0/8\"]\n\
             [[upstream.proxy_header]]\nhosts = [\"*.inside.example\"]\nversion = \"v1\"\n",
        );
        let upstream = config.unwrap().upstream;
        let parent = upstream.proxy.unwrap();
        assert_eq!(
            (parent.address.to_string().as_str(), parent.proxy_header),
            ("proxy.corp.example:3128", Some(Version::Two))
        );
        assert!(parent.authorization.is_empty());
        for (text, is_excepted) in [
            ("git.corp.example", true),
            ("a.b.corp.example", true),
            ("corp.example", false),
            ("notcorp.example", false),
            ("a.example", true),
            ("b.a.example", false),
            ("10.1.2.3", true),
            ("11.1.2.3", false),
        ] {
            assert_eq!(parent.excepts(&host(text)), is_excepted, "{text}");
        }
        assert_eq!(HeaderRule::find(&upstream.proxy_headers, &host("x.inside.example")), Some(Version::One));
        assert_eq!(HeaderRule::find(&upstream.proxy_headers, &host("x.example")), None);
    }

    #[test]
    fn credentials_are_the_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("parent");
        let text = format!(
            "[upstream.proxy]\naddress = \"192.0.2.1:3128\"\ncredentials_file = {:?}\n",
            file.display().to_string()
        );
        assert!(read(&text).unwrap_err().starts_with("dataplane.toml:6:20: error: "));
        fs::write(&file, "alice:secret\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let said = read(&text).unwrap_err();
        assert!(said.starts_with("dataplane.toml:6:20: error: ") && said.contains("chmod 600"), "{said}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let config = read(&text).unwrap();
        let shown = format!("{config:?}");
        assert!(!shown.contains("secret") && !shown.contains("YWxp"), "{shown}");
        let field = config.upstream.proxy.unwrap().authorization;
        assert_eq!(&field[..], b"Proxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n");
        fs::write(&file, "alice\n").unwrap();
        assert!(read(&text).unwrap_err().contains("one line, user:password"));
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (text, place) in [
            ("[upstream.proxy]\naddress = \"proxy\"\n", "5:11"),
            ("[upstream.proxy]\naddress = \"proxy:0\"\n", "5:11"),
            ("[upstream.proxy]\naddress = \"http://proxy:1\"\n", "5:11"),
            ("[upstream.proxy]\naddress = \"[::1]\"\n", "5:11"),
            ("[upstream.proxy]\naddress = \"p:1\"\nno_proxy = [\"a b\"]\n", "6:13"),
            ("[upstream.proxy]\naddress = \"p:1\"\nno_proxy = [\"10.0.0.1/8\"]\n", "6:13"),
            ("[upstream.proxy]\naddress = \"p:1\"\nproxy_header = \"v3\"\n", "6:16"),
            ("[[upstream.proxy_header]]\nhosts = [\"a.example\"]\nversion = \"2\"\n", "6:11"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.starts_with(&format!("dataplane.toml:{place}: error: ")), "{text}: {said}");
        }
    }
}
