//! What a connection owes, as the exchange tells it: heads that have begun, and what one side keeps the other waiting for.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "http2/drive.rs"]
mod drive;
#[path = "http2/receiver.rs"]
mod receiver;
#[path = "http2/wire.rs"]
mod wire;

use drive::{Drive, GET, POST, header_edit};
use penstock_core::flow::Leg;
use penstock_core::limits::HTTP2_STALL_BYTES;
use penstock_core::policy::Mode;
use wire::{Shape, data, frame, window};

const OK: &[(&str, &str)] = &[(":status", "200")];

/// The side that is to go on.
fn owing(drive: &Drive) -> Option<Leg> {
    drive.exchange.stall().map(|stall| stall.leg)
}

/// A connection with a client that grants streams this much room at first.
fn with_room(bytes: u32) -> Drive {
    Drive::with(header_edit(Mode::Enforce), &[(4, bytes)], &[])
}

#[test]
fn h093_a_preface_and_each_head_that_has_begun_has_a_number_of_its_own() {
    let mut drive = Drive::fresh(header_edit(Mode::Enforce));
    for byte in [wire::PREFACE, &wire::settings(&[])].concat() {
        assert_eq!(drive.exchange.request_in_head(), Some(0));
        drive.egress([byte]);
    }
    assert_eq!(drive.exchange.request_in_head(), None);
    let mut drive = Drive::new();
    let block = drive.egress_writer.plain(GET, Shape::Plain);
    let head = frame(wire::HEADERS, wire::END_HEADERS | 1, 1, block);
    drive.egress(&head[..1]);
    let begun = drive.exchange.request_in_head();
    assert!(begun.is_some());
    // A byte now and then, and whatever comes from the origin, leave it the same head.
    for byte in &head[1..head.len() - 1] {
        drive.ingress(frame(wire::PING, 0, 0, [0; 8])).egress([*byte]);
        assert_eq!(drive.exchange.request_in_head(), begun);
    }
    // The next one has begun in the same read: another number.
    drive.egress([&head[head.len() - 1..], b"\0"].concat());
    assert!(drive.exchange.request_in_head() > begun);
}

#[test]
fn what_merely_waits_is_no_stall() {
    let mut drive = with_room(65_535);
    assert_eq!(owing(&drive), None);
    // A long poll, however little room it has; an event stream; an upload whose answer is due; a quiet tunnel.
    let mut poll = with_room(0);
    poll.get(1, &[]);
    assert_eq!(owing(&poll), None);
    drive.get(1, &[]).answer(1, OK, false).ingress(data(1, "event", false)).head(3, POST, Shape::Plain, false);
    assert_eq!(owing(&drive), None);
    drive.answer(3, OK, false).egress(data(3, "message", false)).ingress(data(3, "message", false));
    assert_eq!(owing(&drive), None);
}

#[test]
fn h083_a_reader_that_grants_no_room_stalls_whatever_else_it_sends() {
    let mut drive = with_room(0);
    for number in 0..100 {
        drive.get(2 * number + 1, &[]).answer(2 * number + 1, OK, false);
    }
    let stalled = drive.exchange.stall();
    assert_eq!(owing(&drive), Some(Leg::Downstream));
    // A byte of room at a time, and the byte of content that it lets through; PINGs; empty DATA; other requests.
    for number in 0..100 {
        let stream = 2 * number + 1;
        drive.egress(window(stream, 1)).ingress(data(stream, "x", false)).egress(frame(wire::PING, 0, 0, [0; 8]));
        drive.egress(window(0, 1)).ingress(data(stream, "", false)).get(2 * number + 1001, &[]);
        assert_eq!(drive.exchange.stall(), stalled);
    }
    // Room for a stream is none while the others wait.
    drive.egress(window(1, 60_000));
    assert_eq!(drive.exchange.stall(), stalled);
    // What moves on is told.
    drive.ingress(data(1, [0; 16_000], false)).ingress(data(1, [0; 1_000], false));
    assert!(drive.exchange.stall().unwrap().progress > stalled.unwrap().progress);
    assert_eq!(drive.fault, None);
}

#[test]
fn h083_a_whole_answer_counts_as_progress_and_room_ends_a_stall() {
    let mut drive = with_room(0);
    drive.get(1, &[]).answer(1, OK, false).get(3, &[]);
    let before = drive.exchange.stall().unwrap().progress;
    drive.answer(3, OK, true);
    assert_eq!(drive.exchange.stall().unwrap().progress, before + 1);
    drive.egress(window(1, 70_000));
    assert_eq!(owing(&drive), None);
    // The answer is over, the client has left it, or the origin has.
    for end in [data(5, "", true), wire::reset(5, 8)] {
        drive.get(5, &[]).answer(5, OK, false);
        assert_eq!(owing(&drive), Some(Leg::Downstream));
        drive.ingress(end);
        assert_eq!(owing(&drive), None);
        drive = with_room(0);
    }
    drive.get(7, &[]).answer(7, OK, false).egress(wire::reset(7, 8));
    assert_eq!(owing(&drive), None);
}

#[test]
fn h083_the_room_of_the_connection_counts_and_settings_do() {
    let mut drive = Drive::with(header_edit(Mode::Enforce), &[(4, 1 << 20)], &[]);
    drive.get(1, &[]).answer(1, OK, false);
    for _ in 0..3 {
        drive.ingress(data(1, [0; 16_384], false));
    }
    assert_eq!(owing(&drive), None);
    drive.ingress(data(1, [0; 16_383], false));
    assert_eq!(owing(&drive), Some(Leg::Downstream), "the connection has no room");
    drive.egress(window(0, 1 << 20));
    assert_eq!(owing(&drive), None);
    // Less room by SETTINGS, in force once the origin has said so.
    drive.egress(wire::settings(&[(4, 0)]));
    assert_eq!(owing(&drive), None);
    drive.client.bounds.push_back(None);
    drive.ingress(wire::ack());
    assert_eq!(owing(&drive), Some(Leg::Downstream));
    assert_eq!(drive.exchange.stall().unwrap().progress, 65_535 / HTTP2_STALL_BYTES);
}

#[test]
fn h080_a_frame_that_trickles_is_a_stall_of_its_sender() {
    let mut drive = Drive::new();
    drive.head(1, POST, Shape::Plain, false);
    let upload = data(1, [7; 16_000], false);
    drive.egress(&upload[..100]);
    let stalled = drive.exchange.stall();
    assert_eq!(owing(&drive), Some(Leg::Downstream));
    for byte in &upload[100..15_000] {
        drive.egress([*byte]);
        assert_eq!(drive.exchange.stall(), stalled);
    }
    drive.egress(&upload[15_000..]);
    assert_eq!(owing(&drive), None);
    for begun in [data(1, "answer", false), frame(wire::PING, 0, 0, [0; 8])] {
        let mut drive = Drive::new();
        drive.get(1, &[]).answer(1, OK, false).ingress(&begun[..begun.len() - 1]);
        assert_eq!(owing(&drive), Some(Leg::Upstream));
        drive.ingress(&begun[begun.len() - 1..]);
        assert_eq!(owing(&drive), None);
    }
}
