//! The head of a request to the explicit proxy listener: CONNECT, and nothing else (RFC 9110 section 9.3.6).
//!
//! Owns the reading; the head is consumed whole, so nothing of it (`Proxy-Authorization` least of all) can reach an origin.
//! Bytes behind the head are the tunnel's.

use alloc::string::String;

use super::authority::{Authority, AuthorityReject};
use crate::bytes::Parsed;
use crate::http1::EditFault;
use crate::http1::syntax::{Field, RequestLine, check_method_begun, field, is_name, line_feed, product, trim};
use crate::labelled;
use crate::limits::{CONNECT_HEAD_BYTES_MAX, HTTP1_FIELDS_MAX};

/// Reads the head of one request.
#[derive(Debug, Default)]
pub struct ConnectReader {
    /// Where the first line begins that was not read yet.
    at: usize,
    searched: usize,
    field_count: usize,
    authority: Option<Authority>,
    agent: Option<String>,
    has_host: bool,
    rejected: Option<ConnectReject>,
}

/// A request to the explicit proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectHead {
    /// Where the client wants to go.
    pub authority: Authority,
    /// The first product of `User-Agent`: `curl/8.14.1`.
    pub agent: Option<String>,
}

labelled! {
    /// Why a request is no CONNECT that the proxy can follow.
    pub enum ConnectReject {
        /// A request for plain HTTP (`GET http://...`), which the proxy does not relay.
        AbsoluteForm = "absolute_form",
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
        /// Another method than CONNECT.
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
            Self::AbsoluteForm => 501,
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
        if let Some(reject) = self.rejected {
            return Parsed::Reject(reject);
        }
        match self.read(input) {
            Ok(Some(value)) => Parsed::Complete { value, consumed: self.at },
            Ok(None) => Parsed::Incomplete { more_bytes_min: 1 },
            Err(reject) => {
                self.rejected = Some(reject);
                Parsed::Reject(reject)
            }
        }
    }

    fn read(&mut self, input: &[u8]) -> Result<Option<ConnectHead>, ConnectReject> {
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
                self.authority = Some(read_request_line(line)?);
            } else if line == b"\r" {
                let agent = self.agent.take();
                return Ok(self.authority.take().map(|authority| ConnectHead { authority, agent }));
            } else {
                self.read_field(line)?;
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
        if is_name(name, b"host") && core::mem::replace(&mut self.has_host, true) {
            return Err(ConnectReject::HostTwice);
        }
        if is_name(name, b"user-agent") {
            self.agent = product(value);
        }
        Ok(())
    }
}

fn read_request_line(line: &[u8]) -> Result<Authority, ConnectReject> {
    let read = RequestLine::read(line).map_err(|fault| match fault {
        EditFault::Http2Preface => ConnectReject::NotHttp,
        EditFault::VersionUnknown => ConnectReject::Version,
        _ => ConnectReject::RequestLine,
    })?;
    if read.method != b"CONNECT" {
        let is_absolute =
            read.target.get(..PLAIN_HTTP.len()).is_some_and(|start| start.eq_ignore_ascii_case(PLAIN_HTTP));
        return Err(if is_absolute { ConnectReject::AbsoluteForm } else { ConnectReject::Method });
    }
    Authority::parse(read.target).map_err(|reject| match reject {
        AuthorityReject::Host => ConnectReject::Host,
        AuthorityReject::Port => ConnectReject::Port,
    })
}

const PLAIN_HTTP: &[u8] = b"http://";

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
            ("GET http://a.example/ HTTP/1.1\r\n".to_string(), R::AbsoluteForm),
            ("GET /proxy HTTP/1.1\r\n".to_string(), R::Method),
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
