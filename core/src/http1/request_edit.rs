//! What becomes of a request head that was found right: what goes on, what goes, what is added.
//!
//! Owns the rewriting, as a gather over the bytes that came. The block that is added stands right after the request line:
//!
//! ```text
//! POST /token HTTP/1.1\r\n            kept
//! Restrict-Access-To-Tenants: ..\r\n  added
//! Connection: keep-alive\r\n          added, when the client's own had to go
//! Host: ..\r\n ...                    kept, without the lines that must go
//! \r\n
//! ```
//!
//! There it has only the request line before it, every byte of which was checked, so nothing that the client sends can make
//! a hop lose it: a hop that ends the list at an odd line (CVE-2023-25725), that cuts the head at a size or a count of
//! fields, or that takes the first of two copies, has read the block by then. At the end it would be at the mercy of every
//! line before it. What could reach it from behind is a continuation line or a nomination: both are refused or consumed.

use smallvec::SmallVec;

use super::body::{Body, Trailers};
use super::egress::Rules;
use super::line;
use super::request_head::{Cut, CutClass, Offer, RequestHead};
use super::request_line::Version;
use crate::http::authority::Scheme;
use crate::http::fault::EditFault;
use crate::http::gather::Splicer;
use crate::policy::Mode;

/// What a request makes of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) is_head: bool,
    pub(crate) version: Version,
    /// It came through a proxy request in absolute form.
    pub(crate) is_proxied: bool,
    /// No request follows.
    pub(crate) is_last: bool,
    /// A 101 may be the answer.
    pub(crate) upgrade: Upgrade,
}

/// Which upgrade a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upgrade {
    No,
    WebSocket,
    /// Any: report-only lets the field go unchanged.
    Any,
}

impl RequestHead {
    /// The terms of the request; refuses a body where there should be none.
    /// `allows_websocket` when it may ask for an upgrade to that.
    pub(crate) fn terms(&self, is_edited: bool, scheme: Scheme, allows_websocket: bool) -> Result<Terms, EditFault> {
        let is_head = self.method == "HEAD";
        let is_get = self.method == "GET";
        let has_content = self.is_chunked || self.content_length.is_some_and(|bytes| bytes > 0);
        if has_content && (is_head || is_get) {
            return Err(EditFault::ContentUnexpected);
        }
        let may_upgrade = self.options.upgrade && self.version == Version::Http11 && is_get;
        let upgrade = match self.upgrade {
            Offer::Plain if may_upgrade && (allows_websocket || !is_edited) => Upgrade::WebSocket,
            Offer::Plain | Offer::Other if !is_edited && self.options.upgrade => Upgrade::Any,
            _ => Upgrade::No,
        };
        let is_last = self.options.close || (self.version == Version::Http10 && !self.options.keep_alive);
        Ok(Terms { is_head, version: self.version, is_proxied: scheme == Scheme::Http, is_last, upgrade })
    }

    /// The body that follows.
    pub(crate) fn body(&self, is_edited: bool) -> Option<Body> {
        match self.content_length {
            _ if self.is_chunked => Some(Body::chunked(if is_edited { Trailers::Drop } else { Trailers::Keep })),
            None | Some(0) => None,
            Some(bytes) => Some(Body::Length(bytes)),
        }
    }

    /// Forwards the head, from `start` on in the splicer's input, as the rules want it.
    pub(crate) fn splice<'a>(
        &self,
        head: &[u8],
        start: usize,
        terms: Terms,
        rules: &Rules<'a>,
        splicer: &mut Splicer<'a, '_>,
    ) {
        let te = self.te == Offer::Plain && self.options.te;
        let upgrade = terms.upgrade != Upgrade::No;
        let renew = self.options.foreign || (self.options.te && !te) || (self.options.upgrade && !upgrade);
        self.splice_request_line(start, rules, splicer);
        splicer.insert(rules.edit.http1_block());
        if renew {
            self.splice_connection(te, upgrade, splicer);
        }
        let mut kept = self.fields_start;
        let with_nominated = (!self.options.nominated.is_empty()).then(|| self.cuts_with_nominated(head));
        for cut in with_nominated.as_ref().unwrap_or(&self.cuts) {
            let goes = match cut.class {
                CutClass::Always => true,
                CutClass::Restriction => rules.edit.mode() == Mode::Enforce,
                CutClass::Connection => renew,
                CutClass::Te => !te,
                CutClass::Upgrade => !upgrade,
            };
            // A line may be listed twice, once for its name and once because it is nominated.
            if goes && cut.start >= kept {
                splicer.keep(start + kept, start + cut.start);
                kept = cut.end;
            }
        }
        splicer.keep(start + kept, start + head.len());
    }

    /// Forwards the request line. An origin that is reached in the clear gets the target in origin-form, or the asterisk that
    /// stands for its whole (RFC 9112 section 3.2.4); a parent proxy gets it as it came.
    fn splice_request_line<'a>(&self, start: usize, rules: &Rules<'a>, splicer: &mut Splicer<'a, '_>) {
        if rules.origin.scheme() == Scheme::Https {
            return splicer.keep(start, start + self.fields_start);
        }
        if let Some(fields) = rules.parent {
            splicer.keep(start, start + self.fields_start);
            return splicer.insert(fields);
        }
        let (path_start, path_end) = self.path;
        splicer.keep(start, start + self.target_start);
        if path_start == path_end {
            // Behind the path comes a query, or the space before the version.
            let is_bare = path_end + VERSION_BYTES + 1 + CRLF_BYTES == self.fields_start;
            splicer.insert(if is_bare && self.method == "OPTIONS" { b"*" } else { b"/" });
        }
        splicer.keep(start + path_start, start + self.fields_start);
    }

    /// Adds a `Connection` field with the options that may go on, if there are any.
    fn splice_connection(&self, te: bool, upgrade: bool, splicer: &mut Splicer<'_, '_>) {
        let options = [
            (self.options.close, &b"close"[..]),
            (self.options.keep_alive, b"keep-alive"),
            (te, b"TE"),
            (upgrade, b"Upgrade"),
        ];
        let mut lead: &[u8] = b"Connection: ";
        for (_, option) in options.into_iter().filter(|(is_set, _)| *is_set) {
            splicer.insert(lead);
            splicer.insert(option);
            lead = b", ";
        }
        if lead == b", " {
            splicer.insert(b"\r\n");
        }
    }

    /// The cuts, with those of fields that `Connection` nominates (RFC 9110 section 7.6.1), in order.
    fn cuts_with_nominated(&self, head: &[u8]) -> SmallVec<[Cut; 8]> {
        let mut cuts = self.cuts.clone();
        let nominated = |name: &[u8]| {
            let mut names = self.options.nominated.iter().filter_map(|&(start, end)| head.get(start..end));
            names.any(|nominee| nominee.eq_ignore_ascii_case(name))
        };
        let mut start = self.fields_start;
        while let Some((field, line_feed)) = line::whole_field(head.get(start..).unwrap_or_default()) {
            let end = start + line_feed + 1;
            if nominated(field.name) {
                cuts.push(Cut { start, end, class: CutClass::Always });
            }
            start = end;
        }
        cuts.sort_unstable_by_key(|cut| cut.start);
        cuts
    }
}

const VERSION_BYTES: usize = 8;
const CRLF_BYTES: usize = 2;
