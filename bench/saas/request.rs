//! One request as a vendor's endpoint sees it: the parsed head beside its raw lines, the body, and how a restriction
//! header was sent.
//!
//! Owns the strict reading of a head. It does no I/O; `connection` builds it, the vendors read it.

use bytes::Bytes;

use crate::wire::Framing;

/// A head that a strict server accepts.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// As it stands in the request line.
    pub(crate) target: String,
    /// Of HTTP/1; over HTTP/2 it is 1.
    pub(crate) minor_version: u8,
    pub(crate) headers: Vec<Header>,
}

/// One header line; the value is without the space around it.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) value: Bytes,
}

/// A head with its body, addressed to a host.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The server name of the handshake, or the Host header over plain TCP; lower case.
    pub(crate) host: String,
    pub(crate) head: Head,
    pub(crate) body: Bytes,
}

/// How often and how a header was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent<'a> {
    Absent,
    Duplicate,
    NotText,
    Once(&'a str),
}

/// Why a strict server refuses a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadHead(pub(crate) &'static str);

impl Head {
    pub(crate) fn parse(raw: &Bytes) -> Result<Self, BadHead> {
        let mut slots = vec![httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut slots);
        match request.parse(raw) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(BadHead("an unfinished head")),
            Err(httparse::Error::TooManyHeaders) => return Err(BadHead("too many headers")),
            Err(_) => return Err(BadHead("a malformed head")),
        }
        if memchr::memchr_iter(b'\n', raw).any(|at| at == 0 || raw.get(at - 1) != Some(&b'\r')) {
            return Err(BadHead("a bare line feed"));
        }
        let headers = request.headers.iter();
        Ok(Self {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            minor_version: request.version.unwrap_or_default(),
            headers: headers
                .map(|header| Header { name: header.name.to_owned(), value: Bytes::copy_from_slice(header.value) })
                .collect(),
        })
    }

    /// How the body ends; `None` when there is none.
    pub(crate) fn framing(&self) -> Result<Option<Framing>, BadHead> {
        let encoding = self.sent("transfer-encoding");
        let length = self.sent("content-length");
        match (encoding, length) {
            (Sent::Absent, Sent::Absent) => Ok(None),
            (Sent::Once(encoding), Sent::Absent) if encoding.eq_ignore_ascii_case("chunked") => {
                Ok(Some(Framing::Chunked))
            }
            (Sent::Absent, Sent::Once(length)) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse().map(|bytes| Some(Framing::Length(bytes))).map_err(|_| BadHead("a malformed length"))
            }
            _ => Err(BadHead("ambiguous framing")),
        }
    }

    pub(crate) fn sent(&self, name: &str) -> Sent<'_> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (None, _) => Sent::Absent,
            (Some(_), Some(_)) => Sent::Duplicate,
            (Some(value), None) => std::str::from_utf8(value).map_or(Sent::NotText, Sent::Once),
        }
    }

    /// The first value under `name` that is text.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.values(name).find_map(|value| std::str::from_utf8(value).ok())
    }

    /// Whether a comma-separated list under `name` holds `token`.
    pub(crate) fn lists(&self, name: &str, token: &str) -> bool {
        self.values(name)
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|value| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    pub(crate) fn keeps_alive(&self) -> bool {
        self.minor_version == 1 && !self.lists("connection", "close")
    }

    fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| &*header.value)
    }
}

impl Request {
    pub(crate) fn method(&self) -> &str {
        &self.head.method
    }

    /// The target without its query.
    pub(crate) fn path(&self) -> &str {
        self.head.target.split('?').next().unwrap_or_default()
    }

    /// The parts of the path between slashes, without empty ones.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path().split('/').filter(|part| !part.is_empty()).collect()
    }

    pub(crate) fn query(&self, name: &str) -> Option<String> {
        pair(self.head.target.split_once('?')?.1, name)
    }

    /// A field of an `application/x-www-form-urlencoded` body.
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        pair(std::str::from_utf8(&self.body).ok()?, name)
    }

    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(crate) fn sent(&self, name: &str) -> Sent<'_> {
        self.head.sent(name)
    }

    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.head.first("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let pairs = self.head.values("cookie").filter_map(|value| std::str::from_utf8(value).ok());
        pairs
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

fn pair(pairs: &str, name: &str) -> Option<String> {
    pairs
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (percent_decoded(key) == name).then(|| percent_decoded(value)))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match (first, code.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// More than any proxy should let through; above it the answer is 400.
const HEADERS_MAX: usize = 2_048;

#[cfg(test)]
impl Request {
    /// A request of `head` (lines, without the empty one) and `body`, for the vendors' tests.
    pub(crate) fn example(host: &str, head: &[&str], body: &str) -> Self {
        let raw = Bytes::from(format!("{}\r\n\r\n", head.join("\r\n")));
        let head = Head::parse(&raw).unwrap();
        Self { host: host.to_owned(), head, body: Bytes::copy_from_slice(body.as_bytes()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_forms_and_cookies_are_decoded() {
        let request = Request::example(
            "host.example",
            &["POST /a/b?x=1%202&y=a+b HTTP/1.1", "Cookie: k=v; other=2", "Authorization: bearer token"],
            "grant_type=urn%3Aietf%3Adevice&empty=",
        );
        assert_eq!(request.segments(), ["a", "b"]);
        assert_eq!(request.query("x").as_deref(), Some("1 2"));
        assert_eq!(request.query("y").as_deref(), Some("a b"));
        assert_eq!(request.query("z"), None);
        assert_eq!(request.form("grant_type").as_deref(), Some("urn:ietf:device"));
        assert_eq!(request.form("empty").as_deref(), Some(""));
        assert_eq!(request.cookie("other"), Some("2"));
        assert_eq!(request.bearer(), Some("token"));
    }

    #[test]
    fn a_percent_sign_without_digits_stays() {
        assert_eq!(percent_decoded("100%"), "100%");
        assert_eq!(percent_decoded("%zz%4"), "%zz%4");
    }

    #[test]
    fn copies_of_a_header_are_told_apart_from_one() {
        let lines = ["GET / HTTP/1.1", "X-One: a", "x-two: a", "X-TWO: a"];
        let request = Request::example("host.example", &lines, "");
        assert_eq!(request.sent("x-one"), Sent::Once("a"));
        assert_eq!(request.sent("x-two"), Sent::Duplicate);
        assert_eq!(request.sent("x-three"), Sent::Absent);
    }

    #[test]
    fn framing_is_read_strictly() {
        let framing = |lines: &[&str]| {
            let mut head = vec!["POST / HTTP/1.1"];
            head.extend(lines);
            Request::example("h", &head, "").head.framing()
        };
        assert_eq!(framing(&[]), Ok(None));
        assert_eq!(framing(&["Content-Length: 5"]), Ok(Some(Framing::Length(5))));
        assert_eq!(framing(&["Transfer-Encoding: Chunked"]), Ok(Some(Framing::Chunked)));
        for lines in [
            &["Content-Length: 5", "Transfer-Encoding: chunked"][..],
            &["Content-Length: 5", "Content-Length: 5"],
            &["Content-Length: +5"],
            &["Content-Length: 5, 5"],
            &["Content-Length: 99999999999999999999999"],
            &["Content-Length:"],
            &["Transfer-Encoding: gzip, chunked"],
        ] {
            assert!(framing(lines).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn a_head_with_bare_line_feeds_is_refused() {
        assert!(Head::parse(&Bytes::from_static(b"GET / HTTP/1.1\nHost: a\n\n")).is_err());
        assert!(Head::parse(&Bytes::from_static(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")).is_err());
    }
}
