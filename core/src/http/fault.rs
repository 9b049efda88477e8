//! Why an exchange was given up, or a stream of it: one closed vocabulary for the answer's status, the metric label and the audit field.
//!
//! Framing is refused, never repaired: a message that two readers may cut differently is how a request travels without its
//! headers, inside what one of them took for a body.

use crate::flow::{Fault, FaultKind, Leg, Phase};
use crate::labelled;

labelled! {
    /// What is wrong with a message. Those that begin with `Response` are the origin's, all others the inside host's.
    pub enum EditFault {
        /// A line that ends in LF without CR.
        BareLineFeed = "bare_line_feed",
        /// A chunk line that is not `size[;name[=value]]...`, or a chunk that does not end in CRLF.
        ChunkMalformed = "chunk_malformed",
        /// A chunk line over its bound.
        ChunkLineTooLong = "chunk_line_too_long",
        /// `Connection` names a field that frames or routes the message: a hop that obeyed would cut the rest elsewhere.
        ConnectionNomination = "connection_nomination",
        /// `Connection` with an element that is no token, or with too many of them.
        ConnectionMalformed = "connection_malformed",
        /// A body on a method that has none in practice: an origin that ignores it reads it as the next request.
        ContentUnexpected = "content_unexpected",
        /// A field that is about one HTTP/1 connection, in HTTP/2 (RFC 9113 section 8.2.2).
        ConnectionField = "connection_field",
        /// `Content-Length` that is not plain digits without leading zeros, after one space at most.
        ContentLengthMalformed = "content_length_malformed",
        /// More than one `Content-Length`, equal or not.
        ContentLengthTwice = "content_length_twice",
        /// Content of another length than `Content-Length` says (HTTP/2: RFC 9113 section 8.1.1).
        ContentLengthWrong = "content_length_wrong",
        /// `Expect` that is not `100-continue`.
        ExpectUnknown = "expect_unknown",
        /// A header block that no decompression understands, or that asks too much of it (HTTP/2).
        FieldCompression = "field_compression",
        /// A line that begins with a space or tab (obs-fold, RFC 9112 section 5.2).
        FieldFolded = "field_folded",
        /// A field name that is empty, no token, or not followed at once by its colon.
        FieldNameMalformed = "field_name_malformed",
        /// A field line over its bound.
        FieldTooLong = "field_too_long",
        /// A name that a gateway may take for a framing field: `Content_Length`.
        FieldTwin = "field_twin",
        /// A control byte in a field value.
        FieldValueMalformed = "field_value_malformed",
        /// More room granted than there can be (HTTP/2).
        FlowControl = "flow_control",
        /// Too many frames that move nothing on (HTTP/2).
        FrameFlood = "frame_flood",
        /// A frame of a length that it cannot have (HTTP/2).
        FrameLength = "frame_length",
        /// A frame that may not stand where it does, or with a content that it cannot have (HTTP/2).
        FrameMalformed = "frame_malformed",
        /// A head over its bound.
        HeadTooLong = "head_too_long",
        /// `Host` names another host than the absolute-form target that a proxy was asked for.
        HostDisagrees = "host_disagrees",
        /// `Host` that is no name with an optional port.
        HostMalformed = "host_malformed",
        /// A request without `Host`.
        HostMissing = "host_missing",
        /// More than one `Host`, equal or not.
        HostTwice = "host_twice",
        /// `Host` names another host than the connection is for.
        HostWrong = "host_wrong",
        /// A connection that does not begin as HTTP/2 does, though it was agreed.
        Http2Malformed = "http2_malformed",
        /// The preface of HTTP/2 on a connection that speaks HTTP/1.1.
        Http2Preface = "http2_preface",
        /// `Transfer-Encoding` beside `Content-Length`.
        LengthAndEncoding = "length_and_encoding",
        /// A method that is not upper-case, or longer than any.
        MethodMalformed = "method_malformed",
        /// CONNECT, which would make the connection another one, or TRACE, which echoes the headers that were set.
        MethodNotAllowed = "method_not_allowed",
        /// A method that is not registered, so its semantics, and what hops make of its body, are unknown.
        MethodUnknown = "method_unknown",
        /// Pseudo-header fields that are not those of a request, each once and before all others (HTTP/2).
        PseudoHeaderMalformed = "pseudo_header_malformed",
        /// The inside host closed within a request.
        RequestTruncated = "request_truncated",
        /// Too many streams that were reset before their answer (HTTP/2, CVE-2023-44487 and CVE-2025-8671).
        ResetFlood = "reset_flood",
        /// A request line that is not `method SP target SP HTTP/1.x`.
        RequestLineMalformed = "request_line_malformed",
        /// A chunk error of the origin.
        ResponseChunkMalformed = "response_chunk_malformed",
        /// A header block of the origin that no decompression understands (HTTP/2).
        ResponseCompression = "response_compression",
        /// A malformed field in an answer.
        ResponseFieldMalformed = "response_field_malformed",
        /// Too many frames of the origin that move nothing on (HTTP/2).
        ResponseFlood = "response_flood",
        /// The origin grants more room than there can be (HTTP/2).
        ResponseFlowControl = "response_flow_control",
        /// A frame of the origin of a length that it cannot have (HTTP/2).
        ResponseFrameLength = "response_frame_length",
        /// A frame of the origin that may not stand where it does, or with a content that it cannot have (HTTP/2).
        ResponseFrameMalformed = "response_frame_malformed",
        /// Lengths or transfer codings in an answer that contradict each other or are not plain.
        ResponseFramingMalformed = "response_framing_malformed",
        /// The origin does not begin as HTTP/2 does, though it was agreed.
        ResponseHttp2Malformed = "response_http2_malformed",
        /// A status line that is not `HTTP/1.x SP status [SP reason]`.
        ResponseLineMalformed = "response_line_malformed",
        /// A 407 of an origin that was asked through a proxy: the proxy alone may ask for its credentials.
        ResponseProxyStatus = "response_proxy_status",
        /// A pushed answer, though push is off (HTTP/2).
        ResponsePush = "response_push",
        /// A frame of the origin on a stream that it has ended (HTTP/2).
        ResponseStreamClosed = "response_stream_closed",
        /// A head, field or trailer section of an answer over its bound.
        ResponseTooLong = "response_too_long",
        /// Interim answers without end, or one to an HTTP/1.0 request.
        ResponseInterim = "response_interim",
        /// The origin closed before its answer was whole.
        ResponseTruncated = "response_truncated",
        /// Bytes from the origin when no request waits for an answer.
        ResponseUnasked = "response_unasked",
        /// A 101 to a request that asked for no upgrade, or to another protocol.
        ResponseUpgrade = "response_upgrade",
        /// A frame on a stream that the inside host has ended (HTTP/2).
        StreamClosed = "stream_closed",
        /// A stream that was refused because the connection is being drained, or has too many (HTTP/2); may be tried again.
        StreamRefused = "stream_refused",
        /// A request target that no browser makes: a byte outside visible ASCII, `#`, a backslash or an encoded control
        /// byte in the path, `*` without OPTIONS.
        TargetMalformed = "target_malformed",
        /// An absolute-form target that names another host than the connection is for.
        TargetWrong = "target_wrong",
        /// Too many fields in a head.
        TooManyFields = "too_many_fields",
        /// A malformed line in a trailer section.
        TrailerMalformed = "trailer_malformed",
        /// A trailer section over its bound.
        TrailersTooLong = "trailers_too_long",
        /// `Transfer-Encoding` on HTTP/1.0 (CVE-2026-2835).
        TransferEncodingHttp10 = "transfer_encoding_http10",
        /// `Transfer-Encoding` that is not exactly `chunked`, once.
        TransferEncodingUnknown = "transfer_encoding_unknown",
        /// A version that is not HTTP/1.0 or HTTP/1.1.
        VersionUnknown = "version_unknown",
    }
}

impl EditFault {
    /// The side that erred.
    pub const fn leg(self) -> Leg {
        match self {
            Self::ResponseChunkMalformed
            | Self::ResponseCompression
            | Self::ResponseFieldMalformed
            | Self::ResponseFlood
            | Self::ResponseFlowControl
            | Self::ResponseFrameLength
            | Self::ResponseFrameMalformed
            | Self::ResponseFramingMalformed
            | Self::ResponseHttp2Malformed
            | Self::ResponseInterim
            | Self::ResponseLineMalformed
            | Self::ResponseProxyStatus
            | Self::ResponsePush
            | Self::ResponseStreamClosed
            | Self::ResponseTooLong
            | Self::ResponseTruncated
            | Self::ResponseUnasked
            | Self::ResponseUpgrade => Leg::Upstream,
            _ => Leg::Downstream,
        }
    }

    /// The status that tells the inside host, where an answer is possible at all.
    pub const fn status(self) -> u16 {
        match self {
            Self::ExpectUnknown => 417,
            Self::FieldTooLong | Self::HeadTooLong | Self::TooManyFields | Self::TrailersTooLong => 431,
            Self::HostWrong => 421,
            Self::MethodNotAllowed => 405,
            Self::MethodUnknown | Self::TransferEncodingUnknown => 501,
            Self::StreamRefused => 503,
            Self::VersionUnknown => 505,
            _ => match self.leg() {
                Leg::Downstream => 400,
                Leg::Upstream => 502,
            },
        }
    }

    /// The same in the vocabulary of all flows.
    pub const fn fault(self) -> Fault {
        let kind = match self {
            Self::ChunkLineTooLong
            | Self::FieldTooLong
            | Self::HeadTooLong
            | Self::ResponseTooLong
            | Self::TrailersTooLong => FaultKind::TooLarge,
            Self::RequestTruncated | Self::ResponseTruncated => FaultKind::Closed,
            Self::FrameFlood
            | Self::ResetFlood
            | Self::ResponseFlood
            | Self::ResponseInterim
            | Self::StreamRefused
            | Self::TooManyFields => FaultKind::TooMany,
            _ => FaultKind::Malformed,
        };
        Fault { leg: self.leg(), phase: Phase::Edit, kind }
    }
}

impl core::error::Error for EditFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_says_whose_fault_it_is() {
        for &fault in EditFault::ALL {
            let upstream = fault.label().starts_with("response_");
            assert_eq!(fault.leg() == Leg::Upstream, upstream, "{fault}");
            assert_eq!(fault.status() == 502, upstream, "{fault}");
            assert_eq!(fault.fault().leg, fault.leg());
        }
    }
}
