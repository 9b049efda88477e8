//! Whom a request is for: `Host`, and the authority of an absolute-form target, held against the name of the connection.
//!
//! Owns the comparison; the name itself is [`Sni`]'s. One origin can serve many names on one connection (RFC 9110 section
//! 7.4), so a request for another name would reach it with headers that were decided for this one.

use crate::sni::Sni;

/// The host that an inspected connection is for.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    host: Sni,
    /// The port that the flow goes to; 443 is right in any case.
    port: u16,
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
        Self { host, port }
    }

    /// Compares `authority` with the connection's own. Case and one trailing dot make no difference. A port is plain
    /// digits, without leading zeros, and not empty: hops disagree about the rest.
    pub(crate) fn compare(&self, authority: &[u8]) -> Agreement {
        if authority.eq_ignore_ascii_case(self.host.as_str().as_bytes()) {
            return Agreement::Same;
        }
        let (host, port) = match authority.iter().rposition(|&byte| byte == b':') {
            Some(colon) => match authority.split_at_checked(colon) {
                Some((host, [b':', digits @ ..])) => (host, port(digits)),
                _ => return Agreement::Malformed,
            },
            None => (authority, Some(HTTPS_PORT)),
        };
        match (Sni::parse(host), port) {
            (Ok(name), Some(port)) if name == self.host && (port == HTTPS_PORT || port == self.port) => Agreement::Same,
            (Ok(_), Some(_)) => Agreement::Other,
            _ => Agreement::Malformed,
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
}
