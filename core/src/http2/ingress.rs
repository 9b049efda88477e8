//! Answers on their way downstream: heads are read, refusals are recognised, and nothing is kept.
//!
//! Owns what becomes of each unit that the origin sends. Called by the exchange alone.

use super::answer::AnswerHead;
use super::connection::{Connection, Outgoing, Payload};
use super::frame::{self, FRAME_HEADER_BYTES, FrameHeader, Kind};
use super::hpack::Summary;
use super::pieces::Pieces;
use super::settings::{OriginRules, Settings};
use super::streams::{Ended, Judge, Place};
use super::transmit::{Own, WINDOW_MAX};
use super::unit::{Block, Data};
use super::violation::{Violation, code};
use crate::flow::Direction;
use crate::http::{EditFault, Event, Response};
use crate::limits::HTTP1_INTERIM_MAX;

/// What a block of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    /// The final head.
    Head,
    Interim,
    /// On a stream that the client has reset: nobody waits for it, and only the client's table must see it.
    Late,
    Trailers,
}

impl Connection {
    /// The head of a DATA frame; its payload follows.
    pub(super) fn handle_ingress_data(&mut self, data: Data, at: usize, pieces: &mut Pieces) -> Result<(), Violation> {
        let Data { header: FrameHeader { stream: id, length, .. }, data_bytes, .. } = data;
        let ends_stream = data.header.has(frame::END_STREAM);
        if data_bytes == 0 && !ends_stream {
            self.ingress.count_idle()?;
        }
        let is_forwarded = match self.streams.place(id) {
            Place::Idle => return Err(Violation::FrameMalformed),
            Place::Open(stream) if stream.ingress_ended => return Err(Violation::StreamClosed),
            Place::Open(stream) if !stream.is_answered => return Err(Violation::FrameMalformed),
            Place::Ended(Ended::Both | Ended::ByUpstream) => return Err(Violation::StreamClosed),
            Place::Ended(Ended::ByEditor) => false,
            Place::Open(_) | Place::Forgotten | Place::Ended(Ended::ByDownstream) => true,
        };
        if is_forwarded {
            pieces.keep(at, at + data.head_bytes);
            self.fill(Direction::Ingress, id, length);
        } else {
            self.to_upstream.credit(length);
        }
        if data_bytes > 0 {
            self.progress();
        }
        let payload =
            Payload { stream: id, data_left: data_bytes, padding_left: data.padding_bytes, is_forwarded, ends_stream };
        self.ingress.payload = Some(payload);
        Ok(())
    }

    /// Content as the client sees it.
    pub(super) fn scan(&mut self, id: u32, content: &[u8]) {
        let Place::Open(stream) = self.streams.place(id) else { return };
        if let Some(judge) = &mut stream.judge {
            judge.scanner.handle_body(content);
            self.events.extend(stream.settled_response().map(Event::Response));
        }
    }

    /// An answer's half of its stream has ended.
    pub(super) fn end_ingress(&mut self, id: u32) {
        if let Place::Open(stream) = self.streams.place(id) {
            stream.ingress_ended = true;
            self.events.extend(stream.response().map(Event::Response));
            if stream.egress_ended {
                self.streams.end(id, Ended::Both);
            }
            self.count_answer();
        }
    }

    /// A whole header block that begins at `at`.
    pub(super) fn handle_ingress_block(
        &mut self,
        block: Block,
        (rest, at): (&[u8], usize),
        pieces: &mut Pieces,
    ) -> Result<(), Violation> {
        let id = block.stream;
        let is_trailers = match self.streams.place(id) {
            Place::Idle => return Err(Violation::FrameMalformed),
            Place::Open(stream) if stream.ingress_ended => return Err(Violation::StreamClosed),
            Place::Open(stream) => Some(stream.is_answered),
            Place::Ended(Ended::Both | Ended::ByUpstream) => return Err(Violation::StreamClosed),
            Place::Ended(Ended::ByDownstream | Ended::ByEditor) | Place::Forgotten => None,
        };
        let is_withheld = matches!(self.streams.place(id), Place::Ended(Ended::ByEditor));
        let summary = self.ingress.decode(block, rest)?;
        if is_withheld {
            self.ingress.codec.withhold(&summary);
            return self.ingress.count_idle();
        }
        match self.judge_answer(&summary, block, is_trailers) {
            Ok((head, section)) => {
                self.forward_answer(&head, &summary, (block, at), pieces);
                self.note_answer(head, section, block);
                self.progress();
                Ok(())
            }
            Err(_) if is_trailers.is_none() => {
                // The client has no stream for it, but its table must be the origin's.
                self.ingress.codec.withhold(&summary);
                self.ingress.count_idle()
            }
            Err(fault) => {
                self.ingress.codec.withhold(&summary);
                self.abort_answer(id, fault, is_trailers == Some(true))
            }
        }
    }

    /// Judges a block; `is_trailers` is `None` where nobody waits for it.
    fn judge_answer(
        &mut self,
        summary: &Summary,
        block: Block,
        is_trailers: Option<bool>,
    ) -> Result<(AnswerHead, Section), EditFault> {
        if summary.over_limit.is_some() {
            return Err(EditFault::ResponseTooLong);
        }
        let fields = &self.ingress.codec.fields;
        let late_trailers = is_trailers.is_none() && fields.iter().next().is_none_or(|field| field.name != b":status");
        let head = AnswerHead::read(fields, is_trailers.unwrap_or(late_trailers), self.edit.request_id_headers())?;
        let Place::Open(stream) = self.streams.place(block.stream) else { return Ok((head, Section::Late)) };
        match (stream.is_answered, head.status) {
            (true, _) if block.ends_stream => Ok((head, Section::Trailers)),
            (true, _) => Err(EditFault::ResponseFramingMalformed),
            (false, 100..=199) if block.ends_stream => Err(EditFault::ResponseFramingMalformed),
            (false, 100..=199) => {
                stream.interim_count += 1;
                if stream.interim_count > HTTP1_INTERIM_MAX {
                    return Err(EditFault::ResponseInterim);
                }
                Ok((head, Section::Interim))
            }
            (false, _) => Ok((head, Section::Head)),
        }
    }

    fn forward_answer(
        &mut self,
        head: &AnswerHead,
        summary: &Summary,
        (block, at): (Block, usize),
        pieces: &mut Pieces,
    ) {
        let unchanged = Outgoing::unchanged(block, at, *summary);
        let outgoing = if self.is_edited() {
            Outgoing { cuts: &head.cuts, cut_spans: &head.cut_spans, cuts_are_local: head.cuts_are_local, ..unchanged }
        } else {
            unchanged
        };
        self.ingress.forward_block(&outgoing, pieces);
    }

    /// Takes note of a block that went downstream.
    fn note_answer(&mut self, head: AnswerHead, section: Section, block: Block) {
        let Place::Open(stream) = self.streams.place(block.stream) else { return };
        if section == Section::Head {
            stream.is_answered = true;
            let mut scanner = self.edit.scanner();
            scanner.handle_head(head.status, self.ingress.codec.fields.iter().map(|field| (field.name, field.value)));
            let response = Response {
                number: stream.number,
                status: Some(head.status),
                denial: None,
                vendor_request_id: head.vendor_request_id,
            };
            stream.judge = Some(Judge { response, scanner });
            let is_readable = !head.is_encoded && !stream.is_tunnel;
            let settled = if is_readable { stream.settled_response() } else { stream.response() };
            self.events.extend(settled.map(Event::Response));
        }
        if block.ends_stream {
            self.end_ingress(block.stream);
        }
    }

    /// An answer turns out malformed.
    fn abort_answer(&mut self, stream: u32, fault: EditFault, has_begun: bool) -> Result<(), Violation> {
        let own = if has_begun {
            Own::Reset { stream, code: code::INTERNAL }
        } else {
            Own::Answer { stream, status: fault.status() }
        };
        self.abort(stream, fault, own, code::PROTOCOL)
    }

    /// A whole frame of another type.
    pub(super) fn handle_ingress_frame(
        &mut self,
        header: FrameHeader,
        (frame, at): (&[u8], usize),
        pieces: &mut Pieces,
    ) -> Result<(), Violation> {
        if self.handle_common(Direction::Ingress, header, (frame, at), pieces)? {
            return Ok(());
        }
        let payload = frame.get(FRAME_HEADER_BYTES..).unwrap_or_default();
        match header.kind {
            Kind::Alternative if !self.is_edited() => pieces.keep(at, at + frame.len()),
            Kind::Goaway => {
                self.abandon(frame::number(payload) & WINDOW_MAX);
                pieces.keep(at, at + frame.len());
            }
            Kind::RstStream => match self.streams.place(header.stream) {
                Place::Idle => return Err(Violation::FrameMalformed),
                Place::Ended(_) | Place::Forgotten => {}
                Place::Open(_) => {
                    self.end(header.stream, Ended::ByUpstream);
                    pieces.keep(at, at + frame.len());
                }
            },
            Kind::Settings => {
                let mut settings = Settings::read(payload)?;
                let added = self.edit.set().iter().map(|header| header.name.len() + header.value.len() + 32);
                settings.edit_from_origin(OriginRules {
                    is_first: !self.ingress.is_begun,
                    allows_connect: !self.is_edited() || self.edit.websocket(),
                    added_bytes: u32::try_from(added.sum::<usize>()).unwrap_or(u32::MAX),
                })?;
                self.connect_offered |= settings.enables_connect();
                Self::forward_settings(&mut self.ingress, &settings, pieces)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The origin will serve no stream above `last`: those that the client has opened are over.
    fn abandon(&mut self, last: u32) {
        self.served_last = Some(self.served_last.map_or(last, |known| known.min(last)));
        while let Some(id) = self.streams.above(last) {
            self.end(id, Ended::ByUpstream);
        }
    }
}
