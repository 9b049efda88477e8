//! Where a CONNECT request wants to go: `host:port` (RFC 9110 section 9.3.6), in one spelling only.
//!
//! Owns the forms of addresses. A name that some resolver would take for an address is refused rather than read: `127.1` is
//! 127.0.0.1 to one hop and a name to the next.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::http1::syntax::port;
use crate::sni::Sni;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    /// Whom.
    pub host: Host,
    /// At least 1.
    pub port: u16,
}

/// A host as a client of the proxy names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address; one that is v4-mapped has become its v4 address.
    Address(IpAddr),
    /// A name, normalised.
    Name(Sni),
}

/// What is wrong with an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthorityReject {
    Host,
    Port,
}

impl Authority {
    /// Reads `host[:port]`, as `Host` and absolute-form targets have it.
    pub fn with_default_port(authority: &[u8], port: u16) -> Option<Self> {
        let has_port = match authority {
            [b'[', ..] => !authority.ends_with(b"]"),
            _ => authority.contains(&b':'),
        };
        if has_port {
            return Self::parse(authority).ok();
        }
        Host::parse(authority).map(|host| Self { host, port })
    }

    /// Reads `host:port`; the port must be there.
    pub(super) fn parse(authority: &[u8]) -> Result<Self, AuthorityReject> {
        let colon = authority.iter().rposition(|&byte| byte == b':').ok_or(AuthorityReject::Port)?;
        let (host, port_with_colon) = authority.split_at_checked(colon).ok_or(AuthorityReject::Port)?;
        let host = Host::parse(host).ok_or(AuthorityReject::Host)?;
        let port = port_with_colon.strip_prefix(b":").and_then(port).ok_or(AuthorityReject::Port)?;
        Ok(Self { host, port })
    }
}

impl Host {
    /// The name, if it is one.
    pub const fn name(&self) -> Option<&Sni> {
        match self {
            Self::Address(_) => None,
            Self::Name(name) => Some(name),
        }
    }

    fn parse(host: &[u8]) -> Option<Self> {
        if let [b'[', address @ .., b']'] = host {
            // A zone (`%eth0`) has no meaning beyond the client; the parser refuses it.
            let address: Ipv6Addr = core::str::from_utf8(address).ok()?.parse().ok()?;
            return Some(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        match core::str::from_utf8(host).ok().map(str::parse::<Ipv4Addr>) {
            // Four decimal numbers without leading zeros.
            Some(Ok(address)) => Some(Self::Address(IpAddr::V4(address))),
            _ => Sni::parse(host).ok().map(Self::Name),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString as _};

    fn read(authority: &str) -> Result<String, AuthorityReject> {
        Authority::parse(authority.as_bytes()).map(|authority| authority.to_string())
    }

    #[test]
    fn names_and_addresses_have_one_spelling() {
        for (written, meant) in [
            ("login.live.com:443", "login.live.com:443"),
            ("LOGIN.Live.com.:443", "login.live.com:443"),
            ("192.0.2.7:8443", "192.0.2.7:8443"),
            ("[2001:DB8:0::1]:443", "[2001:db8::1]:443"),
            ("[::ffff:127.0.0.1]:443", "127.0.0.1:443"),
            ("[::ffff:7f00:1]:65535", "127.0.0.1:65535"),
            ("_srv.example:1", "_srv.example:1"),
        ] {
            assert_eq!(read(written).as_deref(), Ok(meant), "{written}");
        }
    }

    #[test]
    fn h112_other_spellings_are_refused() {
        for host in [
            "127.1",
            "0177.0.0.1",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "127.0.0.01",
            "127.0.0.1.",
            "256.0.0.1",
            "[::1",
            "::1",
            "[fe80::1%eth0]",
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
            "[]",
            "[::ffff:127.1]",
            "",
            ".",
            "a..b",
            "user@a",
            "a/b",
            "a b",
            "a\u{e9}",
            "*.a",
        ] {
            assert_eq!(read(&std::format!("{host}:443")), Err(AuthorityReject::Host), "{host}");
        }
        assert_eq!(read(&std::format!("{}:443", "a".repeat(64 * 1024))), Err(AuthorityReject::Host));
        for authority in ["a", "a:", "a:0", "a:0443", "a:+443", "a:65536", "a:443x", "a: 443", "192.0.2.7"] {
            assert_eq!(read(authority), Err(AuthorityReject::Port), "{authority}");
        }
    }
}
