//! `[link]`: where control is, on this machine or on others.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use penstock_core::limits::LINK_CONTROLS_MAX;
use toml::Spanned;

use super::error::ConfigError;
use super::raw::RawLink;
use super::typed::Source;

/// How control is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// By TLS with certificates on either side, the first that answers, in this order. Each attached node costs control some
    /// 100 KB.
    Controls(Vec<ControlAddress>),
    /// By its Unix socket.
    Socket(PathBuf),
}

/// Where a control on another machine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ControlAddress {
    /// Name or address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl ControlAddress {
    /// Reads `HOST:PORT`; an IPv6 address stands in brackets.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let is_name = |name: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            !name.is_empty() && name.bytes().all(fits)
        };
        let host = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => inner.parse::<Ipv6Addr>().ok()?.to_string(),
            None => Some(host).filter(|host| is_name(host))?.to_owned(),
        };
        Some(Self { host, port })
    }
}

impl fmt::Display for ControlAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl Source<'_> {
    pub(super) fn link(&self, raw: Spanned<RawLink>) -> Result<Link, ConfigError> {
        match raw.get_ref() {
            RawLink { socket: Some(socket), controls: None } => Ok(Link::Socket(self.path("link.socket", socket)?)),
            RawLink { socket: None, controls: Some(controls) } => self.controls(controls),
            _ => self.refuse(
                &raw,
                "`[link]` needs `socket`, for a control on this machine, or `controls`, for those of other machines",
            ),
        }
    }

    fn controls(&self, raw: &Spanned<Vec<Spanned<String>>>) -> Result<Link, ConfigError> {
        if !(1..=LINK_CONTROLS_MAX).contains(&raw.get_ref().len()) {
            return self.refuse(raw, format!("`controls` must name 1 to {LINK_CONTROLS_MAX} controls"));
        }
        let mut controls: Vec<ControlAddress> = Vec::new();
        for written in raw.get_ref() {
            match ControlAddress::parse(written.get_ref()) {
                Some(control) if !controls.contains(&control) => controls.push(control),
                Some(_) => return self.refuse(written, "this control is named twice"),
                None => return self.refuse(written, "a control is `HOST:PORT`, such as `control.corp.example:7443`"),
            }
        }
        Ok(Link::Controls(controls))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn read(link: &str) -> Result<Link, String> {
        let text = format!("state_directory = \"s\"\nlisten.proxy = \"127.0.0.1:8080\"\n[link]\n{link}");
        Config::parse("f", &text).map(|config| config.link).map_err(|error| error.to_string())
    }

    #[test]
    fn control_is_here_or_elsewhere() {
        assert_eq!(read("socket = \"l\"").unwrap(), Link::Socket("l".into()));
        let Link::Controls(controls) =
            read("controls = [\"a.example:7443\", \"[::1]:1\", \"192.0.2.1:65535\"]").unwrap()
        else {
            panic!("no controls")
        };
        let told: Vec<String> = controls.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["a.example:7443", "[::1]:1", "192.0.2.1:65535"]);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (link, said) in [
            ("", "f:3:1: error: `[link]` needs"),
            ("socket = \"l\"\ncontrols = [\"a:1\"]", "f:3:1: error: `[link]` needs"),
            ("controls = []", "f:4:12: error: `controls` must name 1 to 16"),
            ("controls = [\"a:1\", \"a:1\"]", "f:4:20: error: this control is named twice"),
        ] {
            let refused = read(link).unwrap_err();
            assert!(refused.starts_with(said), "{link}: {refused}");
        }
        for wrong in ["a", "a:", ":1", "a:0", "a:65536", "a b:1", "::1:1", "[a]:1", "[::1:1", "https://a:1", "a:1/"] {
            let refused = read(&format!("controls = [\"{wrong}\"]")).unwrap_err();
            assert!(refused.contains("`HOST:PORT`"), "{wrong}: {refused}");
        }
    }
}
