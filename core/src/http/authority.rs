//! Whom a request is for: `Host`, and the authority of an absolute-form target, held against the name of the connection.
//!
//! Owns the comparison; the name itself is [`Sni`]'s. One origin can serve many names on one connection (RFC 9110 section
//! 7.4), so a request for another name would reach it with headers that were decided for this one.

use crate::proxy::{Authority, Host};
use crate::sni::Sni;

/// The host that a connection is for.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    host: Host,
    /// The port that the flow goes to.
    port: u16,
    scheme: Scheme,
}

/// What stands before the authority of an absolute-form target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// To a proxy, for an origin that is reached in the clear. The target is always absolute.
    Http,
    /// Inside TLS. Port 443 is right in any case.
    Https,
}

/// How an authority relates to the connection's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// It names the same host, on a port that the connection may be for.
    Same,
    /// It is well-formed and names another host or port.
    Other,
    /// It is no `host[:port]`.
    Malformed,
}

impl Origin {
    pub(crate) const fn new(host: Sni, port: u16) -> Self {
        Self { host: Host::Name(host), port, scheme: Scheme::Https }
    }

    /// What a request for plain HTTP asks the proxy for.
    pub(crate) fn plain(authority: Authority) -> Self {
        Self { host: authority.host, port: authority.port, scheme: Scheme::Http }
    }

    pub(crate) const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Compares `authority` with the connection's own. Case and one trailing dot make no difference. A port is plain
    /// digits, without leading zeros, and not empty: hops disagree about the rest.
    pub(crate) fn compare(&self, authority: &[u8]) -> Agreement {
        match (&self.host, self.scheme) {
            (Host::Name(name), Scheme::Https) if authority.eq_ignore_ascii_case(name.as_str().as_bytes()) => {
                return Agreement::Same;
            }
            _ => {}
        }
        let Some(read) = Authority::with_default_port(authority, self.scheme.port()) else {
            return Agreement::Malformed;
        };
        match (&read.host, self.scheme) {
            // Inside TLS there is a name, and an address is none.
            (Host::Address(_), Scheme::Https) => Agreement::Malformed,
            (host, scheme) if *host == self.host && self.is_port(read.port, scheme) => Agreement::Same,
            _ => Agreement::Other,
        }
    }

    const fn is_port(&self, port: u16, scheme: Scheme) -> bool {
        port == self.port || (port == HTTPS_PORT && matches!(scheme, Scheme::Https))
    }
}

impl Scheme {
    /// With its separator.
    pub(crate) const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Http => b"http://",
            Self::Https => b"https://",
        }
    }

    /// The port of an authority without one.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::Http => HTTP_PORT,
            Self::Https => HTTPS_PORT,
        }
    }
}

/// A port in decimal, from 1, without leading zeros.
pub(crate) fn port(digits: &[u8]) -> Option<u16> {
    match digits {
        [b'1'..=b'9', ..] if digits.iter().all(u8::is_ascii_digit) => {
            core::str::from_utf8(digits).ok().and_then(|text| text.parse().ok())
        }
        _ => None,
    }
}

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h036_host_forms() {
        let origin = Origin::new(Sni::parse(b"login.example").unwrap(), 8443);
        for same in [
            "login.example",
            "LOGIN.Example",
            "login.example.",
            "login.example:443",
            "login.example:8443",
            "Login.Example.:443",
        ] {
            assert_eq!(origin.compare(same.as_bytes()), Agreement::Same, "{same}");
        }
        for other in ["other.example", "login.example:80", "login.example.evil", "xlogin.example", "login.example:4430"]
        {
            assert_eq!(origin.compare(other.as_bytes()), Agreement::Other, "{other}");
        }
        for malformed in [
            "",
            ":",
            ":443",
            "login.example:",
            "login.example:0443",
            "login.example:+443",
            "login.example:0",
            "login.example:65536",
            "login.example:443:443",
            "user@login.example",
            "login.example/x",
            "login.example#x",
            "login.example?x",
            "login.example, other.example",
            "login.example other",
            "[::1]",
            "127.0.0.1",
            "127.1:443",
            "login.example:443 ",
            "login\u{2024}example",
            "login..example",
            "login.example..",
            "*.example",
        ] {
            assert_eq!(origin.compare(malformed.as_bytes()), Agreement::Malformed, "{malformed}");
        }
    }
    #[test]
    fn h035_host_forms_of_plain_http() {
        let origin = |authority: &[u8]| Origin::plain(Authority::with_default_port(authority, 80).unwrap());
        for (target, host, agreement) in [
            ("a.example", "a.example", Agreement::Same),
            ("a.example", "A.Example.:80", Agreement::Same),
            ("a.example:80", "a.example", Agreement::Same),
            ("a.example:8080", "a.example:8080", Agreement::Same),
            ("192.0.2.1", "192.0.2.1:80", Agreement::Same),
            ("[2001:db8::1]", "[2001:DB8:0::1]:80", Agreement::Same),
            ("a.example:8080", "a.example", Agreement::Other),
            ("a.example", "a.example:443", Agreement::Other),
            ("a.example", "b.example", Agreement::Other),
            ("a.example", "192.0.2.1", Agreement::Other),
            ("192.0.2.1", "a.example", Agreement::Other),
            ("a.example", "", Agreement::Malformed),
            ("a.example", "a.example:", Agreement::Malformed),
            ("a.example", "u@a.example", Agreement::Malformed),
            ("127.0.0.1", "127.1", Agreement::Malformed),
        ] {
            assert_eq!(origin(target.as_bytes()).compare(host.as_bytes()), agreement, "{target} {host}");
        }
    }
}
