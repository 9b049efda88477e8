//! The head of CONNECT (RFC 9110 section 9.3.6), and of a request to the proxy's listener itself.
//!
//! Owns the reading; the head is consumed whole, so nothing of it (`Proxy-Authorization` least of all) can reach an origin.
//! Bytes behind the head are the tunnel's.

use alloc::string::String;

use super::authority::{Authority, AuthorityReject};
use super::credentials::Credentials;
use crate::bytes::Parsed;
use crate::http1::EditFault;
use crate::http1::syntax::{
    Field, RequestLine, Version, check_method_begun, elements, field, is_name, line_feed, product, trim,
};
use crate::labelled;
use crate::limits::{CONNECT_HEAD_BYTES_MAX, HTTP1_FIELDS_MAX};

/// Reads the head of one request.
#[derive(Debug, Default)]
pub struct ConnectReader {
    /// Where the first line begins that was not read yet.
    at: usize,
    searched: usize,
    field_count: usize,
    line: Option<Line>,
    agent: Option<String>,
    credentials: Credentials,
    /// Of the field, whether it can be read or not.
    host: Option<Option<Authority>>,
    is_head: bool,
    closes: bool,
    keeps_alive: bool,
    rejected: Option<ConnectReject>,
}

/// A first line that was found right.
#[derive(Debug)]
enum Line {
    Connect(Authority, Version),
    Own(String),
}

/// What the first line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConnectOrOwn {
    Connect(ConnectHead),
    Own(OwnHead),
}

/// A request to the listener itself: `GET /proxy.pac`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnHead {
    /// The target, query included.
    pub path: String,
    /// How the client names the listener; `None` when it does not, or in no form that could stand for it.
    pub host: Option<Authority>,
    /// The client takes no body.
    pub is_head: bool,
}

/// A request for a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectHead {
    /// Where the client wants to go.
    pub authority: Authority,
    /// The first product of `User-Agent`: `curl/8.14.1`.
    pub agent: Option<String>,
    /// Who the client says that it is.
    pub credentials: Credentials,
    /// The client closes after a refusal, or expects us to.
    pub is_last: bool,
}

labelled! {
    /// Why a request is no CONNECT that the proxy can follow.
    pub enum ConnectReject {
        /// A body is announced, with `Content-Length` or `Transfer-Encoding`.
        Body = "connect_body",
        /// A line that is malformed, folded, or ends in LF alone.
        Field = "connect_field",
        /// Over the bound in bytes.
        HeadTooLong = "connect_head_too_long",
        /// The host is no name and no address, or an address in a spelling that hops read differently.
        Host = "connect_host",
        /// More than one `Host`.
        HostTwice = "connect_host_twice",
        /// Another method than CONNECT, or, to the listener itself, than GET and HEAD.
        Method = "connect_method",
        /// What came is no HTTP/1 request.
        NotHttp = "not_http",
        /// The port is missing, or no number from 1 to 65535 in plain digits.
        Port = "connect_port",
        /// The request line is malformed.
        RequestLine = "connect_request_line",
        /// Over the bound in fields.
        TooManyFields = "connect_too_many_fields",
        /// A version that is not HTTP/1.0 or HTTP/1.1.
        Version = "connect_version",
    }
}

impl ConnectReject {
    /// The status that tells the client.
    pub const fn status(self) -> u16 {
        match self {
            Self::HeadTooLong | Self::TooManyFields => 431,
            Self::Method => 405,
            Self::Version => 505,
            _ => 400,
        }
    }
}

impl core::error::Error for ConnectReject {}

impl ConnectReader {
    /// A reader for one connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on reading; `input` is all that has come on the connection. What is behind `consumed` belongs to the tunnel.
    pub fn parse(&mut self, input: &[u8]) -> Parsed<ConnectHead, ConnectReject> {
        match self.parse_any(input) {
            Parsed::Complete { value: ConnectOrOwn::Connect(value), consumed } => Parsed::Complete { value, consumed },
            Parsed::Complete { .. } => self.reject(ConnectReject::Method),
            Parsed::Incomplete { more_bytes_min } => Parsed::Incomplete { more_bytes_min },
            Parsed::Reject(reject) => Parsed::Reject(reject),
        }
    }

    /// The same for either kind of request.
    pub(super) fn parse_any(&mut self, input: &[u8]) -> Parsed<ConnectOrOwn, ConnectReject> {
        if let Some(reject) = self.rejected {
            return Parsed::Reject(reject);
        }
        match self.read(input) {
            Ok(Some(value)) => Parsed::Complete { value, consumed: self.at },
            Ok(None) => Parsed::Incomplete { more_bytes_min: 1 },
            Err(reject) => self.reject(reject),
        }
    }

    const fn reject<T>(&mut self, reject: ConnectReject) -> Parsed<T, ConnectReject> {
        self.rejected = Some(reject);
        Parsed::Reject(reject)
    }

    fn read(&mut self, input: &[u8]) -> Result<Option<ConnectOrOwn>, ConnectReject> {
        loop {
            let end = line_feed(input, self.at, &mut self.searched);
            if self.at == 0 {
                let line = input.get(..end.unwrap_or(input.len())).unwrap_or_default();
                check_method_begun(line).map_err(|_| ConnectReject::NotHttp)?;
            }
            if end.unwrap_or(input.len()) >= CONNECT_HEAD_BYTES_MAX {
                return Err(ConnectReject::HeadTooLong);
            }
            let Some(end) = end else {
                return Ok(None);
            };
            let line = input.get(self.at..end).unwrap_or_default();
            let start = core::mem::replace(&mut self.at, end + 1);
            if start == 0 {
                self.line = Some(read_request_line(line)?);
                self.is_head = line.starts_with(b"HEAD ");
            } else if line == b"\r" {
                return Ok(self.whole());
            } else {
                self.read_field(line)?;
            }
        }
    }

    fn whole(&mut self) -> Option<ConnectOrOwn> {
        let (agent, credentials) = (self.agent.take(), core::mem::take(&mut self.credentials));
        match self.line.take()? {
            Line::Connect(authority, version) => {
                let is_last = self.closes || (version == Version::Http10 && !self.keeps_alive);
                Some(ConnectOrOwn::Connect(ConnectHead { authority, agent, credentials, is_last }))
            }
            Line::Own(path) => {
                Some(ConnectOrOwn::Own(OwnHead { path, host: self.host.take().flatten(), is_head: self.is_head }))
            }
        }
    }

    fn read_field(&mut self, line: &[u8]) -> Result<(), ConnectReject> {
        self.field_count += 1;
        if self.field_count > HTTP1_FIELDS_MAX {
            return Err(ConnectReject::TooManyFields);
        }
        let Field { name, value } = field(line).map_err(|_| ConnectReject::Field)?;
        if is_name(name, b"transfer-encoding") || (is_name(name, b"content-length") && trim(value) != b"0") {
            return Err(ConnectReject::Body);
        }
        if is_name(name, b"host") {
            if self.host.is_some() {
                return Err(ConnectReject::HostTwice);
            }
            self.host = Some(Authority::with_default_port(trim(value), HTTP_PORT));
        } else if is_name(name, b"user-agent") {
            self.agent = product(value);
        } else if is_name(name, b"proxy-authorization") {
            self.credentials = core::mem::take(&mut self.credentials).and(value);
        } else if is_name(name, b"connection") || is_name(name, b"proxy-connection") {
            self.closes |= elements(value).any(|option| is_name(option, b"close"));
            self.keeps_alive |= elements(value).any(|option| is_name(option, b"keep-alive"));
        }
        Ok(())
    }
}

fn read_request_line(line: &[u8]) -> Result<Line, ConnectReject> {
    let read = RequestLine::read(line).map_err(|fault| match fault {
        EditFault::Http2Preface => ConnectReject::NotHttp,
        EditFault::VersionUnknown => ConnectReject::Version,
        _ => ConnectReject::RequestLine,
    })?;
    match (read.method, read.target) {
        (b"CONNECT", target) => {
            let authority = Authority::parse(target).map_err(|reject| match reject {
                AuthorityReject::Host => ConnectReject::Host,
                AuthorityReject::Port => ConnectReject::Port,
            })?;
            Ok(Line::Connect(authority, read.version))
        }
        // The line was found to be visible ASCII.
        (b"GET" | b"HEAD", [b'/', ..]) => Ok(Line::Own(String::from_utf8_lossy(read.target).into_owned())),
        _ => Err(ConnectReject::Method),
    }
}

const HTTP_PORT: u16 = 80;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    fn read(input: &[u8]) -> Parsed<ConnectHead, ConnectReject> {
        ConnectReader::new().parse(input)
    }

    fn rejected(input: &str) -> ConnectReject {
        match read(input.as_bytes()) {
            Parsed::Reject(reject) => reject,
            other => panic!("{input:?}: {other:?}"),
        }
    }

    const CURL: &[u8] = b"CONNECT login.live.com:443 HTTP/1.1\r\nHost: login.live.com:443\r\n\
        Proxy-Authorization: Basic dTpw\r\nUser-Agent: curl/7.88.1\r\nProxy-Connection: Keep-Alive\r\n\r\n";
    /// `http.client` before Python 3.12.
    const PYTHON: &[u8] = b"CONNECT login.live.com:443 HTTP/1.0\r\n\r\n";

    #[test]
    fn heads_of_real_clients() {
        let head = read(CURL).complete().unwrap();
        assert_eq!(head.authority.to_string(), "login.live.com:443");
        assert_eq!(head.agent.as_deref(), Some("curl/7.88.1"));
        assert!(!head.is_last && read(PYTHON).complete().unwrap().is_last);
        let Credentials::Basic(basic) = &head.credentials else { panic!("{:?}", head.credentials) };
        assert_eq!((basic.user(), basic.password()), ("u", "p"));
        assert_eq!(read(PYTHON).complete().unwrap().credentials, Credentials::Absent);
        assert_eq!(read(PYTHON).complete().unwrap().agent, None);
        let windows = b"CONNECT a.example:443 HTTP/1.0\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n";
        assert!(read(windows).complete().is_some());
    }

    #[test]
    fn every_prefix_waits_and_what_follows_is_left() {
        for head in [CURL, PYTHON] {
            let mut reader = ConnectReader::new();
            for end in 0..head.len() {
                assert_eq!(reader.parse(&head[..end]), Parsed::Incomplete { more_bytes_min: 1 }, "{end}");
                assert!(read(&head[..end]).is_incomplete());
            }
            let followed = [head, b"\x16\x03\x01"].concat();
            assert!(matches!(reader.parse(&followed), Parsed::Complete { consumed, .. } if consumed == head.len()));
            for split in 0..head.len() {
                let mut reader = ConnectReader::new();
                assert!(reader.parse(&head[..split]).is_incomplete());
                assert_eq!(reader.parse(head), read(head));
            }
        }
    }

    #[test]
    fn what_is_not_connect_is_refused_by_name() {
        use ConnectReject as R;
        let connect = |rest: &str| std::format!("CONNECT a.example:443 HTTP/1.1\r\n{rest}");
        for (input, reject) in [
            ("GET http://a.example/ HTTP/1.1\r\n".to_string(), R::Method),
            ("POST /proxy HTTP/1.1\r\n".to_string(), R::Method),
            ("FROBNICATE x HTTP/1.1\r\n".to_string(), R::Method),
            ("connect a.example:443 HTTP/1.1\r\n".to_string(), R::NotHttp),
            ("\x16\x03\x01".to_string(), R::NotHttp),
            ("PRI * HTTP/2.0\r\n".to_string(), R::NotHttp),
            ("CONNECT a.example:443 HTTP/2.0\r\n".to_string(), R::Version),
            ("CONNECT a.example:443\r\n".to_string(), R::RequestLine),
            ("CONNECT  a.example:443 HTTP/1.1\r\n".to_string(), R::RequestLine),
            ("CONNECT a.example:443 HTTP/1.1\n".to_string(), R::RequestLine),
            ("CONNECT a.example HTTP/1.1\r\n".to_string(), R::Port),
            ("CONNECT a.example:x HTTP/1.1\r\n".to_string(), R::Port),
            ("CONNECT 127.1:443 HTTP/1.1\r\n".to_string(), R::Host),
            ("CONNECT https://a.example:443 HTTP/1.1\r\n".to_string(), R::Host),
            (connect("Content-Length: 5\r\n"), R::Body),
            (connect("Transfer-Encoding: chunked\r\n"), R::Body),
            (connect("Host: a\r\nHost: a\r\n"), R::HostTwice),
            (connect("Host : a\r\n"), R::Field),
            (connect(" Host: a\r\n"), R::Field),
            (connect("Host: a\n"), R::Field),
            (connect(&"A: b\r\n".repeat(101)), R::TooManyFields),
            (connect(&std::format!("A: {}", "b".repeat(100 * 1024))), R::HeadTooLong),
        ] {
            assert_eq!(rejected(&input), reject, "{input:?}");
            assert!((400..=505).contains(&reject.status()));
        }
    }

    #[test]
    fn h113_a_rejected_head_stays_rejected_however_it_was_cut() {
        let input = b"CONNECT a.example:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
        for split in 0..input.len() {
            let mut reader = ConnectReader::new();
            let _ = reader.parse(&input[..split]);
            assert_eq!(reader.parse(input), Parsed::Reject(ConnectReject::Body), "{split}");
        }
    }
}
