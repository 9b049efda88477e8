//! What either end says within TLS, and when: the client its requests, the origin an answer to each.

use super::frames;
use super::message::{Framing, Planned, Reader, Version};
use super::plan::Visit;
use super::secure::Speech;
use crate::ring::chaos::Dice;

/// The client's part.
pub(super) struct Asking {
    visit: Visit,
    dice: Dice,
    asked: usize,
    greeting: Option<Vec<u8>>,
    pub(super) answers: Reader,
}

/// The origin's part.
pub(super) struct Answering {
    visit: Visit,
    dice: Dice,
    greeting: Option<Vec<u8>>,
    pub(super) answered: usize,
    pub(super) requests: Reader,
}

impl Asking {
    pub(super) fn new(visit: Visit, dice: Dice) -> Self {
        let greeting =
            (visit.version == Version::Two).then(|| [frames::PREFACE, &frames::settings(visit.windows[0])].concat());
        let answers = Reader::of_answers(visit.version, visit.windows[0]);
        Self { answers, visit, dice, asked: 0, greeting }
    }
}

impl Answering {
    pub(super) fn new(visit: Visit, dice: Dice) -> Self {
        let greeting = (visit.version == Version::Two).then(|| frames::settings(visit.windows[1]));
        let requests = Reader::of_requests(visit.version, visit.windows[1]);
        Self { requests, visit, dice, greeting, answered: 0 }
    }
}

impl Speech for Asking {
    fn hear(&mut self, bytes: &[u8]) {
        self.answers.hear(bytes);
    }

    fn say(&mut self) -> Option<Vec<u8>> {
        let mut words = self.greeting.take().unwrap_or_default();
        let is_turn = self.visit.is_pipelined || self.answers.ended_count() == self.asked;
        if let Some(request) = self.visit.requests.get(self.asked).filter(|_| is_turn && !self.answers.is_sent_away()) {
            let stream = self.asked as u32 * 2 + 1;
            self.asked += 1;
            words.extend(self.answers.begin(request, stream, &mut self.dice));
        }
        words.extend(self.answers.speak(&mut self.dice));
        (!words.is_empty()).then_some(words)
    }

    fn is_over(&self) -> bool {
        let is_last = self.asked == self.visit.requests.len() || self.answers.is_sent_away();
        is_last && self.answers.is_sent() && (self.visit.is_half_closed || self.answers.ended_count() == self.asked)
    }
}

impl Speech for Answering {
    fn hear(&mut self, bytes: &[u8]) {
        self.requests.hear(bytes);
    }

    fn say(&mut self) -> Option<Vec<u8>> {
        let mut words = self.greeting.take().unwrap_or_default();
        let is_early = self.visit.is_early && self.answered + 1 == self.visit.answers.len();
        let request = self.requests.messages.get(self.answered).filter(|request| request.whole || is_early);
        if let (Some(answer), Some(request)) = (self.visit.answers.get(self.answered), request) {
            self.answered += 1;
            let stream = request.stream;
            words.extend(self.requests.begin(answer, stream, &mut self.dice));
            if let Some(cut_bytes) = self.visit.cut_bytes.filter(|_| self.answered == self.visit.answers.len()) {
                words.truncate(words.len() - answer.body.len() + cut_bytes);
            }
        }
        words.extend(self.requests.speak(&mut self.dice));
        (!words.is_empty()).then_some(words)
    }

    fn says_goodbye(&self) -> bool {
        self.visit.cut_bytes.is_none()
    }

    fn is_over(&self) -> bool {
        // Others wait for the client to end.
        let is_closing = |last: &Planned| last.framing == Framing::Close;
        self.answered == self.visit.answers.len() && self.visit.answers.last().is_some_and(is_closing)
    }
}
