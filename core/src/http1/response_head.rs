//! Reads the head of an answer and finds where its body ends (RFC 9112 section 6.3).
//!
//! Owns the judgement of an origin's framing; as strict as for requests where two readers could disagree, and no stricter
//! where origins are known to be loose and nothing hangs on it.

use smallvec::SmallVec;

use super::body::{Body, Trailers};
use super::line::{self, Field};
use super::request_edit::{Terms, Upgrade};
use super::request_head::Span;
use super::request_line::Version;
use crate::http::fault::EditFault;
use crate::http::token;
use crate::limits::{HTTP1_FIELDS_MAX, HTTP1_HEAD_BYTES_MAX};

/// An answer's head that is being read, or was read. All spans count from the start of the head.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResponseHead {
    at: usize,
    searched: usize,
    field_count: usize,
    pub(crate) status: u16,
    version: Version,
    pub(crate) fields_start: usize,
    content_length: Option<u64>,
    is_chunked: bool,
    pub(crate) closes: bool,
    keeps_alive: bool,
    /// The content is as the client will see it.
    pub(crate) is_encoded: bool,
    upgrades_to_websocket: bool,
    /// The best field that carries the vendor's id of the request, by its place among those, and its value.
    request_id: Option<(usize, Span)>,
    /// In order.
    pub(crate) cuts: SmallVec<[Cut; 2]>,
}

/// A line that may have to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) span: Span,
    /// `Connection` or `Keep-Alive`: it goes where the connection is said to close. Else it is `Alt-Svc`, which always goes:
    /// a browser that follows it leaves this connection for QUIC, which is not inspected.
    pub(crate) is_of_connection: bool,
}

/// What follows the head.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// Another head: this one was interim.
    Head,
    /// Another protocol.
    Upgraded,
    /// The answer's body, if it has one; whether the connection is over after it.
    Body { body: Option<Body>, is_last: bool },
}

impl ResponseHead {
    /// Goes on reading; `input` begins with the head and holds all of it that has come. The head's length once it is whole.
    /// `request_ids` are the fields that may carry the vendor's id of the request, best first.
    pub(crate) fn read(&mut self, input: &[u8], request_ids: &[&str]) -> Result<Option<usize>, EditFault> {
        loop {
            // As in a request's head.
            if self.at > self.searched
                && let Some((field, length)) = line::whole_field(input.get(self.at..).unwrap_or_default())
                && self.at + length <= HTTP1_HEAD_BYTES_MAX
            {
                let start = self.at;
                self.at += length + 1;
                self.judge(field, start, request_ids)?;
                continue;
            }
            let end = line::line_feed(input, self.at, &mut self.searched);
            if end.unwrap_or(input.len()) > HTTP1_HEAD_BYTES_MAX {
                return Err(EditFault::ResponseTooLong);
            }
            let Some(end) = end else {
                return Ok(None);
            };
            let line = input.get(self.at..end).unwrap_or_default();
            let start = core::mem::replace(&mut self.at, end + 1);
            if start == 0 {
                self.read_status_line(line)?;
            } else if line == b"\r" {
                return Ok(Some(self.at));
            } else {
                self.judge(line::field(line).map_err(|_| EditFault::ResponseFieldMalformed)?, start, request_ids)?;
            }
        }
    }

    /// Whether nothing of a head was read yet.
    pub(crate) const fn is_untouched(&self) -> bool {
        self.at == 0 && self.searched == 0
    }

    /// `HTTP/1.x SP 3DIGIT [ SP reason ]`; the space without a reason is often left out.
    fn read_status_line(&mut self, line: &[u8]) -> Result<(), EditFault> {
        let malformed = EditFault::ResponseLineMalformed;
        let line = line.strip_suffix(b"\r").ok_or(malformed)?;
        let (version, rest) = line.split_at_checked(VERSION_BYTES).ok_or(malformed)?;
        self.version = Version::read(version).ok_or(malformed)?;
        let ([b' ', digits @ ..], reason) = rest.split_at_checked(1 + STATUS_DIGITS).ok_or(malformed)? else {
            return Err(malformed);
        };
        let reason_is_right = reason.is_empty() || (reason.starts_with(b" ") && token::is_value(reason));
        if !reason_is_right || !digits.iter().all(u8::is_ascii_digit) || digits.starts_with(b"0") {
            return Err(malformed);
        }
        self.status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
        self.fields_start = self.at;
        Ok(())
    }

    /// Takes note of a field whose line begins at `start` and ends where the next one begins.
    fn judge(&mut self, field: Field<'_>, start: usize, request_ids: &[&str]) -> Result<(), EditFault> {
        self.field_count += 1;
        if self.field_count > HTTP1_FIELDS_MAX {
            return Err(EditFault::ResponseTooLong);
        }
        let is = |lower| token::is_name(field.name, lower);
        match field.name.len() {
            7 if is(b"alt-svc") => self.cuts.push(Cut { span: (start, self.at), is_of_connection: false }),
            7 if is(b"upgrade") => self.upgrades_to_websocket = token::is_name(token::trim(field.value), b"websocket"),
            10 if is(b"connection") => {
                self.cuts.push(Cut { span: (start, self.at), is_of_connection: true });
                for option in token::elements(field.value) {
                    self.closes |= token::is_name(option, b"close");
                    self.keeps_alive |= token::is_name(option, b"keep-alive");
                }
            }
            10 if is(b"keep-alive") => self.cuts.push(Cut { span: (start, self.at), is_of_connection: true }),
            14 if is(b"content-length") => {
                let bytes = length(token::trim(field.value)).filter(|_| self.content_length.is_none());
                self.content_length = Some(bytes.ok_or(EditFault::ResponseFramingMalformed)?);
            }
            16 if is(b"content-encoding") => self.is_encoded |= !token::is_name(token::trim(field.value), b"identity"),
            17 if is(b"transfer-encoding") => {
                if self.is_chunked || !token::is_name(token::trim(field.value), b"chunked") {
                    return Err(EditFault::ResponseFramingMalformed);
                }
                self.is_chunked = true;
            }
            _ => {
                let rank = request_ids.iter().position(|name| is(name.as_bytes()));
                if let Some(rank) = rank.filter(|rank| self.request_id.is_none_or(|(best, _)| *rank < best)) {
                    let value_start = start + field.name.len() + 1;
                    self.request_id = Some((rank, (value_start, value_start + field.value.len())));
                }
            }
        }
        Ok(())
    }

    /// Where the vendor's id of the request stands.
    pub(crate) fn request_id(&self) -> Option<Span> {
        self.request_id.map(|(_, span)| span)
    }

    /// What follows, when the head answers a request on `terms`.
    pub(crate) fn next(&self, terms: Terms) -> Result<Next, EditFault> {
        let is_framed = self.is_chunked || self.content_length.is_some();
        if self.is_chunked && (self.content_length.is_some() || self.version == Version::Http10) {
            return Err(EditFault::ResponseFramingMalformed);
        }
        match self.status {
            101 => self.switch(terms.upgrade, is_framed),
            // What the client answered would be meant for us.
            407 if terms.is_proxied => Err(EditFault::ResponseProxyStatus),
            100..=199 if is_framed => Err(EditFault::ResponseFramingMalformed),
            100..=199 if terms.version == Version::Http10 => Err(EditFault::ResponseInterim),
            100..=199 => Ok(Next::Head),
            _ => Ok(self.final_body(terms, is_framed)),
        }
    }

    const fn switch(&self, upgrade: Upgrade, is_framed: bool) -> Result<Next, EditFault> {
        match upgrade {
            _ if is_framed => Err(EditFault::ResponseFramingMalformed),
            Upgrade::WebSocket if self.upgrades_to_websocket => Ok(Next::Upgraded),
            Upgrade::Any => Ok(Next::Upgraded),
            Upgrade::No | Upgrade::WebSocket => Err(EditFault::ResponseUpgrade),
        }
    }

    fn final_body(&self, terms: Terms, is_framed: bool) -> Next {
        let closes = self.closes || terms.is_last || (self.version == Version::Http10 && !self.keeps_alive);
        let has_none = terms.is_head || matches!(self.status, 204 | 304);
        // A 204 that announces a body may be followed by one: the connection is of no use after it.
        let is_suspect = self.status == 204 && (self.is_chunked || self.content_length.is_some_and(|bytes| bytes > 0));
        let body = match self.content_length {
            _ if has_none => None,
            _ if self.is_chunked => Some(Body::chunked(Trailers::Keep)),
            Some(0) => None,
            Some(bytes) => Some(Body::Length(bytes)),
            None => Some(Body::UntilClose),
        };
        let is_last = closes || is_suspect || (!is_framed && !has_none);
        Next::Body { body, is_last }
    }
}

/// A length in digits, within 63 bits. Leading zeros are let pass: nobody reads an answer's length as octal.
fn length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(digits).ok()?.parse::<i64>().ok().map(i64::unsigned_abs)
}

const VERSION_BYTES: usize = 8;
const STATUS_DIGITS: usize = 3;
