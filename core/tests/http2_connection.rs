//! Hostile cases on HTTP/2 that the exchange alone decides, one test each, by the case's number. What a connection may do.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "http2/drive.rs"]
mod drive;
#[path = "http2/receiver.rs"]
mod receiver;
#[path = "http2/wire.rs"]
mod wire;

use drive::{Drive, GET, POST, header_edit};
use penstock_core::http2::EditFault;
use penstock_core::limits::{HTTP1_INTERIM_MAX, HTTP2_CONTINUATIONS_MAX, HTTP2_IDLE_FRAMES_MAX, HTTP2_RESETS_MAX};
use penstock_core::policy::Mode;
use receiver::Item;
use wire::{Shape, data, frame, pair, reset, window};

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const CLOSED: u32 = 5;
const SIZE: u32 = 6;
const COMPRESSION: u32 = 9;
const CALM: u32 = 11;

/// The connection ends with this fault; the client is told `code`, and the origin that it is over.
fn given_up(drive: &Drive, fault: EditFault, code: u32) {
    assert_eq!((drive.fault, drive.client.goaway()), (Some(fault), Some(code)));
    assert_eq!(drive.origin.goaway(), Some(0));
    assert!(drive.exchange.must_close());
}

/// A client that has opened streams 1 (its half ended) and 3, and then sends this, in any two pieces.
fn ends_connection(input: &[u8], fault: EditFault, code: u32) {
    for cut in 0..input.len().min(64) {
        let mut drive = Drive::new();
        drive.get(1, &[]).head(3, POST, Shape::Plain, false);
        drive.egress(&input[..cut]).egress(&input[cut..]);
        assert_eq!((drive.fault, drive.client.goaway()), (Some(fault), Some(code)), "{input:x?} at {cut}");
        given_up(&drive, fault, code);
    }
}

#[test]
fn h041_http_1_on_http_2_is_refused_with_its_first_byte() {
    for input in ["G", "POST / HTTP/1.1\r\n", "HTTP/1.1 200 OK\r\n", "PRI * HTTP/1.1\r\n"] {
        let mut drive = Drive::fresh(header_edit(Mode::Enforce));
        drive.egress(input);
        assert_eq!((drive.fault, drive.upstream.len()), (Some(EditFault::Http2Malformed), 0), "{input}");
    }
}

#[test]
fn h093_what_does_not_begin_as_http_2() {
    for input in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r!", b"\x16\x03\x01"] {
        let mut drive = Drive::fresh(header_edit(Mode::Enforce));
        drive.egress(input);
        assert_eq!((drive.fault, drive.upstream.len()), (Some(EditFault::Http2Malformed), 0));
    }
    for first in [frame(wire::PING, 0, 0, [0; 8]), wire::ack(), frame(wire::HEADERS, 5, 1, b"\x82")] {
        let mut drive = Drive::fresh(header_edit(Mode::Enforce));
        drive.egress([wire::PREFACE, &first].concat());
        assert_eq!(drive.fault, Some(EditFault::Http2Malformed));
        assert_eq!(drive.upstream, wire::PREFACE);
    }
    // Half sent: it is known to be under way, from the start.
    let mut drive = Drive::fresh(header_edit(Mode::Enforce));
    let input = [wire::PREFACE, &wire::settings(&[(4, 100)])].concat();
    for byte in &input {
        assert!(drive.exchange.request_in_head().is_some());
        drive.egress([*byte]);
    }
    assert!(drive.exchange.request_in_head().is_none());
    // An origin that speaks something else.
    let mut drive = Drive::fresh(header_edit(Mode::Enforce));
    drive.egress(&input).ingress("HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!((drive.fault, drive.downstream.len()), (Some(EditFault::ResponseHttp2Malformed), 0));
}

#[test]
fn h076_rapid_resets() {
    let mut drive = Drive::new();
    for number in 0..HTTP2_RESETS_MAX as u32 {
        drive.get(2 * number + 1, &[]).egress(reset(2 * number + 1, 8));
        assert_eq!(drive.fault, None);
    }
    assert_eq!(drive.responses.len(), HTTP2_RESETS_MAX);
    drive.get(1_001, &[]).egress(reset(1_001, 8));
    given_up(&drive, EditFault::ResetFlood, CALM);
    // A client that gets its answers may change its mind for ever.
    let mut drive = Drive::new();
    for number in 0..1_000 {
        let stream = 4 * number + 1;
        drive.get(stream, &[]).egress(reset(stream, 8)).get(stream + 2, &[]);
        drive.answer(stream + 2, &[(":status", "200")], true);
    }
    assert_eq!(drive.fault, None);
}

#[test]
fn h077_made_resets() {
    // Each primitive makes a server reset a stream for which it goes on working. Where the connection ends, no work goes on.
    ends_connection(&window(3, 0), EditFault::FrameMalformed, PROTOCOL);
    ends_connection(&[window(3, 0x7fff_ffff)].concat(), EditFault::FlowControl, FLOW_CONTROL);
    ends_connection(&frame(wire::PRIORITY, 0, 3, [0; 4]), EditFault::FrameLength, SIZE);
    ends_connection(&frame(wire::PRIORITY, 0, 3, [0, 0, 0, 3, 1]), EditFault::FrameMalformed, PROTOCOL);
    ends_connection(&frame(wire::HEADERS, 5, 1, b"\x82"), EditFault::StreamClosed, CLOSED);
    ends_connection(&data(1, b"x", false), EditFault::StreamClosed, CLOSED);
    // Where the stream is reset by us, upstream's work is cancelled with it, and it is counted.
    let mut drive = Drive::new();
    for number in 0..=HTTP2_RESETS_MAX as u32 {
        let stream = 2 * number + 1;
        drive.head(stream, &[POST, &[("content-length", "1")]].concat(), Shape::Plain, false);
        drive.egress(data(stream, b"12", false));
    }
    assert_eq!(drive.fault, Some(EditFault::ResetFlood));
    assert_eq!(drive.origin.resets().len(), HTTP2_RESETS_MAX + 1);
}

#[test]
fn h078_continuation_floods() {
    let begun = frame(wire::HEADERS, 1, 5, b"\x82");
    let empty = frame(wire::CONTINUATION, 0, 5, b"");
    ends_connection(&[begun.clone(), empty.repeat(HTTP2_CONTINUATIONS_MAX)].concat(), EditFault::HeadTooLong, CALM);
    let full = frame(wire::CONTINUATION, 0, 5, [0; 16_384]);
    ends_connection(&[begun, full.repeat(4)].concat(), EditFault::HeadTooLong, CALM);
}

#[test]
fn h081_floods_of_frames_that_move_nothing_on() {
    for (flood, fault) in [
        (frame(wire::PING, 0, 0, [0; 8]), EditFault::FrameFlood),
        (frame(wire::PRIORITY, 0, 3, [0, 0, 0, 1, 1]), EditFault::FrameFlood),
        (frame(wire::PRIORITY, 0, 777, [0, 0, 0, 1, 1]), EditFault::FrameFlood),
        (data(3, b"", false), EditFault::FrameFlood),
        (frame(wire::DATA, wire::PADDED, 3, [1, 0]), EditFault::FrameFlood),
        (window(0, 1), EditFault::FrameFlood),
        (window(3, 1), EditFault::FrameFlood),
        (frame(0xbb, 0, 0, b""), EditFault::FrameFlood),
        (frame(0x10, 0, 0, b"\0\0\0\x03u=1"), EditFault::FrameFlood),
        (wire::settings(&[]), EditFault::FrameFlood),
        (reset(1, 8), EditFault::FrameFlood),
    ] {
        let mut drive = Drive::new();
        drive.get(1, &[]).head(3, POST, Shape::Plain, false);
        for _ in 0..=HTTP2_IDLE_FRAMES_MAX + 10 {
            drive.egress(&flood);
        }
        assert_eq!((drive.fault, drive.client.goaway()), (Some(fault), Some(CALM)), "{flood:x?}");
    }
    // With something that moves on in between, as real ones do, nothing ends.
    let mut drive = Drive::new();
    drive.head(1, POST, Shape::Plain, false);
    for _ in 0..500 {
        drive.egress(frame(wire::PING, 0, 0, [0; 8]).repeat(20)).egress(data(1, b"x", false));
    }
    assert_eq!(drive.fault, None);
    let mut drive = Drive::new();
    for _ in 0..=HTTP2_IDLE_FRAMES_MAX {
        drive.ingress(frame(wire::PING, 0, 0, [0; 8]));
    }
    assert_eq!(drive.fault, Some(EditFault::ResponseFlood));
}

#[test]
fn h082_windows_that_cannot_be() {
    ends_connection(&window(0, 0), EditFault::FrameMalformed, PROTOCOL);
    ends_connection(&window(0, 0x7fff_ffff), EditFault::FlowControl, FLOW_CONTROL);
    ends_connection(&wire::settings(&[(4, 1 << 31)]), EditFault::FlowControl, FLOW_CONTROL);
    ends_connection(&wire::settings(&[(5, 16_383)]), EditFault::FrameMalformed, PROTOCOL);
    ends_connection(&window(7, 1), EditFault::FrameMalformed, PROTOCOL);
    // All that there can be, and again what was filled.
    let mut drive = Drive::with(header_edit(Mode::Enforce), &[(4, 0)], &[]);
    drive.get(1, &[]).egress([window(1, 0x7fff_ffff), window(0, 0x7fff_ffff - 65_535)].concat());
    drive.answer(1, &[(":status", "200")], false).ingress(data(1, [0; 1_000], false));
    drive.egress([window(1, 1_000), window(0, 1_000)].concat());
    assert_eq!(drive.fault, None);
    drive.egress(window(1, 1));
    assert_eq!(drive.fault, Some(EditFault::FlowControl));
    // Negative windows are lawful.
    let mut drive = Drive::new();
    drive.get(1, &[]).answer(1, &[(":status", "200")], false).ingress(data(1, [0; 10_000], false));
    drive.egress([wire::settings(&[(4, 0)]), window(1, 65_535)].concat());
    assert_eq!(drive.fault, None);
}

#[test]
fn h083_nothing_is_kept_for_a_reader_that_grants_no_room() {
    // The origin sends only what the client has granted: with no room, nothing comes that could be kept.
    let mut drive = Drive::with(header_edit(Mode::Enforce), &[(4, 0)], &[]);
    assert!(drive.exchange.is_idle());
    for stream in (1..200).step_by(2) {
        drive.get(stream, &[]).answer(stream, &[(":status", "200")], false);
    }
    assert_eq!((drive.client.heads().len(), drive.egress_waiting().len(), drive.fault), (100, 0, None));
    let offered = drive.client.items.iter().filter(|item| matches!(item, Item::Window { .. })).count();
    assert_eq!(offered, 0);
}

#[test]
fn h089_blocks_that_cannot_be_decompressed() {
    for block in [
        &b"\x80"[..],
        b"\xbe",
        b"\xff\xff\xff\xff\xff\xff",
        b"\x3f\xff\xff\xff\xff\xff",
        b"\x82\x20",
        b"\x3f\xe2\x1f",
        b"\x00\x81\xff\x01a",
        b"\x00\x85\xff\xff\xff\xff\xff\x01a",
        b"\x40\x05a",
    ] {
        ends_connection(&frame(wire::HEADERS, 5, 5, block), EditFault::FieldCompression, COMPRESSION);
    }
}

#[test]
fn h090_frames_that_may_not_stand_there() {
    use EditFault::{FrameLength, FrameMalformed, StreamClosed};
    let priority = [0, 0, 0, 1, 1];
    for (input, fault, code) in [
        (frame(wire::HEADERS, 5, 0, b"\x82"), FrameMalformed, PROTOCOL),
        (frame(wire::HEADERS, 5, 2, b"\x82"), FrameMalformed, PROTOCOL),
        (data(0, b"x", true), FrameMalformed, PROTOCOL),
        (data(5, b"x", true), FrameMalformed, PROTOCOL),
        (data(2, b"x", true), FrameMalformed, PROTOCOL),
        (reset(0, 0), FrameMalformed, PROTOCOL),
        (reset(5, 0), FrameMalformed, PROTOCOL),
        (frame(wire::RST_STREAM, 0, 3, [0; 3]), FrameLength, SIZE),
        (frame(wire::PRIORITY, 0, 0, priority), FrameMalformed, PROTOCOL),
        (frame(wire::HEADERS, 0x25, 5, [0, 0, 0, 5, 1, 0x82]), FrameMalformed, PROTOCOL),
        (frame(wire::SETTINGS, 0, 1, []), FrameMalformed, PROTOCOL),
        (frame(wire::SETTINGS, 1, 0, [0; 6]), FrameLength, SIZE),
        (frame(wire::SETTINGS, 0, 0, [0; 5]), FrameLength, SIZE),
        (wire::settings(&[(2, 2)]), FrameMalformed, PROTOCOL),
        (frame(wire::PING, 0, 1, [0; 8]), FrameMalformed, PROTOCOL),
        (frame(wire::PING, 0, 0, [0; 7]), FrameLength, SIZE),
        (frame(wire::GOAWAY, 0, 1, [0; 8]), FrameMalformed, PROTOCOL),
        (frame(wire::GOAWAY, 0, 0, [0; 7]), FrameLength, SIZE),
        (frame(wire::WINDOW_UPDATE, 0, 0, [0; 3]), FrameLength, SIZE),
        (frame(wire::CONTINUATION, 4, 3, b""), FrameMalformed, PROTOCOL),
        (frame(wire::DATA, wire::PADDED, 3, [5, 1, 2]), FrameMalformed, PROTOCOL),
        (frame(wire::PING, 0, 0, vec![0; 16_385]), FrameLength, SIZE),
        (frame(wire::DATA, 0, 3, vec![0; 16_385]), FrameLength, SIZE),
        ([reset(3, 8), data(3, b"x", false)].concat(), StreamClosed, CLOSED),
        ([reset(3, 8), frame(wire::HEADERS, 5, 3, b"\x82")].concat(), StreamClosed, CLOSED),
        ([data(3, b"", true), data(3, b"x", true)].concat(), StreamClosed, CLOSED),
        (frame(0x10, 0, 1, [0; 4]), FrameMalformed, PROTOCOL),
    ] {
        ends_connection(&input, fault, code);
    }
    // Ids rise: 5 was skipped.
    let mut drive = Drive::new();
    drive.get(7, &[]).get(5, &[]);
    given_up(&drive, FrameMalformed, PROTOCOL);
    // A stream that both sides have ended is no more.
    let mut drive = Drive::new();
    drive.get(1, &[]).answer(1, &[(":status", "200")], true).get(1, &[]);
    given_up(&drive, StreamClosed, CLOSED);
    // Unknown types and flags mean nothing.
    let mut drive = Drive::new();
    drive.egress([frame(0xbb, 0xff, 99, b"x"), frame(wire::PING, 0xfe, 0, [1; 8])].concat());
    assert_eq!(drive.origin.items, [Item::Other { kind: wire::PING, stream: 0, payload: vec![1; 8] }]);
    assert_eq!(drive.fault, None);
}

#[test]
fn h091_pushes_end_the_connection() {
    ends_connection(&frame(wire::PUSH_PROMISE, 4, 3, [0, 0, 0, 2, 0x82]), EditFault::FrameMalformed, PROTOCOL);
    let mut drive = Drive::new();
    drive.get(1, &[]).ingress(frame(wire::PUSH_PROMISE, 4, 1, [0, 0, 0, 2, 0x82]));
    assert_eq!((drive.fault, drive.origin.goaway()), (Some(EditFault::ResponsePush), Some(PROTOCOL)));
    assert_eq!(drive.client.goaway(), Some(2));
    let mut drive = Drive::new();
    drive.ingress(frame(wire::HEADERS, 4, 2, b"\x88"));
    assert_eq!(drive.fault, Some(EditFault::ResponseFrameMalformed));
}

#[test]
fn h092_answers_that_are_refused_fail_their_request_alone() {
    use EditFault::{ResponseFieldMalformed, ResponseFramingMalformed, ResponseLineMalformed, ResponseTooLong};
    let many = vec![("set-cookie", "a"); 200];
    for (fields, ends, fault) in [
        (vec![("server", "x")], true, ResponseLineMalformed),
        (vec![(":status", "20")], true, ResponseLineMalformed),
        (vec![(":status", "2000")], true, ResponseLineMalformed),
        (vec![(":status", "101")], false, ResponseLineMalformed),
        (vec![(":status", "200"), (":status", "200")], true, ResponseFieldMalformed),
        (vec![(":status", "200"), ("X", "y")], true, ResponseFieldMalformed),
        (vec![(":status", "200"), ("x", "a\r\nb")], true, ResponseFieldMalformed),
        (vec![(":status", "200"), (":path", "/")], true, ResponseFieldMalformed),
        (vec![(":status", "100")], true, ResponseFramingMalformed),
        ([&[(":status", "200")][..], &many].concat(), true, ResponseTooLong),
    ] {
        let mut drive = Drive::new();
        drive.get(1, &[]).get(3, &[]);
        let block = drive.ingress_writer.plain(&fields, Shape::Incremental);
        drive.ingress(frame(wire::HEADERS, 4 | u8::from(ends), 1, block));
        assert_eq!((drive.refusals.clone(), drive.fault), (vec![fault], None), "{fields:?}");
        assert_eq!(drive.client.heads(), [(1, wire::pairs(&[(":status", "502"), ("content-length", "0")]), true)]);
        assert_eq!(drive.origin.resets(), [(1, PROTOCOL)]);
        drive.answer(3, &[(":status", "200"), ("server", "x")], true);
        assert_eq!(drive.client.heads()[1].1[1], pair("server", "x"));
        assert_eq!(drive.responses.len(), 2);
    }
}

#[test]
fn h092_a_hostile_origin() {
    // Interim answers without end.
    let mut drive = Drive::new();
    drive.get(1, &[]);
    for _ in 0..=HTTP1_INTERIM_MAX {
        drive.answer(1, &[(":status", "103")], false);
    }
    assert_eq!((&drive.refusals[..], drive.origin.resets().len()), (&[EditFault::ResponseInterim][..], 1));
    // Trailers that do not end the stream.
    let mut drive = Drive::new();
    drive.get(1, &[]).answer(1, &[(":status", "200")], false).answer(1, &[("x", "y")], false);
    assert_eq!((drive.client.resets(), drive.fault), (vec![(1, 2)], None));
    // GOAWAY that serves nothing: the requests are accounted for and new ones may be tried again elsewhere.
    let mut drive = Drive::new();
    drive.get(1, &[]).get(3, &[]).ingress(frame(wire::GOAWAY, 0, 0, [0; 8])).get(5, &[]);
    assert_eq!((drive.responses.len(), drive.client.resets()), (2, vec![(5, 7)]));
    assert!(drive.exchange.is_idle() && drive.fault.is_none());
    // Resets of everything.
    let mut drive = Drive::new();
    for number in 0..500 {
        drive.get(2 * number + 1, &[]).ingress(reset(2 * number + 1, 2));
    }
    assert_eq!((drive.client.resets().len(), drive.fault, drive.exchange.is_idle()), (500, None, true));
    // No streams at all.
    let mut drive = Drive::fresh(header_edit(Mode::Enforce));
    drive.egress([wire::PREFACE, &wire::settings(&[])].concat()).ingress(wire::settings(&[(3, 0), (4, 0)]));
    assert_eq!(drive.client.items, [Item::Settings(vec![(3, 0), (4, 0)])]);
    // DATA before the head, on an idle stream, behind the end.
    for input in [data(1, b"x", false), data(5, b"x", false), frame(wire::HEADERS, 4, 5, b"\x88")] {
        let mut drive = Drive::new();
        drive.get(1, &[]).ingress(input);
        assert_eq!(drive.fault, Some(EditFault::ResponseFrameMalformed));
    }
    let mut drive = Drive::new();
    drive.head(1, POST, Shape::Plain, false).answer(1, &[(":status", "200")], true).ingress(data(1, b"x", true));
    assert_eq!((drive.fault, drive.client.goaway()), (Some(EditFault::ResponseStreamClosed), Some(2)));
}

#[test]
fn h092_what_is_under_way_when_a_stream_is_reset_passes() {
    let mut drive = Drive::new();
    drive.get(1, &[]).get(3, &[]).egress(reset(1, 8));
    drive.answer(1, &[(":status", "200"), ("x", "y")], false).ingress(data(1, b"late", false));
    drive.answer(3, &[(":status", "200"), ("x", "y")], true);
    assert_eq!(drive.client.heads().len(), 2);
    assert_eq!(drive.client.content(1).0, b"late");
    drive.head(5, POST, Shape::Plain, false).ingress(reset(5, 0)).egress(data(5, b"under way", true));
    assert_eq!(drive.origin.content(5).0, b"under way");
    assert_eq!(drive.fault, None);
}

#[test]
fn h094_stream_ids_run_out_gracefully() {
    let mut drive = Drive::new();
    drive.get(0x7fff_0001, &[]);
    assert_eq!(drive.client.items, [Item::Goaway { last: 0x7fff_ffff, code: 0 }]);
    drive.answer(0x7fff_0001, &[(":status", "200")], true);
    assert!(drive.exchange.is_idle() && drive.exchange.must_close() && drive.fault.is_none());
}

#[test]
fn h080_streams_beyond_the_bound_may_be_tried_again() {
    let mut drive = Drive::new();
    for number in 0..260 {
        drive.get(2 * number + 1, &[]);
    }
    assert_eq!(drive.client.resets(), [(513, 7), (515, 7), (517, 7), (519, 7)]);
    drive.answer(1, &[(":status", "200")], true).head(521, GET, Shape::Indexed, true);
    assert!(drive.went_upstream(521) && drive.fault.is_none());
}
