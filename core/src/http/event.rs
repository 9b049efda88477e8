//! What an exchange tells its caller about each request: enough for one audit record, and nothing secret.
//!
//! A query string, a header value other than the two named here, and a body never enter an event. Texts are cut at the
//! bounds of `limits::AUDIT_*`.

use alloc::string::String;
use alloc::vec::Vec;

use super::fault::EditFault;
use crate::catalogue::DenialCode;
use crate::flow::Leg;
use crate::limits::AUDIT_TOKEN_BYTES_MAX;

/// Something that the audit wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request was refused on a connection that goes on (HTTP/2): nothing of it went upstream, or the rest of it will not.
    Refused(EditFault),
    /// The head of a request went upstream.
    Request(Request),
    /// The final answer to a request is judged, or there will be none.
    Response(Response),
}

/// A request as it was forwarded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Which request of this connection, from 0; its [`Response`] carries the same number.
    pub number: u64,
    /// The method, in upper case.
    pub method: &'static str,
    /// The path without query.
    pub path: String,
    /// The first product of `User-Agent`: `curl/8.14.1`.
    pub agent: Option<String>,
    /// The tenant that the request aims at, where a connector can tell.
    pub target_tenant: Option<String>,
    /// Names of the client's own restriction headers, as it spelled them, in lower case and each once: those that were
    /// removed; in report-only, those that enforcing would remove.
    pub stripped: Vec<String>,
}

/// The answer to a request as far as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The number of the [`Request`].
    pub number: u64,
    /// The status of the final answer; `None` when the connection ended before it.
    pub status: Option<u16>,
    /// The vendor's refusal, when its signature was found in head or body.
    pub denial: Option<DenialCode>,
    /// The vendor's own id of the request.
    pub vendor_request_id: Option<String>,
}

/// One side keeps the other waiting in the middle of something: within a frame, or for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The side that is to go on.
    pub leg: Leg,
    /// Grows with what moves on. Frames that move nothing on, and a few bytes, leave it as it is: a deadline is to begin anew
    /// only when this has changed.
    pub progress: u64,
}

/// The first product of a `User-Agent` value (RFC 9110 section 10.1.5).
pub(crate) fn product(value: &[u8]) -> Option<String> {
    let value = super::token::trim(value);
    token_text(value.split(|byte| matches!(byte, b' ' | b'\t' | b'(')).next().unwrap_or_default())
}

/// `bytes` as text, when they are visible ASCII throughout, cut at the bound.
pub(crate) fn token_text(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.get(..AUDIT_TOKEN_BYTES_MAX).unwrap_or(bytes);
    let is_visible = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_graphic);
    core::str::from_utf8(bytes).ok().filter(|_| is_visible).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_is_the_first_word() {
        assert_eq!(product(b" curl/8.14.1\t").as_deref(), Some("curl/8.14.1"));
        assert_eq!(product(b"Mozilla/5.0 (X11; Linux)").as_deref(), Some("Mozilla/5.0"));
        assert_eq!(product(b" "), None);
        assert_eq!(product(b"caf\xc3\xa9/1"), None);
        assert_eq!(product(&[b'a'; 1000]).map(|text| text.len()), Some(AUDIT_TOKEN_BYTES_MAX));
    }
}
