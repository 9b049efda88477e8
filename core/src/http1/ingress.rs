//! Answers on their way downstream: framing is checked, refusals are recognised, and nothing is kept.
//!
//! Owns the place in the stream of answers. Called by the exchange alone.

use super::body::{Body, ChunkReject, Step};
use super::ledger::Ledger;
use super::line;
use super::response_head::{Cut, Next, ResponseHead};
use crate::catalogue::DenialScanner;
use crate::http::event::{self, Response};
use crate::http::fault::EditFault;
use crate::http::gather::{Gather, Splicer};
use crate::http::token;
use crate::policy::{HeaderEdit, Mode};

/// The place in the stream of answers.
#[derive(Debug, Default)]
pub(crate) struct Ingress {
    head: ResponseHead,
    /// An empty line before the head was there, and was dropped: some origins end a body with one too many.
    skipped_line: bool,
    current: Option<Current>,
}

/// A final answer of which the head went downstream.
#[derive(Debug)]
struct Current {
    body: Option<Body>,
    /// The connection is of no use after it.
    is_last: bool,
    /// Until the audit is told.
    judge: Option<Judge>,
}

/// What is known of an answer, and what its body may still show.
#[derive(Debug)]
struct Judge {
    response: Response,
    scanner: DenialScanner,
}

impl Ingress {
    /// Takes what it can of `input`. The fault, if one came up, belongs to the first byte that was not taken.
    /// `request_unfinished` while the last request's body is still on its way.
    pub(crate) fn run<'a>(
        &mut self,
        input: &'a [u8],
        out: &mut Gather<'a>,
        edit: &HeaderEdit,
        ledger: &mut Ledger,
        request_unfinished: bool,
    ) -> (usize, Result<(), EditFault>) {
        let mut at = 0;
        let mut splicer = Splicer::new(input, out);
        let outcome = loop {
            let rest = input.get(at..).unwrap_or_default();
            let taken = if ledger.is_upgraded() {
                splicer.keep(at, input.len());
                Ok(rest.len())
            } else if let Some(current) = &mut self.current {
                current.forward_body(rest, at, &mut splicer, ledger)
            } else {
                self.forward_head(rest, at, &mut splicer, edit, ledger)
            };
            if self.current.as_ref().is_some_and(Current::is_ended) {
                self.end_answer(ledger, request_unfinished);
            }
            match taken {
                Ok(0) => break Ok(()),
                Ok(count) => at += count,
                Err(fault) => break Err(fault),
            }
        };
        splicer.close();
        (at, outcome)
    }

    /// The origin closed.
    pub(crate) fn end(&mut self, ledger: &mut Ledger) -> Result<(), EditFault> {
        match &self.current {
            Some(Current { body: Some(Body::UntilClose), .. }) => {
                self.end_answer(ledger, false);
                Ok(())
            }
            None if ledger.waiting_count() == 0 => {
                ledger.close();
                Ok(())
            }
            _ => Err(EditFault::ResponseTruncated),
        }
    }

    /// Whether part of a final answer went downstream, and not all.
    pub(crate) const fn is_in_answer(&self) -> bool {
        self.current.is_some()
    }

    /// Tells the audit what is known of an answer that will not become whole.
    pub(crate) fn give_up(&mut self, ledger: &mut Ledger) {
        if let Some(current) = &mut self.current {
            current.judge(ledger);
            // It has been told about this one.
            ledger.forget_first();
        }
    }

    fn forward_head(
        &mut self,
        rest: &[u8],
        at: usize,
        splicer: &mut Splicer<'_, '_>,
        edit: &HeaderEdit,
        ledger: &mut Ledger,
    ) -> Result<usize, EditFault> {
        if rest.is_empty() || ledger.is_closing() {
            return Ok(0);
        }
        let waiting = ledger.first().ok_or(EditFault::ResponseUnasked)?;
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
        let Some(length) = self.head.read(rest, edit.request_id_headers())? else {
            return Ok(0);
        };
        let head = rest.get(..length).unwrap_or_default();
        let read = core::mem::take(&mut self.head);
        self.skipped_line = false;
        let mut closes = false;
        match read.next(waiting.terms)? {
            Next::Head if ledger.count_interim() => {}
            Next::Head => return Err(EditFault::ResponseInterim),
            Next::Upgraded => {
                ledger.judge(read.describe(head, waiting.number));
                ledger.upgrade();
            }
            Next::Body { body, is_last } => {
                closes = ledger.ends_with(waiting.terms);
                let judge = Judge::new(&read, read.describe(head, waiting.number), head, edit);
                let current = self.current.insert(Current { body, is_last, judge: Some(judge) });
                current.judge_if_settled(read.is_encoded, ledger);
            }
        }
        if edit.mode() == Mode::Enforce {
            read.splice(at, length, closes, splicer);
        } else {
            splicer.keep(at, at + length);
        }
        Ok(length)
    }

    fn end_answer(&mut self, ledger: &mut Ledger, request_unfinished: bool) {
        if let Some(mut current) = self.current.take() {
            current.judge(ledger);
            // The answer came before the request's body had ended. What is still to come of it could be taken for a
            // request, so the connection is not used again.
            let is_early = request_unfinished && ledger.waiting_count() == 1;
            ledger.answer(current.is_last || is_early);
        }
    }
}

impl Current {
    fn is_ended(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_ended)
    }

    fn forward_body(
        &mut self,
        rest: &[u8],
        at: usize,
        splicer: &mut Splicer<'_, '_>,
        ledger: &mut Ledger,
    ) -> Result<usize, EditFault> {
        let Some(body) = &mut self.body else {
            return Ok(0);
        };
        let step = body.step(rest).map_err(|reject| match reject {
            ChunkReject::Chunk | ChunkReject::Trailer => EditFault::ResponseChunkMalformed,
            ChunkReject::LineTooLong | ChunkReject::TrailersTooLong => EditFault::ResponseTooLong,
        })?;
        let count = match step {
            Step::Payload(count) => {
                self.scan(rest.get(..count).unwrap_or_default(), ledger);
                count
            }
            Step::Frame(count) | Step::Drop(count) => count,
            Step::Starved => 0,
        };
        splicer.keep(at, at + count);
        Ok(count)
    }

    fn scan(&mut self, payload: &[u8], ledger: &mut Ledger) {
        if let Some(judge) = &mut self.judge {
            judge.scanner.handle_body(payload);
            self.judge_if_settled(false, ledger);
        }
    }

    /// Tells the audit as soon as no further byte can change the judgement.
    fn judge_if_settled(&mut self, is_encoded: bool, ledger: &mut Ledger) {
        if is_encoded || self.judge.as_ref().is_some_and(|judge| !judge.scanner.wants_body()) {
            self.judge(ledger);
        }
    }

    fn judge(&mut self, ledger: &mut Ledger) {
        if let Some(Judge { response, scanner }) = self.judge.take() {
            ledger.judge(Response { denial: scanner.found(), ..response });
        }
    }
}

impl Judge {
    fn new(read: &ResponseHead, response: Response, head: &[u8], edit: &HeaderEdit) -> Self {
        let mut scanner = edit.scanner();
        let section = head.get(read.fields_start..).unwrap_or_default();
        scanner.handle_head(read.status, line::fields(section).map(|field| (field.name, token::trim(field.value))));
        Self { response, scanner }
    }
}

impl ResponseHead {
    fn describe(&self, head: &[u8], number: u64) -> Response {
        let value = self.request_id().and_then(|(start, end)| head.get(start..end));
        let vendor_request_id = value.and_then(|value| event::token_text(token::trim(value)));
        Response { number, status: Some(self.status), denial: None, vendor_request_id }
    }

    /// Forwards the head, of `length` bytes from `start` on, without the lines that must go; it says that the connection
    /// closes if it is to.
    fn splice(&self, start: usize, length: usize, closes: bool, splicer: &mut Splicer<'_, '_>) {
        let closes = closes && !self.closes;
        let mut kept = 0;
        for &Cut { span: (cut_start, cut_end), .. } in self.cuts.iter().filter(|cut| closes || !cut.is_of_connection) {
            splicer.keep(start + kept, start + cut_start);
            kept = cut_end;
        }
        if closes {
            let end = length - b"\r\n".len();
            splicer.keep(start + kept, start + end);
            splicer.insert(b"Connection: close\r\n");
            kept = end;
        }
        splicer.keep(start + kept, start + length);
    }
}
