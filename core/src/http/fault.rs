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
        /// `Content-Length` that is not plain digits without leading zeros, after one space at most.
        ContentLengthMalformed = "content_length_malformed",
        /// More than one `Content-Length`, equal or not.
        ContentLengthTwice = "content_length_twice",
        /// `Expect` that is not `100-continue`.
        ExpectUnknown = "expect_unknown",
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
        /// A head over its bound.
        HeadTooLong = "head_too_long",
        /// `Host` that is no name with an optional port.
        HostMalformed = "host_malformed",
        /// A request without `Host`.
        HostMissing = "host_missing",
        /// More than one `Host`, equal or not.
        HostTwice = "host_twice",
        /// `Host` names another host than the connection is for.
        HostWrong = "host_wrong",
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
        /// The inside host closed within a request.
        RequestTruncated = "request_truncated",
        /// A request line that is not `method SP target SP HTTP/1.x`.
        RequestLineMalformed = "request_line_malformed",
        /// A chunk error of the origin.
        ResponseChunkMalformed = "response_chunk_malformed",
        /// A malformed field in an answer.
        ResponseFieldMalformed = "response_field_malformed",
        /// Lengths or transfer codings in an answer that contradict each other or are not plain.
        ResponseFramingMalformed = "response_framing_malformed",
        /// A status line that is not `HTTP/1.x SP status [SP reason]`.
        ResponseLineMalformed = "response_line_malformed",
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
            | Self::ResponseFieldMalformed
            | Self::ResponseFramingMalformed
            | Self::ResponseInterim
            | Self::ResponseLineMalformed
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
            Self::ResponseInterim | Self::TooManyFields => FaultKind::TooMany,
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
