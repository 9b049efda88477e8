//! The streams of one connection: those that are open, and for a while those that are not any more.
//!
//! Owns what is known of each. Ids are the same on both legs. Written by both directions.

use alloc::collections::{BTreeMap, VecDeque};

use crate::catalogue::DenialScanner;
use crate::http::Response;
use crate::limits::{HTTP2_STREAMS_MAX, HTTP2_STREAMS_RECENT_MAX};

/// The streams of one connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// At most [`HTTP2_STREAMS_MAX`].
    open: BTreeMap<u32, Stream>,
    /// Those that ended last, oldest first; at most [`HTTP2_STREAMS_RECENT_MAX`].
    recent: VecDeque<(u32, Ended)>,
    /// The highest that the client has opened, refused ones too.
    pub(super) last: u32,
}

/// A stream that went upstream and is open.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Of its request.
    pub(super) number: u64,
    /// The client has ended its half.
    pub(super) egress_ended: bool,
    /// The origin has ended its half.
    pub(super) ingress_ended: bool,
    pub(super) content_length: Option<u64>,
    pub(super) forbids_content: bool,
    /// Bytes of content that came.
    pub(super) content_bytes: u64,
    pub(super) is_tunnel: bool,
    pub(super) is_grpc: bool,
    /// Its content may wait for an interim answer.
    pub(super) expects_continue: bool,
    /// The final head of the answer went downstream.
    pub(super) is_answered: bool,
    pub(super) interim_count: usize,
    /// Until the audit is told.
    pub(super) judge: Option<Judge>,
    /// Room that the client has granted beyond the first, less what the origin has filled.
    pub(super) ingress_room: i64,
    /// The same for the other direction.
    pub(super) egress_room: i64,
}

/// What is known of an answer, and what its content may still show.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) response: Response,
    pub(super) scanner: DenialScanner,
}

/// How a stream ended, which says what may still come on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By END_STREAM of both sides.
    Both,
    /// The client reset it: the origin's frames may be under way.
    ByDownstream,
    /// The editor refused or reset it: frames of both sides are dropped.
    ByEditor,
    /// The origin reset it, or will not serve it: the client's frames may be under way.
    ByUpstream,
}

/// What a stream id means.
#[derive(Debug)]
pub(super) enum Place<'a> {
    Ended(Ended),
    /// It ended so long ago that nothing is known of it, or was skipped.
    Forgotten,
    /// No stream yet.
    Idle,
    Open(&'a mut Stream),
}

impl Streams {
    pub(super) fn place(&mut self, id: u32) -> Place<'_> {
        if id > self.last || id.is_multiple_of(2) {
            // Even ids would be the origin's, for pushes.
            return Place::Idle;
        }
        if let Some(stream) = self.open.get_mut(&id) {
            return Place::Open(stream);
        }
        match self.recent.iter().rev().find(|(known, _)| *known == id) {
            Some((_, ended)) => Place::Ended(*ended),
            None => Place::Forgotten,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.open.len() < HTTP2_STREAMS_MAX
    }

    pub(super) fn open(&mut self, id: u32, stream: Stream) {
        self.open.insert(id, stream);
    }

    /// Ends a stream, whether or not it was open.
    pub(super) fn end(&mut self, id: u32, ended: Ended) -> Option<Stream> {
        if self.recent.len() == HTTP2_STREAMS_RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((id, ended));
        self.open.remove(&id)
    }

    /// The id of an open stream above `last`.
    pub(super) fn above(&self, last: u32) -> Option<u32> {
        self.open.last_key_value().map(|(id, _)| *id).filter(|&id| id > last)
    }

    pub(super) fn pop_first(&mut self) -> Option<Stream> {
        self.open.pop_first().map(|(_, stream)| stream)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Those whose answer has begun and not ended.
    pub(super) fn in_answer(&self) -> impl Iterator<Item = &Stream> {
        self.open.values().filter(|stream| stream.is_answered && !stream.ingress_ended)
    }

    /// Those on which the client has content to send, with their ids.
    pub(super) fn in_request(&self) -> impl Iterator<Item = (u32, &Stream)> {
        self.open.iter().filter(|(_, stream)| stream.owes_content()).map(|(&id, stream)| (id, stream))
    }

    /// Whether every answer is whole.
    pub(super) fn are_answered(&self) -> bool {
        self.open.values().all(|stream| stream.ingress_ended)
    }
}

impl Stream {
    /// Whether the origin waits for the end of the request: not once it answers, nor where both sides talk as they like.
    fn owes_content(&self) -> bool {
        let is_held = self.expects_continue && self.content_bytes == 0 && self.interim_count == 0;
        !self.egress_ended && !self.is_answered && !self.is_tunnel && !self.is_grpc && !is_held
    }

    /// What the audit is told in the end.
    pub(super) fn response(&mut self) -> Option<Response> {
        if let Some(Judge { response, scanner }) = self.judge.take() {
            return Some(Response { denial: scanner.found(), ..response });
        }
        (!self.is_answered).then(|| {
            self.is_answered = true;
            Response { number: self.number, ..Response::default() }
        })
    }

    /// What the audit is told as soon as no further byte can change it.
    pub(super) fn settled_response(&mut self) -> Option<Response> {
        if self.judge.as_ref().is_some_and(|judge| !judge.scanner.wants_body()) { self.response() } else { None }
    }
}
