//! A parent proxy: what is asked of it ahead of a tunnel, and what it answers.
//!
//! Owns the bytes both ways; who is asked for what is the data plane's to know.

use alloc::format;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Authority;
use crate::bytes::Parsed;
use crate::flow::FaultKind;
use crate::http1::syntax::ResponseHead;
use crate::limits::CREDENTIALS_BYTES_MAX;

/// The request for a tunnel to `authority`. `fields` are whole lines, as [`authorization`] makes one.
pub fn connect_request(authority: &Authority, fields: &[u8]) -> Vec<u8> {
    let line = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    [line.as_bytes(), fields, b"\r\n"].concat()
}

/// The field with which a client of a proxy says who it is (RFC 7617); `pair` is `user:password`. `None` when it can be none.
pub fn authorization(pair: &str) -> Option<Zeroizing<Vec<u8>>> {
    let token = Zeroizing::new(STANDARD.encode(pair));
    let is_right = pair.contains(':') && !pair.chars().any(char::is_control) && token.len() <= CREDENTIALS_BYTES_MAX;
    is_right.then(|| Zeroizing::new([b"Proxy-Authorization: Basic ", token.as_bytes(), b"\r\n"].concat()))
}

/// Reads the head of the parent's answer to [`connect_request`]; one for each answer.
#[derive(Debug, Default)]
pub struct AnswerReader {
    head: ResponseHead,
    rejected: Option<FaultKind>,
}

impl AnswerReader {
    /// Goes on reading; `input` begins with the answer and holds all of it that has come. Complete when the tunnel stands:
    /// what follows the head is the origin's, whatever the head says of a body (RFC 9110 section 9.3.6). A reject is final.
    pub fn parse(&mut self, input: &[u8]) -> Parsed<(), FaultKind> {
        if let Some(kind) = self.rejected {
            return Parsed::Reject(kind);
        }
        let kind = match self.head.read(input, &[]) {
            Ok(None) => return Parsed::Incomplete { more_bytes_min: 1 },
            Ok(Some(consumed)) => match refusal(self.head.status) {
                None => return Parsed::Complete { value: (), consumed },
                Some(kind) => kind,
            },
            Err(fault) => fault.fault().kind,
        };
        self.rejected = Some(kind);
        Parsed::Reject(kind)
    }
}

/// What a status says of a tunnel that does not stand.
const fn refusal(status: u16) -> Option<FaultKind> {
    match status {
        200..=299 => None,
        407 => Some(FaultKind::ParentCredentials),
        400..=499 => Some(FaultKind::ParentRefused),
        500..=599 => Some(FaultKind::ParentFailed),
        // Neither interim answers nor redirections belong here.
        _ => Some(FaultKind::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Parsed<(), FaultKind> {
        AnswerReader::default().parse(text.as_bytes())
    }

    #[test]
    fn a_tunnel_is_asked_for_with_and_without_credentials() {
        let authority = Authority::with_default_port(b"[2001:DB8::1]", 443).unwrap();
        let field = authorization("Aladdin:open sesame").unwrap();
        assert_eq!(
            connect_request(&authority, &field),
            b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\
              Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
        );
        assert!(connect_request(&authority, b"").ends_with(b":443\r\n\r\n"));
        for pair in ["alice", "alice:se\r\ncret", ""] {
            assert!(authorization(pair).is_none(), "{pair:?}");
        }
        assert!(authorization(&"a:".repeat(CREDENTIALS_BYTES_MAX)).is_none());
    }

    #[test]
    fn every_prefix_of_an_answer_waits_and_what_follows_is_the_origins() {
        let text = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 squid\r\nContent-Length: 5\r\n\r\n";
        let mut by_byte = AnswerReader::default();
        for end in 0..text.len() {
            assert!(by_byte.parse(&text[..end]).is_incomplete(), "{end}");
            assert!(AnswerReader::default().parse(&text[..end]).is_incomplete(), "{end}");
        }
        let followed = [&text[..], b"SSH-2.0-x\r\n"].concat();
        assert_eq!(by_byte.parse(&followed), Parsed::Complete { value: (), consumed: text.len() });
    }

    #[test]
    fn refusals_and_what_is_no_answer_have_their_kinds() {
        for (text, kind) in [
            ("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n", FaultKind::ParentCredentials),
            ("HTTP/1.1 403 No\r\n\r\n", FaultKind::ParentRefused),
            ("HTTP/1.0 404 No\r\n\r\n", FaultKind::ParentRefused),
            ("HTTP/1.1 503 Later\r\nContent-Length: 3\r\n\r\n", FaultKind::ParentFailed),
            ("HTTP/1.1 101 Other\r\n\r\n", FaultKind::Malformed),
            ("HTTP/1.1 302 There\r\nLocation: /\r\n\r\n", FaultKind::Malformed),
            ("HTTP/2 200\r\n\r\n", FaultKind::Malformed),
            ("HTTP/1.1 200 OK\r\nA b\r\n\r\n", FaultKind::Malformed),
            ("SSH-2.0-OpenSSH\r\n", FaultKind::Malformed),
        ] {
            assert_eq!(answer(text), Parsed::Reject(kind), "{text:?}");
        }
        let endless = std::format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(100 * 1024));
        assert_eq!(answer(&endless), Parsed::Reject(FaultKind::TooLarge));
    }
}
