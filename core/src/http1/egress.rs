//! Requests on their way upstream: heads are edited, bodies counted, and nothing is kept.
//!
//! Owns the place in the stream of requests. Called by the exchange alone.

use alloc::string::String;
use alloc::vec::Vec;

use super::body::{Body, ChunkReject, Step};
use super::ledger::Ledger;
use super::request_head::RequestHead;
use crate::http::authority::{Origin, Scheme};
use crate::http::event::{self, Request};
use crate::http::fault::EditFault;
use crate::http::gather::{Gather, Splicer};
use crate::http::pace::Pace;
use crate::limits::AUDIT_PATH_BYTES_MAX;
use crate::policy::{HeaderEdit, Mode};

/// The place in the stream of requests.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    head: RequestHead,
    /// What is left of the current request's body; `None` between requests and in a head.
    body: Option<Body>,
    /// The empty line that may stand before a request (RFC 9112 section 2.2) was there.
    skipped_line: bool,
    /// A head has begun and not ended.
    in_head: bool,
    /// The current body's first byte may wait for an interim answer.
    expects_continue: bool,
    pace: Pace,
}

/// What requests are read against.
pub(crate) struct Rules<'a> {
    pub(crate) edit: &'a HeaderEdit,
    pub(crate) origin: &'a Origin,
    /// Fields for a parent proxy.
    pub(crate) parent: Option<&'a [u8]>,
}

impl Rules<'_> {
    /// Whether a head may be changed at all: in report-only it is not, unless this is the proxy that the client speaks to,
    /// which takes off what was meant for it.
    fn are_applied(&self) -> bool {
        self.edit.mode() == Mode::Enforce || self.origin.scheme() == Scheme::Http
    }
}

/// Where a request began that came in this call, so that it can be taken back.
struct Mark {
    start: usize,
    pieces: usize,
}

impl Egress {
    /// Takes what it can of `input`. The fault, if one came up, belongs to the first byte that was not taken.
    pub(crate) fn run<'a>(
        &mut self,
        input: &'a [u8],
        out: &mut Gather<'a>,
        rules: &Rules<'a>,
        ledger: &mut Ledger,
    ) -> (usize, Result<(), EditFault>) {
        let mut at = 0;
        let mut mark = None;
        let mut splicer = Splicer::new(input, out);
        let outcome = loop {
            let rest = input.get(at..).unwrap_or_default();
            let taken = match &mut self.body {
                _ if ledger.is_upgraded() => {
                    splicer.keep(at, input.len());
                    Ok(rest.len())
                }
                Some(body) => forward_body(body, rest, at, &mut splicer).map(|(count, content_bytes)| {
                    self.pace.advance(content_bytes);
                    self.expects_continue &= content_bytes == 0;
                    count
                }),
                None => {
                    mark = Some(Mark { start: at, pieces: splicer.pieces() });
                    self.forward_head(rest, at, &mut splicer, rules, ledger)
                }
            };
            if self.body.as_ref().is_some_and(Body::is_ended) {
                self.body = None;
                self.pace.end_body();
            }
            match taken {
                Ok(0) => {
                    self.in_head = self.body.is_none() && !rest.is_empty() && ledger.takes_requests();
                    break Ok(());
                }
                Ok(count) => at += count,
                Err(fault) => {
                    if let (Some(mark), Some(_)) = (mark, &self.body) {
                        self.take_back(&mark, &mut splicer, ledger);
                        at = mark.start;
                    }
                    break Err(fault);
                }
            }
        };
        splicer.close();
        (at, outcome)
    }

    /// Whether a request head has begun but not ended.
    pub(crate) const fn is_in_head(&self) -> bool {
        self.in_head
    }

    /// Whether a request's body has begun but not ended.
    pub(crate) const fn is_in_body(&self) -> bool {
        self.body.is_some()
    }

    /// Whether that body may still wait for an interim answer.
    pub(crate) const fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Portions of content that have come.
    pub(crate) const fn portions(&self) -> u64 {
        self.pace.portions()
    }

    /// Forgets a request whose head came in this call and whose body turned out malformed: nothing of it went upstream yet,
    /// and nothing will.
    fn take_back(&mut self, mark: &Mark, splicer: &mut Splicer<'_, '_>, ledger: &mut Ledger) {
        splicer.truncate(mark.pieces);
        ledger.take_back();
        self.body = None;
    }

    /// Reads and forwards a head, once it is whole; how many bytes it took.
    fn forward_head<'a>(
        &mut self,
        rest: &[u8],
        at: usize,
        splicer: &mut Splicer<'a, '_>,
        rules: &Rules<'a>,
        ledger: &mut Ledger,
    ) -> Result<usize, EditFault> {
        if !ledger.takes_requests() {
            return Ok(0);
        }
        if self.head.is_untouched() && !self.skipped_line {
            match rest {
                [b'\r', b'\n', ..] => {
                    self.skipped_line = true;
                    return Ok(2);
                }
                [b'\r'] => return Ok(0),
                _ => {}
            }
        }
        let Some(length) = self.head.read(rest, rules.origin, Some(rules.edit))? else {
            return Ok(0);
        };
        let head = rest.get(..length).unwrap_or_default();
        let is_edited = rules.are_applied();
        let allows_websocket = rules.edit.websocket() || rules.edit.mode() == Mode::Off;
        let terms = self.head.terms(is_edited, rules.origin.scheme(), allows_websocket)?;
        if is_edited {
            self.head.splice(head, at, terms, rules, splicer);
        } else {
            splicer.keep(at, at + length);
        }
        ledger.open(terms, self.describe(head, rules.edit));
        self.body = self.head.body(is_edited);
        self.expects_continue = self.head.expects_continue;
        self.skipped_line = false;
        self.head = RequestHead::default();
        Ok(length)
    }

    /// What the audit is told about the request.
    fn describe(&self, head: &[u8], edit: &HeaderEdit) -> Request {
        let method = self.head.method;
        let (start, end) = self.head.path;
        let path = head.get(start..end.min(start + AUDIT_PATH_BYTES_MAX)).unwrap_or_default();
        let path = core::str::from_utf8(path).unwrap_or_default();
        let target_tenant = edit.connectors().iter().find_map(|id| id.target_tenant(method, path)).map(String::from);
        let agent = self.head.agent.and_then(|(start, end)| event::product(head.get(start..end)?));
        let mut stripped = Vec::new();
        for &(start, end) in &self.head.stripped {
            let name = head.get(start..end).and_then(event::token_text).unwrap_or_default().to_ascii_lowercase();
            if !stripped.contains(&name) {
                stripped.push(name);
            }
        }
        Request { number: 0, method, path: String::from(path), agent, target_tenant, stripped }
    }
}

/// How many bytes were taken, and how many of them are content.
fn forward_body(
    body: &mut Body,
    rest: &[u8],
    at: usize,
    splicer: &mut Splicer<'_, '_>,
) -> Result<(usize, usize), EditFault> {
    let (count, content_bytes) = match body.step(rest)? {
        Step::Frame(count) => (count, 0),
        Step::Payload(count) => (count, count),
        Step::Drop(count) => return Ok((count, 0)),
        Step::Starved => return Ok((0, 0)),
    };
    splicer.keep(at, at + count);
    Ok((count, content_bytes))
}

impl From<ChunkReject> for EditFault {
    fn from(reject: ChunkReject) -> Self {
        match reject {
            ChunkReject::Chunk => Self::ChunkMalformed,
            ChunkReject::LineTooLong => Self::ChunkLineTooLong,
            ChunkReject::Trailer => Self::TrailerMalformed,
            ChunkReject::TrailersTooLong => Self::TrailersTooLong,
        }
    }
}
