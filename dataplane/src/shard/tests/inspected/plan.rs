//! What a seed plans for one visit.

use super::message::{Framing, Planned, Version};
use super::secure::Fate;
use super::{HOST, IMPOSTOR};
use crate::ring::chaos::Dice;

/// One connection from its CONNECT to its end.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) version: Version,
    pub(super) requests: Vec<Planned>,
    pub(super) answers: Vec<Planned>,
    /// That streams of HTTP/2 have at first: the client's, then the origin's.
    pub(super) windows: [u32; 2],
    /// The client does not wait for answers between requests.
    pub(super) is_pipelined: bool,
    /// The client ends its side behind its last request.
    pub(super) is_half_closed: bool,
    /// The ClientHello comes right behind the CONNECT.
    pub(super) is_eager: bool,
    /// The last answer begins before its request has ended.
    pub(super) is_early: bool,
    /// The last request is for another host than the connection.
    pub(super) is_misdirected: bool,
    /// The last answer, which ends with the connection, does so after this much of its body, without `close_notify`.
    pub(super) cut_bytes: Option<usize>,
    pub(super) origin: Manner,
    /// The product was here before and knows what an honest origin chooses.
    pub(super) is_remembered: bool,
    /// The client's, then the origin's.
    pub(super) fates: [Fate; 2],
    /// The shard drains once so many moves were made since the visit began.
    pub(super) drain: Option<u64>,
}

/// How the origin shakes hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Honest,
    /// Its certificate is for another name.
    Impostor,
    /// It chooses no protocol.
    Silent,
}

impl Visit {
    /// Of so many visits; nothing bad happens before the last.
    pub(super) fn new(number: usize, visits: usize, version: Version, dice: &mut Dice) -> Self {
        let count = 1 + dice.below(3);
        let requests = (0..count).map(|number| Planned::request(number, HOST, dice)).collect();
        let answers: Vec<_> =
            (0..count).map(|number| Planned::answer(number, number + 1 == count, version, dice)).collect();
        let mut visit = Self {
            version,
            requests,
            answers,
            windows: [(); 2].map(|()| [0, 500, 5_000, 65_535][dice.below(4)]),
            is_pipelined: dice.percent(40),
            is_half_closed: false,
            is_eager: dice.percent(50),
            is_early: false,
            is_misdirected: false,
            cut_bytes: None,
            origin: Manner::Honest,
            is_remembered: number > 1,
            fates: [Fate::Finish; 2],
            drain: None,
        };
        if number == visits {
            visit.trouble(dice);
        }
        visit
    }

    fn trouble(&mut self, dice: &mut Dice) {
        self.is_half_closed = dice.percent(20);
        if self.is_half_closed {
            // Who says no more grants no more. All answers fit into the connection's first window.
            self.windows[0] = 65_535;
            self.answers.iter_mut().for_each(|answer| answer.body.truncate(21_000));
        }
        self.is_early = dice.percent(15);
        self.origin = match dice.below(100) {
            0..6 => Manner::Impostor,
            // A client cannot speak HTTP/2 unless that is remembered.
            6..20 if self.version == Version::One || self.is_remembered => Manner::Silent,
            _ => Manner::Honest,
        };
        let parts = self.requests.iter().chain(&self.answers);
        let body_bytes: usize = parts.map(|planned| 200 + planned.body.len()).sum();
        // Handshakes take some thousands of bytes on the wire.
        let at = if dice.percent(30) { dice.below(4_000) } else { 3_000 + dice.below(3_000 + body_bytes) };
        let which = dice.below(2);
        match dice.below(100) {
            0..20 => self.fates[which] = Fate::Cut(at),
            20..40 => self.fates[which] = Fate::Reset(at),
            40..55 => self.fates[which] = Fate::Stall(at),
            55..70 => self.drain = Some(dice.below(300) as u64),
            70..78 => {
                self.is_misdirected = true;
                let last = self.requests.len() - 1;
                self.requests[last] = Planned::request(last, IMPOSTOR, dice);
            }
            78..88 if self.version == Version::One => self.cut_last_answer(dice),
            _ => {}
        }
    }

    fn cut_last_answer(&mut self, dice: &mut Dice) {
        if let Some(answer) = self.answers.last_mut() {
            let bytes = 1 + dice.below(40_000);
            (answer.framing, answer.body) = (Framing::Close, dice.bytes(bytes));
            self.cut_bytes = Some(dice.below(bytes));
        }
    }

    /// Nothing keeps any of it from arriving.
    pub(super) fn is_calm(&self) -> bool {
        let is_answered = match self.origin {
            Manner::Honest => true,
            Manner::Impostor => false,
            // Told apart from what is remembered, and the client is sent away to come back.
            Manner::Silent => !self.is_remembered,
        };
        self.fates == [Fate::Finish; 2]
            && self.drain.is_none()
            && !self.is_misdirected
            && self.cut_bytes.is_none()
            && is_answered
    }
}
