//! The state of one connection pair, and what both directions do alike.
//!
//! Owns settings and the guards against floods. Written by `egress` and `ingress`.
//!
//! No clock lives here, so floods are counted against what moves on: a frame that does forgives some that do not.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use smallvec::SmallVec;

use super::codec::Codec;
use super::frame::{self, FRAME_HEADER_BYTES, FrameHeader, Kind};
use super::hpack::Summary;
use super::pieces::{Part, Pieces};
use super::room::WINDOW_INITIAL;
use super::settings::Settings;
use super::streams::{Ended, Place, Streams};
use super::transmit::{Own, Transmit, WINDOW_MAX};
use super::unit::{Block, PRIORITY_BYTES};
use super::violation::{Violation, code};
use crate::flow::Direction;
use crate::http::authority::Origin;
use crate::http::pace::Pace;
use crate::http::{EditFault, Event};
use crate::limits::{
    HTTP2_IDLE_FRAMES_FORGIVEN, HTTP2_IDLE_FRAMES_MAX, HTTP2_RESETS_MAX, HTTP2_SETTINGS_PENDING_MAX, HTTP2_STALL_BYTES,
};
use crate::policy::{HeaderEdit, Mode};

/// One connection pair.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) edit: Arc<HeaderEdit>,
    pub(super) origin: Origin,
    pub(super) egress: Side,
    pub(super) ingress: Side,
    pub(super) streams: Streams,
    pub(super) events: VecDeque<Event>,
    /// How many requests went upstream.
    pub(super) request_count: u64,
    pub(super) to_upstream: Transmit,
    pub(super) to_downstream: Transmit,
    /// The origin was let offer extended CONNECT.
    pub(super) connect_offered: bool,
    /// No stream is taken any more.
    pub(super) is_draining: bool,
    /// The drain began before the client had opened a stream: it is good for those that were on their way.
    pub(super) drains_fresh: bool,
    /// The last stream that the origin serves, once it has said so.
    pub(super) served_last: Option<u32>,
    reset_count: usize,
    /// Content that has moved on, and what whole answers count for.
    pub(super) moved_bytes: u64,
    /// Of the content of all requests together: a client shares its line between them as it likes.
    pub(super) pace: Pace,
}

/// What one leg sends.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) codec: Codec,
    /// Its first SETTINGS has gone on.
    pub(super) is_begun: bool,
    /// Part of a unit has come.
    pub(super) in_unit: bool,
    /// How many units, and parts of payloads, were taken.
    pub(super) unit_count: u64,
    /// DATA of which not all has come.
    pub(super) payload: Option<Payload>,
    /// A header block of several frames.
    pub(super) joined: Vec<u8>,
    /// Of its SETTINGS that the other side has not acknowledged, oldest first.
    pub(super) pending: VecDeque<Pending>,
    /// The room that it grants each stream at first, beyond the default.
    pub(super) initial_room: i64,
    /// Room that it has granted on the connection beyond the first, less what was filled.
    pub(super) room: i64,
    /// Frames that moved nothing on.
    idle_count: usize,
}

/// What of a SETTINGS frame comes into force when it is acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pending {
    pub(super) header_table_size: Option<usize>,
    pub(super) initial_room: Option<i64>,
}

/// The payload of a DATA frame, on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload {
    pub(super) stream: u32,
    pub(super) data_left: usize,
    pub(super) padding_left: usize,
    pub(super) is_forwarded: bool,
    pub(super) ends_stream: bool,
}

/// A decoded header block on its way out.
pub(super) struct Outgoing<'a> {
    pub(super) block: Block,
    /// Where it begins in the input.
    pub(super) at: usize,
    pub(super) summary: Summary,
    /// Fields that go, by their place and by where they stand, and whether none of them entered the table.
    pub(super) cuts: &'a [usize],
    pub(super) cut_spans: &'a [(usize, usize)],
    pub(super) cuts_are_local: bool,
    /// What is added, behind how many fields, and where the last of these ends.
    pub(super) added: &'a [u8],
    pub(super) lead: (usize, usize),
}

impl Connection {
    pub(super) fn new(edit: Arc<HeaderEdit>, origin: Origin) -> Self {
        Self {
            edit,
            origin,
            egress: Side::default(),
            ingress: Side::default(),
            streams: Streams::default(),
            events: VecDeque::new(),
            request_count: 0,
            to_upstream: Transmit::default(),
            to_downstream: Transmit::default(),
            connect_offered: false,
            is_draining: false,
            drains_fresh: false,
            served_last: None,
            reset_count: 0,
            moved_bytes: 0,
            pace: Pace::default(),
        }
    }

    /// Whether requests and answers are changed at all.
    pub(super) fn is_edited(&self) -> bool {
        self.edit.mode() == Mode::Enforce
    }

    pub(super) const fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Egress => &mut self.egress,
            Direction::Ingress => &mut self.ingress,
        }
    }

    /// What both directions do with frames that are not their own business. Whether it was one of these.
    pub(super) fn handle_common(
        &mut self,
        direction: Direction,
        header: FrameHeader,
        (frame, at): (&[u8], usize),
        pieces: &mut Pieces,
    ) -> Result<bool, Violation> {
        let payload = frame.get(FRAME_HEADER_BYTES..).unwrap_or_default();
        let on_connection = header.stream == 0;
        match header.kind {
            Kind::Goaway | Kind::Ping | Kind::Settings if !on_connection => return Err(Violation::FrameMalformed),
            Kind::Priority | Kind::RstStream if on_connection => return Err(Violation::FrameMalformed),
            Kind::Goaway if payload.len() < 8 => return Err(Violation::FrameLength),
            Kind::Ping if payload.len() != 8 => return Err(Violation::FrameLength),
            Kind::Priority if payload.len() != PRIORITY_BYTES => return Err(Violation::FrameLength),
            Kind::RstStream | Kind::WindowUpdate if payload.len() != 4 => return Err(Violation::FrameLength),
            Kind::PushPromise => return Err(Violation::Push),
            _ => {}
        }
        self.side(direction).count_idle()?;
        match header.kind {
            Kind::Ping => pieces.keep(at, at + frame.len()),
            Kind::Priority => {
                if frame::number(payload) & WINDOW_MAX == header.stream {
                    return Err(Violation::FrameMalformed);
                }
                if !matches!(self.streams.place(header.stream), Place::Ended(Ended::ByEditor)) {
                    pieces.keep(at, at + frame.len());
                }
            }
            Kind::Settings if header.has(frame::ACK) => {
                if !payload.is_empty() {
                    return Err(Violation::FrameLength);
                }
                self.acknowledge(direction)?;
                pieces.keep(at, at + frame.len());
            }
            Kind::WindowUpdate => {
                let is_forwarded = self.grant(direction, header.stream, frame::number(payload) & WINDOW_MAX)?;
                if is_forwarded {
                    pieces.keep(at, at + frame.len());
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Forwards SETTINGS, edited.
    pub(super) fn forward_settings(side: &mut Side, settings: &Settings, pieces: &mut Pieces) -> Result<(), Violation> {
        if side.pending.len() >= HTTP2_SETTINGS_PENDING_MAX {
            return Err(Violation::Flood);
        }
        side.pending.push_back(Pending {
            header_table_size: settings.header_table_size(),
            initial_room: settings.initial_window_size().map(|bytes| i64::from(bytes) - WINDOW_INITIAL),
        });
        side.is_begun = true;
        let payload = settings.encode();
        pieces.insert(&frame::header(payload.len(), frame::SETTINGS, 0, 0));
        pieces.insert(&payload);
        Ok(())
    }

    /// The sender of `direction` has acknowledged the oldest SETTINGS of the other side.
    fn acknowledge(&mut self, direction: Direction) -> Result<(), Violation> {
        let (sender, other) = match direction {
            Direction::Egress => (&mut self.egress, &mut self.ingress),
            Direction::Ingress => (&mut self.ingress, &mut self.egress),
        };
        let pending = other.pending.pop_front().ok_or(Violation::FrameMalformed)?;
        if let Some(bytes) = pending.header_table_size {
            sender.codec.set_size_limit(bytes);
        }
        other.initial_room = pending.initial_room.unwrap_or(other.initial_room);
        Ok(())
    }

    /// Takes what there is of a payload, and ends the stream with its last byte if that is due. How many bytes it took.
    pub(super) fn handle_payload(
        &mut self,
        direction: Direction,
        rest: &[u8],
        at: usize,
        pieces: &mut Pieces,
    ) -> usize {
        let Some(payload) = &mut self.side(direction).payload else { return 0 };
        let data_bytes = payload.data_left.min(rest.len());
        let padding_bytes = payload.padding_left.min(rest.len() - data_bytes);
        payload.data_left -= data_bytes;
        payload.padding_left -= padding_bytes;
        let Payload { stream, data_left, padding_left, is_forwarded, ends_stream } = *payload;
        let is_whole = data_left == 0 && padding_left == 0;
        if is_whole {
            self.side(direction).payload = None;
        }
        let taken = data_bytes + padding_bytes;
        if is_forwarded {
            self.moved_bytes = self.moved_bytes.saturating_add(data_bytes as u64);
            pieces.keep(at, at + taken);
            match direction {
                Direction::Egress => self.pace.advance(data_bytes),
                Direction::Ingress => self.scan(stream, rest.get(..data_bytes).unwrap_or_default()),
            }
        }
        if is_whole && ends_stream && is_forwarded {
            match direction {
                Direction::Egress => self.end_egress(stream),
                Direction::Ingress => self.end_ingress(stream),
            }
        }
        taken
    }

    /// Something moved on.
    pub(super) const fn progress(&mut self) {
        self.egress.forgive();
        self.ingress.forgive();
    }

    /// A stream ends before its answer, by the client's doing.
    pub(super) const fn count_reset(&mut self) -> Result<(), Violation> {
        self.reset_count += 1;
        if self.reset_count > HTTP2_RESETS_MAX { Err(Violation::Resets) } else { Ok(()) }
    }

    /// An answer is whole.
    pub(super) const fn count_answer(&mut self) {
        self.reset_count = self.reset_count.saturating_sub(1);
        self.moved_bytes = self.moved_bytes.saturating_add(HTTP2_STALL_BYTES);
    }

    /// Ends a stream that is open upstream, on both legs.
    pub(super) fn abort(&mut self, id: u32, fault: EditFault, answer: Own, upstream: u32) -> Result<(), Violation> {
        self.end(id, Ended::ByEditor);
        self.events.push_back(Event::Refused(fault));
        self.to_upstream.push(Own::Reset { stream: id, code: upstream })?;
        self.to_downstream.push(answer)
    }

    /// Ends a stream and tells the audit.
    pub(super) fn end(&mut self, id: u32, ended: Ended) {
        let response = self.streams.end(id, ended).and_then(|mut stream| stream.response());
        self.events.extend(response.map(Event::Response));
    }

    /// Takes no stream any more, unless there was none yet.
    pub(super) fn drain(&mut self) -> Result<(), Violation> {
        if core::mem::replace(&mut self.is_draining, true) {
            return Ok(());
        }
        self.drains_fresh = self.streams.last == 0;
        self.to_downstream.push(Own::Goaway { last: WINDOW_MAX, code: code::NO_ERROR })
    }
}

impl Outgoing<'_> {
    /// A block that goes on with all its fields and no others.
    pub(super) const fn unchanged(block: Block, at: usize, summary: Summary) -> Self {
        Self { block, at, summary, cuts: &[], cut_spans: &[], cuts_are_local: true, added: &[], lead: (0, 0) }
    }
}

impl Side {
    /// Decodes a block of which the first frame begins `rest`.
    pub(super) fn decode(&mut self, block: Block, rest: &[u8]) -> Result<Summary, Violation> {
        let fragment = match block.fragment {
            Some((start, end)) => rest.get(start..end).unwrap_or_default(),
            None => &self.joined,
        };
        Ok(self.codec.decode(fragment)?)
    }

    /// Whether its leg is between two frames, so that another may be put there.
    pub(super) fn is_between_frames(&self) -> bool {
        self.is_begun && !self.payload.is_some_and(|payload| payload.is_forwarded)
    }

    /// Counts a frame that moves nothing on.
    pub(super) const fn count_idle(&mut self) -> Result<(), Violation> {
        self.idle_count += 1;
        if self.idle_count > HTTP2_IDLE_FRAMES_MAX { Err(Violation::Flood) } else { Ok(()) }
    }

    const fn forgive(&mut self) {
        self.idle_count = self.idle_count.saturating_sub(HTTP2_IDLE_FRAMES_FORGIVEN);
    }

    /// Puts a decoded block on its way: as it came, with fields left out and added, or encoded anew.
    pub(super) fn forward_block(&mut self, outgoing: &Outgoing<'_>, pieces: &mut Pieces) {
        let Outgoing { block, at, cuts, cut_spans, added, lead: (lead_count, lead_end), .. } = *outgoing;
        let priority = block.priority.map(|start| Part::input(at + start, at + start + PRIORITY_BYTES));
        let ends = if block.ends_stream { frame::END_STREAM } else { 0 };
        let flags = ends | if priority.is_some() { frame::PRIORITY } else { 0 };
        let mut parts: SmallVec<[Part; 16]> = priority.into_iter().collect();
        if self.codec.is_transcoding() || !outgoing.cuts_are_local {
            let lead = (lead_count, added);
            parts.push(pieces.store_with(|out| self.codec.encode(&outgoing.summary, cuts, lead, out)));
            pieces.headers(block.stream, flags, parts.into_iter());
            return;
        }
        self.codec.forward_as_is();
        if cuts.is_empty() && added.is_empty() {
            pieces.keep(at, at + block.bytes);
            return;
        }
        let fragment = match block.fragment {
            Some((start, end)) => Part::input(at + start, at + end),
            None => pieces.store(&self.joined),
        };
        let mut kept = 0;
        if !added.is_empty() {
            parts.push(fragment.slice(0, lead_end));
            parts.push(Part::block(added.len()));
            kept = lead_end;
        }
        for &(start, end) in cut_spans {
            parts.push(fragment.slice(kept, start));
            kept = end;
        }
        parts.push(fragment.slice_from(kept));
        pieces.headers(block.stream, flags, parts.into_iter());
    }
}
