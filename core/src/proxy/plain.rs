//! The head of a request for plain HTTP (`GET http://host/path`, RFC 9112 section 3.2.2), as far as it must be known before
//! anything is dialled: whom it is for, who asks, and that it is right.
//!
//! The head is left where it is: `http1::Exchange::plain` reads it again and forwards it. Both read it by the same code.

use alloc::string::String;

use super::authority::Authority;
use super::credentials::Credentials;
use crate::http1::EditFault;
use crate::http1::syntax::{self, Origin, RequestHead, RequestLine, Scheme, product};

/// A request for plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainHead {
    /// Whom it is for.
    pub authority: Authority,
    /// The first product of `User-Agent`.
    pub agent: Option<String>,
    /// Who the client says that it is.
    pub credentials: Credentials,
    /// Where the head ends; a body may follow.
    pub bytes: usize,
    /// After an answer of our own the connection is of no use: a body follows that nobody read, or the client said so.
    pub is_last: bool,
}

/// Reads such a head.
#[derive(Debug)]
pub(super) struct PlainReader {
    origin: Origin,
    authority: Authority,
    head: RequestHead,
}

impl PlainReader {
    /// Begins with a request line that was found right; `None` when its target is not in absolute form.
    pub(super) fn begin(line: &RequestLine<'_>) -> Option<Result<Self, EditFault>> {
        let authority = syntax::absolute_authority(line.target, Scheme::Http)?;
        let Some(authority) = Authority::with_default_port(authority, Scheme::Http.port()) else {
            return Some(Err(EditFault::TargetMalformed));
        };
        Some(Ok(Self { origin: Origin::plain(authority.clone()), authority, head: RequestHead::default() }))
    }

    /// Goes on reading; `input` begins with the head and holds all of it that has come.
    pub(super) fn read(&mut self, input: &[u8]) -> Result<Option<PlainHead>, EditFault> {
        let Some(bytes) = self.head.read(input, &self.origin, None)? else {
            return Ok(None);
        };
        let terms = self.head.terms(true, Scheme::Http, true)?;
        let value = |(start, end)| input.get(start..end).unwrap_or_default();
        let credentials = match self.head.credentials {
            syntax::Credentials::None => Credentials::Absent,
            syntax::Credentials::Field(span) => Credentials::read(value(span)),
            syntax::Credentials::Several => Credentials::Unreadable,
        };
        Ok(Some(PlainHead {
            authority: self.authority.clone(),
            agent: self.head.agent.and_then(|span| product(value(span))),
            credentials,
            bytes,
            is_last: terms.is_last || self.head.body(true).is_some(),
        }))
    }
}
