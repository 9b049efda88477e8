//! The request line: `method SP target SP HTTP/1.x`, and nothing looser (RFC 9112 section 3).
//!
//! Owns method, target form and version. Called by the request head and by the explicit proxy's reader.

use core::ops::Range;

use crate::http::authority::{Agreement, Origin, Scheme};
use crate::http::fault::EditFault;

/// A request line as read; the spans are within the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestLine<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) target: &'a [u8],
    pub(crate) version: Version,
}

/// The versions that HTTP/1 has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
}

impl Version {
    pub(crate) const fn read(bytes: &[u8]) -> Option<Self> {
        match bytes {
            b"HTTP/1.1" => Some(Self::Http11),
            b"HTTP/1.0" => Some(Self::Http10),
            _ => None,
        }
    }
}

impl<'a> RequestLine<'a> {
    /// Reads `line`, which is all before the LF, and the method of which was found right.
    pub(crate) fn read(line: &'a [u8]) -> Result<Self, EditFault> {
        let line = line.strip_suffix(b"\r").ok_or(EditFault::BareLineFeed)?;
        let (first, last) = match (memchr::memchr(b' ', line), memchr::memrchr(b' ', line)) {
            (Some(first), Some(last)) if first < last => (first, last),
            _ => return Err(EditFault::RequestLineMalformed),
        };
        let method = line.get(..first).unwrap_or_default();
        let target = line.get(first + 1..last).unwrap_or_default();
        let version = line.get(last + 1..).unwrap_or_default();
        if method == b"PRI" {
            return Err(EditFault::Http2Preface);
        }
        if method.is_empty() || target.is_empty() || memchr::memchr(b' ', target).is_some() {
            return Err(EditFault::RequestLineMalformed);
        }
        // Of a byte outside visible ASCII, two hops may make two targets; `#` is never sent (RFC 9110 section 4.2.5). No early
        // exit: the loop is then compiled to vector instructions.
        if target.iter().fold(false, |odd, &byte| odd | (byte <= b' ') | (byte > b'~') | (byte == b'#')) {
            return Err(EditFault::TargetMalformed);
        }
        let version = Version::read(version).ok_or(EditFault::VersionUnknown)?;
        Ok(Self { method, target, version })
    }

    /// Where in the target the path without query stands, once the target is found right for `origin`.
    pub(crate) fn path(&self, origin: &Origin) -> Result<Range<usize>, EditFault> {
        let start = match self.target {
            [b'/', ..] if origin.scheme() == Scheme::Https => 0,
            b"*" if self.method == b"OPTIONS" && origin.scheme() == Scheme::Https => 0,
            _ => authority_end(self.target, origin)?,
        };
        let after_authority = self.target.get(start..).unwrap_or_default();
        let path_bytes = memchr::memchr(b'?', after_authority).unwrap_or(after_authority.len());
        check_path(after_authority.get(..path_bytes).unwrap_or_default())?;
        Ok(start..start + path_bytes)
    }
}

/// Refuses a method as soon as its first wrong byte is there, so that what is no HTTP at all does not have to fill a whole
/// head first. `line` may be a beginning.
pub(crate) fn check_method_begun(line: &[u8]) -> Result<(), EditFault> {
    // One byte more than a method has, and the space or CR behind it.
    let line = line.get(..METHOD_BYTES_MAX + 2).unwrap_or(line);
    let method = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    // A lone CR at the end may be half a line end.
    let method = if method.len() == line.len() { method.strip_suffix(b"\r").unwrap_or(method) } else { method };
    let well_formed = method.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-');
    if well_formed && method.len() <= METHOD_BYTES_MAX { Ok(()) } else { Err(EditFault::MethodMalformed) }
}

/// Finds a method, and refuses those that no origin can be trusted to frame as we do.
pub(crate) fn method(name: &[u8]) -> Result<&'static str, EditFault> {
    match name {
        b"GET" => Ok("GET"),
        b"POST" => Ok("POST"),
        b"CONNECT" | b"TRACE" => Err(EditFault::MethodNotAllowed),
        _ => METHODS.iter().find(|method| method.as_bytes() == name).copied().ok_or(EditFault::MethodUnknown),
    }
}

/// Where `scheme://authority` ends, once that is found to name `origin`: RFC 9112 section 3.2.2 lets it override `Host`, so the
/// two must agree, and both with the connection.
fn authority_end(target: &[u8], origin: &Origin) -> Result<usize, EditFault> {
    let scheme = origin.scheme();
    let authority = absolute_authority(target, scheme).ok_or(EditFault::TargetMalformed)?;
    match origin.compare(authority) {
        Agreement::Same => Ok(scheme.prefix().len() + authority.len()),
        Agreement::Other => Err(EditFault::TargetWrong),
        Agreement::Malformed => Err(EditFault::TargetMalformed),
    }
}

/// The authority of an absolute-form target, as it is written.
pub(crate) fn absolute_authority(target: &[u8], scheme: Scheme) -> Option<&[u8]> {
    let (start, rest) = target.split_at_checked(scheme.prefix().len())?;
    let authority = rest.split(|byte| matches!(byte, b'/' | b'?' | b'\\')).next().unwrap_or_default();
    start.eq_ignore_ascii_case(scheme.prefix()).then_some(authority)
}

/// Refuses what turns into another path at some hop: a backslash (a slash to browsers and IIS), and percent-encoded NUL, CR
/// and LF, which end a name or a line where a hop decodes before it forwards. Queries carry all of these lawfully.
pub(crate) fn check_path(path: &[u8]) -> Result<(), EditFault> {
    if memchr::memchr2(b'\\', b'%', path).is_none() {
        return Ok(());
    }
    let encoded_control = path.windows(3).any(|three| matches!(three, [b'%', b'0', b'0' | b'a' | b'A' | b'd' | b'D']));
    if encoded_control || path.contains(&b'\\') { Err(EditFault::TargetMalformed) } else { Ok(()) }
}

/// Longest registered method is `UPDATEREDIRECTREF`.
const METHOD_BYTES_MAX: usize = 24;

/// The IANA registry of methods, without those that are refused. (`token` is the grammar; the registry is who knows what a
/// method does with content.)
const METHODS: &[&str] = &[
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::token;
    use crate::sni::Sni;

    fn read(line: &str) -> Result<&[u8], EditFault> {
        let origin = Origin::new(Sni::parse(b"login.example").unwrap(), 443);
        check_method_begun(line.as_bytes())?;
        let read = RequestLine::read(line.as_bytes())?;
        method(read.method)?;
        read.path(&origin).map(|range| &read.target[range])
    }

    #[test]
    fn request_lines_that_browsers_and_tools_send() {
        assert_eq!(read("GET / HTTP/1.1\r"), Ok(&b"/"[..]));
        assert_eq!(read("POST /a/b?c=%0d%0a\\&d=|\"{} HTTP/1.0\r"), Ok(&b"/a/b"[..]));
        assert_eq!(read("GET //x/%2e%2E HTTP/1.1\r"), Ok(&b"//x/%2e%2E"[..]));
        assert_eq!(read("OPTIONS * HTTP/1.1\r"), Ok(&b"*"[..]));
        assert_eq!(read("GET HTTPS://Login.Example:443/x?y HTTP/1.1\r"), Ok(&b"/x"[..]));
        assert_eq!(read("GET https://login.example HTTP/1.1\r"), Ok(&b""[..]));
        assert_eq!(read("VERSION-CONTROL /x HTTP/1.1\r"), Ok(&b"/x"[..]));
    }

    #[test]
    fn request_lines_that_are_refused() {
        use EditFault::*;
        for (line, fault) in [
            ("GET / HTTP/1.1", BareLineFeed),
            ("", BareLineFeed),
            ("\r", RequestLineMalformed),
            ("GET\r", RequestLineMalformed),
            ("GET /\r", RequestLineMalformed),
            (" GET / HTTP/1.1\r", RequestLineMalformed),
            ("GET  / HTTP/1.1\r", RequestLineMalformed),
            ("GET /  HTTP/1.1\r", RequestLineMalformed),
            ("GET / HTTP/1.1 \r", RequestLineMalformed),
            ("GET /a b HTTP/1.1\r", RequestLineMalformed),
            ("GET / HTTP/ 1.1\r", RequestLineMalformed),
            ("GET HTTP/1.1\r", RequestLineMalformed),
            ("GET\t/\tHTTP/1.1\r", MethodMalformed),
            ("get / HTTP/1.1\r", MethodMalformed),
            ("GE\rT / HTTP/1.1\r", MethodMalformed),
            ("G\u{e9}T / HTTP/1.1\r", MethodMalformed),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r", MethodMalformed),
            ("FOOBAR / HTTP/1.1\r", MethodUnknown),
            ("CONNECT login.example:443 HTTP/1.1\r", MethodNotAllowed),
            ("TRACE / HTTP/1.1\r", MethodNotAllowed),
            ("PRI * HTTP/2.0\r", Http2Preface),
            ("GET / HTTP/1.2\r", VersionUnknown),
            ("GET / HTTP/2.0\r", VersionUnknown),
            ("GET / HTTP/0.9\r", VersionUnknown),
            ("GET / HTTP/1.1x\r", VersionUnknown),
            ("GET / HTTP/01.1\r", VersionUnknown),
            ("GET / HTTP/1\r", VersionUnknown),
            ("GET / http/1.1\r", VersionUnknown),
            ("GET / HTTP/1.1\rHost: x\r", RequestLineMalformed),
            ("GET / HTTP/1.1\r\r", VersionUnknown),
            ("GET * HTTP/1.1\r", TargetMalformed),
            ("GET /a#b HTTP/1.1\r", TargetMalformed),
            ("GET /a\\b HTTP/1.1\r", TargetMalformed),
            ("GET /a%00 HTTP/1.1\r", TargetMalformed),
            ("GET /a%0D%0aB HTTP/1.1\r", TargetMalformed),
            ("GET /caf\u{e9} HTTP/1.1\r", TargetMalformed),
            ("GET /\0 HTTP/1.1\r", TargetMalformed),
            ("GET /\x7f HTTP/1.1\r", TargetMalformed),
            ("GET a HTTP/1.1\r", TargetMalformed),
            ("GET http://login.example/ HTTP/1.1\r", TargetMalformed),
            ("GET https://u@login.example/ HTTP/1.1\r", TargetMalformed),
            ("GET https:///x HTTP/1.1\r", TargetMalformed),
            ("GET https://login.example\\@other.example/ HTTP/1.1\r", TargetMalformed),
            ("GET https://other.example/ HTTP/1.1\r", TargetWrong),
            ("GET https://login.example:80/ HTTP/1.1\r", TargetWrong),
        ] {
            assert_eq!(read(line), Err(fault), "{line:?}");
        }
    }

    #[test]
    fn a_method_is_refused_at_its_first_wrong_byte_and_not_before() {
        for begun in ["", "G", "GET", "GET\r", "GET ", "GET \0"] {
            assert_eq!(check_method_begun(begun.as_bytes()), Ok(()), "{begun:?}");
        }
        for begun in ["g", "\x16\x03\x01", "GET\t", "\r\r", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"] {
            assert_eq!(check_method_begun(begun.as_bytes()), Err(EditFault::MethodMalformed), "{begun:?}");
        }
        assert!(METHODS.iter().all(|method| method.len() <= METHOD_BYTES_MAX && token::is_token(method.as_bytes())));
        assert!(METHODS.is_sorted());
    }
}
