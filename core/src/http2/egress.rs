//! Requests on their way upstream: header blocks are judged and edited, DATA is counted, and nothing is kept.
//!
//! Owns what becomes of each unit that the client sends. Called by the exchange alone.
//!
//! A request's block goes on with the set headers right behind its pseudo-header fields, where only what was checked stands
//! before them: a hop that cuts a head at a size or a count of fields, or that takes the first of two copies, has read them by
//! then.
//!
//! ```text
//! |header|priority|:method :scheme :authority :path|set headers|fields, without those that must go|
//!  own    kept     kept                             literals    kept
//! ```

use super::connection::{Connection, Outgoing, Payload};
use super::frame::{self, FRAME_HEADER_BYTES, FrameHeader, Kind};
use super::hpack::Summary;
use super::pieces::Pieces;
use super::request::{self, RequestHead, Rules};
use super::settings::Settings;
use super::streams::{Ended, Place, Stream};
use super::transmit::{Own, WINDOW_MAX};
use super::unit::{Block, Data};
use super::violation::{Violation, code};
use crate::flow::Direction;
use crate::http::{EditFault, Event, Request};
use crate::limits::HTTP2_STREAM_DRAIN_FROM;

impl Connection {
    /// The client's connection preface, as it came; how many bytes of it were taken.
    pub(super) fn handle_preface(rest: &[u8], at: usize, pieces: &mut Pieces) -> Result<usize, Violation> {
        let count = rest.len().min(PREFACE.len());
        if rest.get(..count) != PREFACE.get(..count) {
            return Err(Violation::Preface);
        }
        if count < PREFACE.len() {
            return Ok(0);
        }
        pieces.keep(at, at + count);
        Ok(count)
    }

    /// The head of a DATA frame; its payload follows.
    pub(super) fn handle_egress_data(&mut self, data: Data, at: usize, pieces: &mut Pieces) -> Result<(), Violation> {
        let Data { header: FrameHeader { stream: id, length, .. }, data_bytes, .. } = data;
        let ends_stream = data.header.has(frame::END_STREAM);
        if data_bytes == 0 && !ends_stream {
            self.egress.count_idle()?;
        }
        let is_forwarded = match self.streams.place(id) {
            Place::Idle => return Err(Violation::FrameMalformed),
            Place::Forgotten | Place::Ended(Ended::Both | Ended::ByDownstream) => return Err(Violation::StreamClosed),
            Place::Ended(Ended::ByEditor) => false,
            Place::Ended(Ended::ByUpstream) => true,
            Place::Open(stream) if stream.egress_ended => return Err(Violation::StreamClosed),
            Place::Open(stream) => match stream.count_content(data_bytes, ends_stream) {
                Ok(()) => true,
                Err(fault) => {
                    self.abort_request(id, fault)?;
                    false
                }
            },
        };
        if is_forwarded {
            pieces.keep(at, at + data.head_bytes);
            self.fill(Direction::Egress, id, length);
        } else {
            self.to_downstream.credit(length);
        }
        if data_bytes > 0 && is_forwarded {
            self.progress();
        }
        let payload =
            Payload { stream: id, data_left: data_bytes, padding_left: data.padding_bytes, is_forwarded, ends_stream };
        self.egress.payload = Some(payload);
        Ok(())
    }

    /// A request's half of its stream has ended.
    pub(super) fn end_egress(&mut self, id: u32) {
        if let Place::Open(stream) = self.streams.place(id) {
            stream.egress_ended = true;
            if stream.ingress_ended {
                self.end(id, Ended::Both);
            }
            self.pace.end_body();
        }
    }

    /// A whole header block that begins at `at`.
    pub(super) fn handle_egress_block(
        &mut self,
        block: Block,
        (rest, at): (&[u8], usize),
        pieces: &mut Pieces,
    ) -> Result<(), Violation> {
        let id = block.stream;
        match self.streams.place(id) {
            _ if id.is_multiple_of(2) => return Err(Violation::FrameMalformed),
            Place::Forgotten => return Err(Violation::FrameMalformed),
            Place::Ended(Ended::Both | Ended::ByDownstream) => return Err(Violation::StreamClosed),
            Place::Open(stream) if stream.egress_ended => return Err(Violation::StreamClosed),
            Place::Ended(_) | Place::Open(_) | Place::Idle => {}
        }
        let depends_on_itself =
            block.priority.is_some_and(|start| frame::number(rest.get(start..).unwrap_or_default()) & WINDOW_MAX == id);
        let summary = self.egress.decode(block, rest)?;
        if depends_on_itself {
            return Err(Violation::FrameMalformed);
        }
        match self.streams.place(id) {
            Place::Idle => self.open(&summary, block, at, pieces),
            Place::Open(_) => self.handle_request_trailers(&summary, block, at, pieces),
            _ => {
                self.egress.codec.withhold(&summary);
                self.egress.count_idle()
            }
        }
    }

    /// The first block of a stream.
    fn open(&mut self, summary: &Summary, block: Block, at: usize, pieces: &mut Pieces) -> Result<(), Violation> {
        let id = block.stream;
        self.streams.last = id;
        let head = match self.judge(summary, block) {
            Ok(head) => head,
            Err(fault) => return self.refuse(summary, block, fault),
        };
        let is_edited = self.is_edited();
        let edit = self.edit.clone();
        let outgoing = Outgoing {
            block,
            at,
            summary: *summary,
            cuts: if is_edited { &head.cuts } else { &[] },
            cut_spans: if is_edited { &head.cut_spans } else { &[] },
            cuts_are_local: head.cuts_are_local || !is_edited,
            added: edit.http2_block(),
            lead: (head.lead_count, head.lead_end),
        };
        self.egress.forward_block(&outgoing, pieces);
        let number = self.request_count;
        self.request_count += 1;
        self.events.push_back(Event::Request(Request { number, ..head.event }));
        let stream = Stream {
            number,
            egress_ended: block.ends_stream,
            content_length: head.content_length,
            forbids_content: head.forbids_content,
            is_tunnel: head.is_tunnel,
            is_grpc: head.is_grpc,
            expects_continue: head.expects_continue,
            ..Stream::default()
        };
        self.streams.open(id, stream);
        self.progress();
        if id >= HTTP2_STREAM_DRAIN_FROM { self.drain() } else { Ok(()) }
    }

    fn judge(&self, summary: &Summary, block: Block) -> Result<RequestHead, EditFault> {
        if summary.over_limit.is_some() {
            return Err(EditFault::TooManyFields);
        }
        let is_drained = self.is_draining && !self.drains_fresh;
        if is_drained || !self.streams.has_room() || self.served_last.is_some_and(|last| block.stream > last) {
            return Err(EditFault::StreamRefused);
        }
        let rules = Rules { edit: &self.edit, origin: &self.origin, connect_offered: self.connect_offered };
        RequestHead::read(&self.egress.codec.fields, block.ends_stream, rules)
    }

    /// Answers a request of which nothing goes upstream, or resets its stream.
    fn refuse(&mut self, summary: &Summary, block: Block, fault: EditFault) -> Result<(), Violation> {
        let stream = block.stream;
        self.egress.codec.withhold(summary);
        self.streams.end(stream, Ended::ByEditor);
        self.events.push_back(Event::Refused(fault));
        match (fault, fault.status()) {
            (EditFault::StreamRefused, _) => {
                self.to_downstream.push(Own::Reset { stream, code: code::REFUSED_STREAM })?;
            }
            (_, 400) => {
                self.to_downstream.push(Own::Reset { stream, code: code::PROTOCOL })?;
                return self.count_reset();
            }
            (_, status) => {
                self.to_downstream.push(Own::Answer { stream, status })?;
                if !block.ends_stream {
                    self.to_downstream.push(Own::Reset { stream, code: code::NO_ERROR })?;
                }
            }
        }
        self.egress.count_idle()
    }

    /// A block that is not the first of its stream. Trailers do not go on when requests are edited: a hop may take a
    /// restriction header from there, and nobody misses them.
    fn handle_request_trailers(
        &mut self,
        summary: &Summary,
        block: Block,
        at: usize,
        pieces: &mut Pieces,
    ) -> Result<(), Violation> {
        let id = block.stream;
        if let Err(fault) = self.judge_trailers(summary, block) {
            self.egress.codec.withhold(summary);
            return self.abort_request(id, fault);
        }
        if self.is_edited() {
            self.egress.codec.withhold(summary);
            pieces.insert(&frame::header(0, frame::DATA, frame::END_STREAM, id));
        } else {
            let outgoing = Outgoing::unchanged(block, at, *summary);
            self.egress.forward_block(&outgoing, pieces);
        }
        self.end_egress(id);
        Ok(())
    }

    fn judge_trailers(&mut self, summary: &Summary, block: Block) -> Result<(), EditFault> {
        if summary.over_limit.is_some() {
            return Err(EditFault::TrailersTooLong);
        }
        if !block.ends_stream {
            return Err(EditFault::TrailerMalformed);
        }
        request::check_trailers(&self.egress.codec.fields)?;
        match self.streams.place(block.stream) {
            Place::Open(stream) => stream.count_content(0, true),
            _ => Ok(()),
        }
    }

    /// A request that went upstream turns out malformed.
    fn abort_request(&mut self, stream: u32, fault: EditFault) -> Result<(), Violation> {
        let reset = Own::Reset { stream, code: code::PROTOCOL };
        self.abort(stream, fault, reset, code::CANCEL)?;
        self.count_reset()
    }

    /// A whole frame of another type.
    pub(super) fn handle_egress_frame(
        &mut self,
        header: FrameHeader,
        (frame, at): (&[u8], usize),
        pieces: &mut Pieces,
    ) -> Result<(), Violation> {
        if self.handle_common(Direction::Egress, header, (frame, at), pieces)? {
            return Ok(());
        }
        let payload = frame.get(FRAME_HEADER_BYTES..).unwrap_or_default();
        match header.kind {
            Kind::Goaway => pieces.keep(at, at + frame.len()),
            Kind::PriorityUpdate => {
                if header.stream != 0 || payload.len() < 4 {
                    return Err(Violation::FrameMalformed);
                }
                pieces.keep(at, at + frame.len());
            }
            Kind::RstStream => match self.streams.place(header.stream) {
                Place::Idle => return Err(Violation::FrameMalformed),
                Place::Ended(_) | Place::Forgotten => {}
                Place::Open(stream) => {
                    let is_early = !stream.is_answered;
                    self.end(header.stream, Ended::ByDownstream);
                    if is_early {
                        self.count_reset()?;
                    }
                    pieces.keep(at, at + frame.len());
                }
            },
            Kind::Settings => {
                let mut settings = Settings::read(payload)?;
                settings.edit_from_client(!self.egress.is_begun);
                Self::forward_settings(&mut self.egress, &settings, pieces)?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Stream {
    /// Counts content, and holds it against the length that was announced (RFC 9113 section 8.1.1).
    fn count_content(&mut self, bytes: usize, ends: bool) -> Result<(), EditFault> {
        self.content_bytes = self.content_bytes.saturating_add(bytes as u64);
        if self.forbids_content && bytes > 0 {
            return Err(EditFault::ContentUnexpected);
        }
        match self.content_length {
            Some(length) if self.content_bytes > length || (ends && self.content_bytes < length) => {
                Err(EditFault::ContentLengthWrong)
            }
            _ => Ok(()),
        }
    }
}

/// RFC 9113 section 3.4.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
