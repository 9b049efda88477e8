//! The host name of a TLS connection, normalised and checked, so that two spellings of one name compare equal.
//!
//! Owns what counts as a host name, wherever one comes from: the ClientHello, the proxy request, the policy. Does not
//! own matching against patterns (`policy`) nor the `server_name` extension around it (`tls::client_hello`).

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;

use crate::labelled;
use crate::limits::{HOST_LABEL_BYTES_MAX, HOST_NAME_BYTES_MAX};

/// A host name: lower-case ASCII labels of letters, digits, hyphens and underscores, without a trailing dot, at most 253
/// bytes, and never an address in any spelling. Cloning it is cheap.
///
/// A-labels (`xn--...`) are kept as bytes and never decoded: a decoder would make two names of one (RUSTSEC-2024-0421).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sni(Arc<str>);

labelled! {
    /// Why bytes are no host name.
    pub enum SniReject {
        /// An IP address, in any spelling that a URL parser takes for one: `127.0.0.1`, `127.1`, `0x7f.1`, `2130706433`,
        /// `::1`. RFC 6066 section 3 forbids them in `server_name`.
        Address = "sni_address",
        /// A byte other than a letter, digit, hyphen, underscore or dot.
        Character = "sni_character",
        /// No bytes, or nothing but the trailing dot.
        Empty = "sni_empty",
        /// Two dots in a row, or a leading one.
        EmptyLabel = "sni_empty_label",
        /// A label over 63 bytes (RFC 1035 section 2.3.4).
        LabelTooLong = "sni_label_too_long",
        /// Over 253 bytes without the trailing dot.
        TooLong = "sni_too_long",
    }
}

impl Sni {
    /// Normalises and checks `raw`: upper case is folded and one trailing dot is dropped; all else is kept or refused.
    ///
    /// Underscores, and hyphens at either end of a label, are let through: real hosts carry them.
    pub fn parse(raw: &[u8]) -> Result<Self, SniReject> {
        let name = raw.strip_suffix(b".").unwrap_or(raw);
        if name.is_empty() {
            return Err(SniReject::Empty);
        }
        let mut lower = [0; HOST_NAME_BYTES_MAX];
        let Some(lower) = lower.get_mut(..name.len()) else {
            return Err(SniReject::TooLong);
        };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        check_labels(lower)?;
        // The labels are ASCII by now, so this cannot fail.
        let text = core::str::from_utf8(lower).map_err(|_| SniReject::Character)?;
        Ok(Self(Arc::from(text)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Sni {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Sni {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Sni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Sni> for Arc<str> {
    fn from(sni: Sni) -> Self {
        sni.0
    }
}

impl FromStr for Sni {
    type Err = SniReject;

    fn from_str(text: &str) -> Result<Self, SniReject> {
        Self::parse(text.as_bytes())
    }
}

impl core::error::Error for SniReject {}

/// Checks the labels of a lower-case name without its trailing dot, left to right, and that the last is not a number.
fn check_labels(name: &[u8]) -> Result<(), SniReject> {
    let mut label_bytes = 0;
    for &byte in name {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => label_bytes += 1,
            b'.' if label_bytes == 0 => return Err(SniReject::EmptyLabel),
            b'.' => label_bytes = 0,
            _ if is_ipv6(name) => return Err(SniReject::Address),
            _ => return Err(SniReject::Character),
        }
        if label_bytes > HOST_LABEL_BYTES_MAX {
            return Err(SniReject::LabelTooLong);
        }
    }
    if label_bytes == 0 {
        return Err(SniReject::EmptyLabel);
    }
    let last = name.rsplit(|&byte| byte == b'.').next().unwrap_or(name);
    if is_number(last) { Err(SniReject::Address) } else { Ok(()) }
}

/// Whether `label` is a decimal, octal or hexadecimal number: a name that ends in one is an IPv4 address, or an error, to
/// URL parsers and to `inet_aton` (WHATWG URL, "ends in a number"), and no top-level domain is a number.
fn is_number(label: &[u8]) -> bool {
    match label.strip_prefix(b"0x") {
        Some(digits) => digits.iter().all(u8::is_ascii_hexdigit),
        None => label.iter().all(u8::is_ascii_digit),
    }
}

/// Whether `name` is an IPv6 address, bare or in brackets, with or without a zone.
fn is_ipv6(name: &[u8]) -> bool {
    let inner = name.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(name);
    let address = inner.split(|&byte| byte == b'%').next().unwrap_or(inner);
    core::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;
    use std::vec::Vec;

    fn parsed(raw: &[u8]) -> Result<std::string::String, SniReject> {
        Sni::parse(raw).map(|sni| sni.to_string())
    }

    #[test]
    fn case_and_one_trailing_dot_make_no_difference() {
        for raw in ["login.live.com", "LOGIN.Live.cOM", "login.live.com.", "Login.Live.Com."] {
            assert_eq!(parsed(raw.as_bytes()).as_deref(), Ok("login.live.com"));
        }
    }

    #[test]
    fn names_of_real_hosts_are_kept_as_they_are() {
        for raw in
            ["_dmarc.example.com", "r1---sn-4g5e6nsz.googlevideo.com", "foo-.tumblr.com", "localhost", "1e100.net"]
        {
            assert_eq!(parsed(raw.as_bytes()).as_deref(), Ok(raw));
        }
        assert_eq!(parsed(b"xn--bcher-kva.example").as_deref(), Ok("xn--bcher-kva.example"));
        assert_eq!(parsed(b"0x7f.example").as_deref(), Ok("0x7f.example"));
        assert_eq!(parsed(b"0xg").as_deref(), Ok("0xg"));
    }

    #[test]
    fn a_label_that_decodes_to_ascii_stays_another_name() {
        assert_ne!(parsed(b"xn--login-.live.com"), parsed(b"login.live.com"));
        assert_eq!(parsed(b"xn--login-.live.com").as_deref(), Ok("xn--login-.live.com"));
    }

    #[test]
    fn addresses_are_refused_in_every_spelling() {
        for raw in [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "0177.0.0.01",
            "1.2.3.4.5",
            "a.0x",
            "a.12",
            "::1",
            "[::1]",
            "fe80::1%eth0",
            "[fe80::1%25eth0]",
            "::ffff:1.2.3.4",
            "2001:DB8::1",
        ] {
            assert_eq!(parsed(raw.as_bytes()), Err(SniReject::Address), "{raw}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_by_reason() {
        for raw in [
            "a b.com",
            "a\0.com",
            "login.live.com\0.evil.com",
            "a/b",
            "host:443",
            "http://a",
            "b\u{fc}cher.example",
            "a\r\nb",
            "user@host",
            "*.live.com",
            "\u{ff0e}com",
            "a,b",
            "[::1]:443",
            "lo\tgin",
        ] {
            assert_eq!(parsed(raw.as_bytes()), Err(SniReject::Character), "{raw:?}");
        }
        assert_eq!(parsed(b"\xff\xfe"), Err(SniReject::Character));
        for raw in ["", "."] {
            assert_eq!(parsed(raw.as_bytes()), Err(SniReject::Empty), "{raw:?}");
        }
        for raw in ["..", ".live.com", "login..live.com", "login.live.com.."] {
            assert_eq!(parsed(raw.as_bytes()), Err(SniReject::EmptyLabel), "{raw:?}");
        }
    }

    #[test]
    fn lengths_are_bounded_at_the_byte() {
        let label = "a".repeat(63);
        let whole: Vec<&str> = [label.as_str(); 4].to_vec();
        let name = &whole.join(".")[..253];
        assert_eq!(parsed(name.as_bytes()).as_deref(), Ok(name));
        assert_eq!(parsed(std::format!("{name}.").as_bytes()).as_deref(), Ok(name));
        assert_eq!(parsed(std::format!("{name}a").as_bytes()), Err(SniReject::TooLong));
        assert_eq!(parsed(std::format!("{label}a.com").as_bytes()), Err(SniReject::LabelTooLong));
        assert_eq!(parsed(&[b'a'; 70_000]), Err(SniReject::TooLong));
    }
}
