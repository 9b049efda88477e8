//! What ends a whole connection: a rule of HTTP/2 that one side broke, as an error code and as a fault.
//!
//! Owns the words; a request that is wrong by itself is an [`EditFault`] from the start and ends its stream alone.

use super::hpack::HpackFault;
use crate::flow::Leg;
use crate::http::EditFault;

/// A broken rule of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// A block that cannot be decompressed.
    Compression,
    /// Too many frames that move nothing on.
    Flood,
    /// More than 2^31 - 1 bytes of room granted.
    FlowControl,
    /// A length that a frame of its type cannot have.
    FrameLength,
    /// A frame that may not stand where it does, or with a content that it cannot have.
    FrameMalformed,
    /// A header block over its bounds.
    HeadTooLong,
    /// No preface, or no SETTINGS behind it.
    Preface,
    /// PUSH_PROMISE.
    Push,
    /// Too many streams that end before their answer.
    Resets,
    /// A frame on a stream that its sender has ended.
    StreamClosed,
}

impl Violation {
    /// The error code (RFC 9113 section 7).
    pub(super) const fn code(self) -> u32 {
        match self {
            Self::Compression => code::COMPRESSION,
            Self::Flood | Self::HeadTooLong | Self::Resets => code::ENHANCE_YOUR_CALM,
            Self::FlowControl => code::FLOW_CONTROL,
            Self::FrameLength => code::FRAME_SIZE,
            Self::FrameMalformed | Self::Preface | Self::Push => code::PROTOCOL,
            Self::StreamClosed => code::STREAM_CLOSED,
        }
    }

    /// The fault, when the rule was broken by `leg`.
    pub(super) const fn fault(self, leg: Leg) -> EditFault {
        match (leg, self) {
            (Leg::Downstream, Self::Compression) => EditFault::FieldCompression,
            (Leg::Downstream, Self::Flood) => EditFault::FrameFlood,
            (Leg::Downstream, Self::FlowControl) => EditFault::FlowControl,
            (Leg::Downstream, Self::FrameLength) => EditFault::FrameLength,
            (Leg::Downstream, Self::FrameMalformed | Self::Push) => EditFault::FrameMalformed,
            (Leg::Downstream, Self::HeadTooLong) => EditFault::HeadTooLong,
            (Leg::Downstream, Self::Preface) => EditFault::Http2Malformed,
            (Leg::Downstream, Self::Resets) => EditFault::ResetFlood,
            (Leg::Downstream, Self::StreamClosed) => EditFault::StreamClosed,
            (Leg::Upstream, Self::Compression) => EditFault::ResponseCompression,
            (Leg::Upstream, Self::Flood | Self::Resets) => EditFault::ResponseFlood,
            (Leg::Upstream, Self::FlowControl) => EditFault::ResponseFlowControl,
            (Leg::Upstream, Self::FrameLength) => EditFault::ResponseFrameLength,
            (Leg::Upstream, Self::FrameMalformed) => EditFault::ResponseFrameMalformed,
            (Leg::Upstream, Self::HeadTooLong) => EditFault::ResponseTooLong,
            (Leg::Upstream, Self::Preface) => EditFault::ResponseHttp2Malformed,
            (Leg::Upstream, Self::Push) => EditFault::ResponsePush,
            (Leg::Upstream, Self::StreamClosed) => EditFault::ResponseStreamClosed,
        }
    }
}

impl From<HpackFault> for Violation {
    fn from(_: HpackFault) -> Self {
        Self::Compression
    }
}

/// Error codes (RFC 9113 section 7).
pub(super) mod code {
    pub(in crate::http2) const NO_ERROR: u32 = 0x0;
    pub(in crate::http2) const PROTOCOL: u32 = 0x1;
    pub(in crate::http2) const INTERNAL: u32 = 0x2;
    pub(in crate::http2) const FLOW_CONTROL: u32 = 0x3;
    pub(in crate::http2) const STREAM_CLOSED: u32 = 0x5;
    pub(in crate::http2) const FRAME_SIZE: u32 = 0x6;
    pub(in crate::http2) const REFUSED_STREAM: u32 = 0x7;
    pub(in crate::http2) const CANCEL: u32 = 0x8;
    pub(in crate::http2) const COMPRESSION: u32 = 0x9;
    pub(in crate::http2) const ENHANCE_YOUR_CALM: u32 = 0xb;
}
