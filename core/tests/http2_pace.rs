//! What a client of HTTP/2 owes of its requests' content, as the exchange tells it to whoever has a clock.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "http2/drive.rs"]
mod drive;
#[path = "http2/receiver.rs"]
mod receiver;
#[path = "http2/wire.rs"]
mod wire;

use drive::{Drive, HOST, POST, header_edit};
use penstock_core::limits::REQUEST_BODY_BYTES_MIN;
use penstock_core::policy::Mode;
use wire::{Shape, data, frame, window};

const OK: &[(&str, &str)] = &[(":status", "200")];

fn due(drive: &Drive) -> Option<u64> {
    drive.exchange.body_due()
}

fn posts(drive: &mut Drive, stream: u32, fields: &[(&str, &str)]) {
    drive.head(stream, &[POST, fields].concat(), Shape::Plain, false);
}

/// A connection with a POST on stream 1, to an origin with this much room for each stream.
fn begun(room: u32) -> Drive {
    let mut drive = Drive::with(header_edit(Mode::Enforce), &[], &[(4, room)]);
    posts(&mut drive, 1, &[]);
    drive
}

#[test]
fn h069_content_is_due_until_the_stream_ends() {
    let mut drive = begun(65_535);
    assert_eq!(due(&drive), Some(0));
    drive.get(3, &[]).answer(3, OK, true);
    assert_eq!(due(&drive), Some(0), "other streams change nothing");
    for _ in 0..1_000 {
        drive.egress(data(1, "x", false));
        assert_eq!(due(&drive), Some(0));
    }
    drive.egress(data(1, [0; 16_384], false));
    assert_eq!(due(&drive), Some((16_384 + 1_000) / REQUEST_BODY_BYTES_MIN));
    drive.egress(data(1, "", true));
    assert_eq!((due(&drive), drive.fault), (None, None));
    // The origin or the client gives the stream up, or trailers end it.
    let block = drive.egress_writer.plain(&[("x", "y")], Shape::Plain);
    let trailers = frame(wire::HEADERS, wire::END_HEADERS | 1, 5, block);
    posts(&mut drive, 5, &[]);
    assert!(due(&drive).is_some());
    drive.egress(trailers);
    assert_eq!(due(&drive), None);
    posts(&mut drive, 7, &[]);
    drive.ingress(wire::reset(7, 8));
    assert_eq!(due(&drive), None);
    posts(&mut drive, 9, &[]);
    drive.egress(wire::reset(9, 8));
    assert_eq!((due(&drive), drive.fault), (None, None));
}

#[test]
fn h069_a_request_that_ends_is_worth_a_portion() {
    let mut drive = begun(65_535);
    for number in 0..100 {
        assert_eq!(due(&drive), Some(number));
        let stream = 2 * u32::try_from(number).unwrap() + 1;
        let block = drive.egress_writer.plain(POST, Shape::Plain);
        let next = frame(wire::HEADERS, wire::END_HEADERS, stream + 2, block);
        drive.egress([data(stream, "short", true), next].concat());
        drive.answer(stream, OK, true);
    }
    assert_eq!(drive.fault, None);
}

#[test]
fn h069_nothing_is_due_without_room_for_it() {
    let mut drive = begun(500);
    assert_eq!(due(&drive), None, "the stream has none");
    drive.ingress(window(1, 2_000));
    assert_eq!(due(&drive), Some(0));
    drive.egress(data(1, [0; 2_000], false));
    assert_eq!(due(&drive), None);
    // The connection's: three streams fill it, and each of them has room of its own.
    let mut drive = begun(1 << 20);
    for _ in 0..4 {
        assert!(due(&drive).is_some());
        drive.egress(data(1, [0; 16_000], false));
    }
    drive.egress(data(1, [0; 1_000], false));
    assert_eq!(due(&drive), None);
    drive.ingress(window(0, 16_000));
    assert!(due(&drive).is_some());
    // A frame that has begun is due whatever is left behind it.
    let last = data(1, [0; 16_000], false);
    drive.egress(&last[..100]);
    assert!(due(&drive).is_some());
    drive.egress(&last[100..]);
    assert_eq!((due(&drive), drive.fault), (None, None));
}

#[test]
fn h069_nothing_is_due_where_both_talk_or_the_origin_has_the_word() {
    let mut drive = begun(65_535);
    drive.answer(1, OK, false);
    assert_eq!(due(&drive), None, "it answers already");
    for kind in ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"] {
        let mut drive = Drive::new();
        posts(&mut drive, 1, &[("content-type", kind), ("te", "trailers")]);
        drive.egress(data(1, "message", false));
        assert_eq!(due(&drive), None, "{kind}");
    }
    for kind in ["application/grpc-web", "application/json", "text/application/grpc"] {
        let mut drive = Drive::new();
        posts(&mut drive, 1, &[("content-type", kind)]);
        assert_eq!(due(&drive), Some(0), "{kind}");
    }
    for has_word in [true, false] {
        let mut drive = Drive::new();
        posts(&mut drive, 1, &[("expect", "100-continue")]);
        assert_eq!(due(&drive), None);
        if has_word {
            drive.answer(1, &[(":status", "100")], false);
        } else {
            drive.egress(data(1, "x", false));
        }
        assert_eq!(due(&drive), Some(0));
    }
}

#[test]
fn h069_a_tunnel_owes_nothing() {
    let edit = header_edit(Mode::Enforce).with_websocket(true);
    let mut drive = Drive::with(edit, &[], &[(8, 1)]);
    let connect = [
        (":method", "CONNECT"),
        (":scheme", "https"),
        (":authority", HOST),
        (":path", "/"),
        (":protocol", "websocket"),
    ];
    drive.head(1, &connect, Shape::Plain, false).egress(data(1, "early", false));
    assert_eq!((due(&drive), drive.fault, &drive.refusals[..]), (None, None, &[][..]));
}
