//! Which requests wait for their answer, whether more may come, and what the audit is still to be told.
//!
//! Owns the order: answers belong to requests by position alone (RFC 9112 section 9.3.2). Written by both directions.

use alloc::collections::VecDeque;

use super::request_edit::{Terms, Upgrade};
use crate::http::event::{Event, Request, Response};
use crate::limits::{HTTP1_INTERIM_MAX, HTTP1_PIPELINE_MAX};

/// The requests of one connection.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Oldest first; at most [`HTTP1_PIPELINE_MAX`].
    waiting: VecDeque<Waiting>,
    events: VecDeque<Event>,
    /// How many requests went upstream.
    count: u64,
    /// No request is taken beyond this many.
    count_max: u64,
    /// Nothing more may come on this connection.
    closing: bool,
    /// The next request that comes is the last.
    draining: bool,
    upgraded: bool,
}

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) number: u64,
    pub(crate) terms: Terms,
    interim_count: usize,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            events: VecDeque::new(),
            count: 0,
            count_max: u64::MAX,
            closing: false,
            draining: false,
            upgraded: false,
        }
    }
}

impl Ledger {
    /// For one request alone.
    pub(crate) fn of_one_request() -> Self {
        Self { count_max: 1, ..Self::default() }
    }

    /// Whether all requests that are taken have their answers, and nothing ended.
    pub(crate) fn is_served(&self) -> bool {
        self.count == self.count_max && self.waiting.is_empty() && !self.closing && !self.upgraded
    }

    /// Whether another request may go upstream now: not when the queue is full, nor behind one that is the last or that
    /// may turn the connection into something else.
    pub(crate) fn takes_requests(&self) -> bool {
        let follows = |last: &Waiting| !last.terms.is_last && last.terms.upgrade == Upgrade::No;
        !self.closing
            && !self.upgraded
            && self.count < self.count_max
            && self.waiting.len() < HTTP1_PIPELINE_MAX
            && self.waiting.back().is_none_or(follows)
    }

    /// Enters a request whose head goes upstream.
    pub(crate) fn open(&mut self, terms: Terms, request: Request) {
        let terms = Terms { is_last: terms.is_last || self.draining, ..terms };
        self.waiting.push_back(Waiting { number: self.count, terms, interim_count: 0 });
        self.events.push_back(Event::Request(Request { number: self.count, ..request }));
        self.count += 1;
    }

    /// How many requests went upstream.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// Takes back the request that was entered last: it did not go upstream after all.
    pub(crate) fn take_back(&mut self) {
        self.waiting.pop_back();
        self.events.pop_back();
        self.count -= 1;
    }

    /// The request that the next answer belongs to.
    pub(crate) fn first(&self) -> Option<Waiting> {
        self.waiting.front().copied()
    }

    pub(crate) fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the newest request has had an interim answer.
    pub(crate) fn has_word_for_last(&self) -> bool {
        self.waiting.back().is_some_and(|last| last.interim_count > 0)
    }

    /// Counts an interim answer; whether the bound is kept.
    pub(crate) fn count_interim(&mut self) -> bool {
        self.waiting.front_mut().is_some_and(|first| {
            first.interim_count += 1;
            first.interim_count <= HTTP1_INTERIM_MAX
        })
    }

    /// The oldest request has its whole answer. `is_last` when the connection is of no use after it.
    pub(crate) fn answer(&mut self, is_last: bool) {
        let answered = self.waiting.pop_front();
        if is_last || answered.is_some_and(|answered| answered.terms.is_last) {
            self.close();
        }
    }

    /// The connection became another protocol's.
    pub(crate) fn upgrade(&mut self) {
        self.waiting.clear();
        self.upgraded = true;
    }

    /// No request will follow.
    pub(crate) fn end_requests(&mut self) {
        match self.waiting.back_mut() {
            Some(last) => last.terms.is_last = true,
            None => self.closing = true,
        }
    }

    /// The connection ends behind the last request that has gone upstream, or behind the one whose head has begun, or behind
    /// the first: whoever has just connected did not do it in vain.
    pub(crate) fn drain(&mut self, head_has_begun: bool) {
        self.draining = true;
        if !head_has_begun && self.count > 0 {
            self.end_requests();
        }
    }

    /// Whether the client is to be told that the answer to a request on `terms` is the last.
    pub(crate) const fn ends_with(&self, terms: Terms) -> bool {
        self.draining && terms.is_last
    }

    /// Nothing more may come: requests that still wait will have no answer.
    pub(crate) fn close(&mut self) {
        self.closing = true;
        while let Some(waiting) = self.waiting.pop_front() {
            self.judge(Response { number: waiting.number, ..Response::default() });
        }
    }

    /// Leaves the oldest request out of what [`Self::close`] tells the audit.
    pub(crate) fn forget_first(&mut self) {
        self.waiting.pop_front();
    }

    /// Tells the audit about an answer.
    pub(crate) fn judge(&mut self, response: Response) {
        self.events.push_back(Event::Response(response));
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) const fn is_closing(&self) -> bool {
        self.closing
    }

    pub(crate) const fn is_upgraded(&self) -> bool {
        self.upgraded
    }
}
