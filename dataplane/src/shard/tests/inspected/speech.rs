//! What either end says within TLS, and when: the client its requests, the origin an answer to each.

use super::message::{Framing, Reader};
use super::plan::Visit;
use super::secure::Speech;

/// The client's part.
pub(super) struct Asking {
    visit: Visit,
    asked: usize,
    pub(super) answers: Reader,
}

/// The origin's part.
pub(super) struct Answering {
    visit: Visit,
    pub(super) answered: usize,
    pub(super) requests: Reader,
}

impl Asking {
    pub(super) const fn new(visit: Visit) -> Self {
        Self { visit, asked: 0, answers: Reader::of_answers() }
    }
}

impl Answering {
    pub(super) const fn new(visit: Visit) -> Self {
        Self { visit, answered: 0, requests: Reader::of_requests() }
    }
}

impl Speech for Asking {
    fn hear(&mut self, bytes: &[u8]) {
        self.answers.hear(bytes);
    }

    fn say(&mut self) -> Option<Vec<u8>> {
        let is_turn = self.visit.is_pipelined || self.answers.whole_count() == self.asked;
        let request = self.visit.requests.get(self.asked).filter(|_| is_turn)?;
        self.asked += 1;
        Some(request.wire.clone())
    }

    fn is_over(&self) -> bool {
        let asked_all = self.asked == self.visit.requests.len();
        asked_all && (self.visit.is_half_closed || self.answers.whole_count() == self.asked)
    }
}

impl Speech for Answering {
    fn hear(&mut self, bytes: &[u8]) {
        self.requests.hear(bytes);
    }

    fn say(&mut self) -> Option<Vec<u8>> {
        let answer = self.visit.answers.get(self.answered)?;
        let is_early = self.visit.is_early && self.answered + 1 == self.visit.answers.len();
        let heard = if is_early { self.requests.messages.len() } else { self.requests.whole_count() };
        (heard > self.answered).then(|| {
            self.answered += 1;
            answer.wire.clone()
        })
    }

    fn is_over(&self) -> bool {
        // Others wait for the client to end.
        self.answered == self.visit.answers.len()
            && self.visit.answers.last().is_some_and(|last| last.framing == Framing::Close)
    }
}
