//! Hostile origins over HTTP/2 (h092), frame by frame: what they do to a request is told to its client, who goes on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client::Client;
use penstock_tests::upstream::Upstream;
use rustls::{ServerConnection, StreamOwned};

use crate::hostile_http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    begin, block, frame, frames, get, post, word,
};

const ACK: u8 = 1;
const ALTSVC: u8 = 10;
const ORIGIN: u8 = 12;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

type Wire = StreamOwned<ServerConnection, TcpStream>;

/// An origin that begins with `greeting` and answers each frame with what `answer` makes of it and of how many came before.
pub(crate) fn origin(greeting: Vec<u8>, answer: impl Fn(&Frame, usize) -> Vec<u8> + Send + Sync + 'static) -> Upstream {
    let speak = move |wire: &mut Wire| {
        wire.write_all(&greeting)?;
        let (mut received, mut taken, mut number) = (Vec::new(), PREFACE.len(), 0);
        loop {
            let mut buffer = [0; 16 * 1024];
            let count = wire.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            received.extend_from_slice(&buffer[..count]);
            for frame in frames(received.get(taken..).unwrap_or_default()) {
                taken += frame.bytes();
                wire.write_all(&answer(&frame, number))?;
                number += 1;
            }
            wire.flush()?;
        }
    };
    Upstream::plan().speaking(&["h2"]).by_hand(speak).start()
}

pub(crate) fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let payload = entries.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(SETTINGS, 0, 0, &payload.collect::<Vec<_>>())
}

/// A plain good answer.
fn fine(stream: u32) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, stream, &block(&[(":status", "200")]));
    [head, frame(DATA, END_STREAM, stream, b"fine")].concat()
}

/// An origin that does `bad` to the first stream and answers the others well.
fn bad_to_the_first(bad: Vec<u8>) -> Upstream {
    origin(settings(&[]), move |frame, _| match (frame.kind, frame.stream) {
        (HEADERS, 1) => bad.clone(),
        (HEADERS, stream) => fine(stream),
        (SETTINGS, _) if frame.flags & ACK == 0 => crate::hostile_http2::frame(SETTINGS, ACK, 0, &[]),
        _ => Vec::new(),
    })
}

pub(crate) fn before(upstream: &Upstream) -> Appliance {
    Setup::default().upstream(upstream).shards(1).start()
}

/// What comes until `is_enough`.
pub(crate) fn hear(client: &mut Client, is_enough: impl Fn(&[Frame]) -> bool) -> Vec<Frame> {
    let mut received = Vec::new();
    loop {
        let some = client.some();
        let seen = frames(&received);
        assert!(!some.is_empty(), "closed behind {:?}", seen.iter().map(|it| (it.kind, it.stream)).collect::<Vec<_>>());
        received.extend(some);
        let seen = frames(&received);
        if is_enough(&seen) {
            return seen;
        }
    }
}

pub(crate) fn is_ended(seen: &[Frame], stream: u32) -> bool {
    let ends = |frame: &Frame| frame.kind == RST_STREAM || frame.flags & END_STREAM != 0;
    seen.iter().any(|frame| frame.stream == stream && matches!(frame.kind, DATA | HEADERS | RST_STREAM) && ends(frame))
}

/// Answers that end their own stream, as a fault of the origin; the next stream of the connection is served.
#[test]
fn h092_answers_that_cannot_be_borne_end_their_stream_alone() {
    let head = |fields: &[(&str, &str)]| frame(HEADERS, END_HEADERS, 1, &block(fields));
    let ok = || head(&[(":status", "200")]);
    let entry = [&[0x40, 1, b'x', 120][..], &[b'a'; 120]].concat();
    // One field that enters the table, then references of one byte to it: 10,000 fields, 1.5 MB.
    let bomb = [block(&[(":status", "200")]), entry, vec![0xbe; 10_000]].concat();
    let trailers = |flags, count| frame(HEADERS, END_HEADERS | flags, 1, &block(&vec![("x-t", "y"); count]));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a header bomb", frame(HEADERS, END_HEADERS, 1, &bomb)),
        ("trailers that end nothing", [ok(), frame(DATA, 0, 1, b"part"), trailers(0, 1)].concat()),
        ("trailers of too many fields", [ok(), trailers(END_STREAM, 1_000)].concat()),
        ("a storm of interim answers", head(&[(":status", "103")]).repeat(1_000)),
        ("no status", head(&[("x", "y")])),
        ("two statuses", head(&[(":status", "200"), (":status", "200")])),
        ("a line in a value", head(&[(":status", "200"), ("x", "a\r\nset-cookie: b")])),
        ("a name in capitals", head(&[(":status", "200"), ("X-Upper", "a")])),
        ("a reset", frame(RST_STREAM, 0, 1, &[0, 0, 0, 2])),
    ];
    for (what, bad) in cases {
        println!("{what}");
        let upstream = bad_to_the_first(bad);
        let appliance = before(&upstream);
        let mut client = begin(&appliance);
        client.send(get(1));
        let seen = hear(&mut client, |seen| is_ended(seen, 1));
        let content: Vec<u8> = seen.iter().filter(|it| it.kind == DATA).flat_map(|it| it.payload.clone()).collect();
        assert!(b"part".starts_with(&content), "{what}: {content:?}");
        client.send(get(3));
        let seen = hear(&mut client, |seen| is_ended(seen, 3));
        assert!(seen.iter().any(|it| it.kind == DATA && it.payload == b"fine"), "{what}: the next stream");
        assert!(seen.iter().all(|it| it.kind != GOAWAY), "{what}");
        assert_eq!(upstream.seen().len(), 1, "{what}: on the same connection");
    }
}

#[test]
fn h037_other_services_that_an_origin_offers_in_frames_or_fields_stay_unknown() {
    let service = b"h3=\":443\"; ma=86400";
    let of_origin = [&[0, 5][..], b"a.com", service].concat();
    let bad = [
        frame(ALTSVC, 0, 0, &of_origin),
        frame(ALTSVC, 0, 1, &[&[0, 0][..], service].concat()),
        frame(ORIGIN, 0, 0, b"\0\x0dhttps://a.com"),
        frame(HEADERS, END_HEADERS, 1, &block(&[(":status", "200"), ("alt-svc", "h3=\":443\""), ("x-kept", "1")])),
        frame(DATA, END_STREAM, 1, b"fine"),
    ];
    let upstream = bad_to_the_first(bad.concat());
    let appliance = before(&upstream);
    let mut client = begin(&appliance);
    client.send(get(1));
    let seen = hear(&mut client, |seen| is_ended(seen, 1));
    assert!(
        seen.iter().all(|it| !matches!(it.kind, ALTSVC | ORIGIN)),
        "{:?}",
        seen.iter().map(|it| it.kind).collect::<Vec<_>>()
    );
    let head = seen.iter().find(|it| it.kind == HEADERS).unwrap();
    let fields = loona_hpack::Decoder::new().decode(&head.payload).unwrap();
    let expected = [(&b":status"[..], &b"200"[..]), (b"x-kept", b"1")];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_vec(), value.to_vec())));
}

/// What no stream can be blamed for ends the connection: the client hears so, and the next connection is served.
#[test]
fn h092_an_origin_that_breaks_its_connection_is_left() {
    let continuation = frame(CONTINUATION, 0, 1, &[]).repeat(1_000);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a header block without end", [frame(HEADERS, 0, 1, &block(&[(":status", "200")])), continuation].concat()),
        ("room that cannot be", frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())),
        ("a block that cannot be decoded", frame(HEADERS, END_HEADERS, 1, &[0x80])),
        ("a push", frame(5, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &block(&[(":status", "200")])].concat())),
        ("content of no stream", frame(DATA, 0, 7, b"stray")),
        ("a flood of pings", frame(6, 0, 0, &[7; 8]).repeat(2_000)),
    ];
    for (what, bad) in cases {
        let is_bad = Arc::new(AtomicUsize::new(1));
        let left = Arc::clone(&is_bad);
        let upstream = origin(settings(&[]), move |frame, _| match frame.kind {
            HEADERS if left.swap(0, Ordering::Relaxed) == 1 => bad.clone(),
            HEADERS => fine(frame.stream),
            _ => Vec::new(),
        });
        let appliance = before(&upstream);
        let mut client = begin(&appliance);
        client.send(get(1));
        let said = frames(&client.rest());
        assert_eq!(said.last().map(|it| it.kind), Some(GOAWAY), "{what}");
        assert!(said.iter().all(|it| !matches!(it.kind, DATA | 5)), "{what}");
        let mut client = begin(&appliance);
        client.send(get(1));
        hear(&mut client, |seen| is_ended(seen, 1));
        assert_eq!(is_bad.load(Ordering::Relaxed), 0);
    }
}

/// No stream, no room, then both: whoever waits is served in the end.
#[test]
fn h092_an_origin_that_takes_streams_and_room_away_is_waited_for() {
    let none = settings(&[(3, 0), (4, 0)]);
    let upstream = origin(none, |frame, _| match (frame.kind, frame.stream) {
        // It was told of none, and asks all the same.
        (HEADERS, 1) => crate::hostile_http2::frame(RST_STREAM, 0, 1, &REFUSED_STREAM.to_be_bytes()),
        (HEADERS, 3) => settings(&[(3, 100), (4, 3)]),
        (HEADERS, 5) => settings(&[(4, 0)]),
        (WINDOW_UPDATE, 0) => settings(&[(4, 65_535)]),
        (DATA, stream) if frame.flags & END_STREAM != 0 => fine(stream),
        _ => Vec::new(),
    });
    let appliance = before(&upstream);
    let mut client = begin(&appliance);
    client.send(get(1));
    let seen = hear(&mut client, |seen| is_ended(seen, 1));
    let reset = seen.iter().find(|it| it.kind == RST_STREAM).unwrap();
    assert_eq!(word(&reset.payload), REFUSED_STREAM, "it may be tried again");
    // Three bytes of room.
    client.send(frame(HEADERS, END_HEADERS, 3, &post(&[])));
    hear(&mut client, |seen| seen.iter().any(|it| it.kind == SETTINGS && it.payload.len() == 12));
    client.send([frame(SETTINGS, ACK, 0, &[]), frame(DATA, 0, 3, b"abc")].concat());
    // None again, behind what the client has filled; then enough.
    client.send(frame(HEADERS, END_HEADERS, 5, &post(&[])));
    hear(&mut client, |seen| seen.iter().any(|it| it.kind == SETTINGS && it.payload[..] == [0, 4, 0, 0, 0, 0]));
    client.send([frame(SETTINGS, ACK, 0, &[]), frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])].concat());
    hear(&mut client, |seen| seen.iter().any(|it| it.kind == SETTINGS && it.payload.len() == 6));
    client.send(
        [frame(SETTINGS, ACK, 0, &[]), frame(DATA, END_STREAM, 3, b"de"), frame(DATA, END_STREAM, 5, b"f")].concat(),
    );
    let seen = hear(&mut client, |seen| is_ended(seen, 3) && is_ended(seen, 5));
    assert!(seen.iter().all(|it| it.kind != GOAWAY));
}

/// It will serve nothing of what was asked: the client is told which, so that it may ask again elsewhere.
#[test]
fn h092_an_origin_that_goes_away_at_once_loses_no_request() {
    let goaway = frame(GOAWAY, 0, 0, &[0; 8]);
    let upstream =
        origin(settings(&[]), move |frame, _| if frame.kind == HEADERS { goaway.clone() } else { Vec::new() });
    let appliance = before(&upstream);
    for _ in 0..3 {
        let mut client = begin(&appliance);
        client.send([get(1), get(3)].concat());
        let said = hear(&mut client, |seen| seen.iter().any(|it| it.kind == GOAWAY));
        let goaway = said.iter().find(|it| it.kind == GOAWAY).unwrap();
        assert_eq!((word(&goaway.payload), word(&goaway.payload[4..])), (0, 0), "no stream was served");
        assert!(said.iter().all(|it| it.kind != DATA));
    }
    let metrics = appliance.admin().metrics();
    assert_eq!(metrics.sum("penstock_faults_total", &["leg=\"downstream\""]), 0.0);
}

/// Thousands of streams that the origin resets at once: its own doing, for which the client is not sent away.
#[test]
fn h092_a_storm_of_resets_is_the_origins_own() {
    let upstream = origin(settings(&[]), |frame, _| match (frame.kind, frame.stream) {
        (HEADERS, stream) if stream < 2_001 => {
            crate::hostile_http2::frame(RST_STREAM, 0, stream, &ENHANCE_YOUR_CALM.to_be_bytes())
        }
        (HEADERS, stream) => fine(stream),
        _ => Vec::new(),
    });
    let appliance = before(&upstream);
    let mut client = begin(&appliance);
    for first in (0..1_000).step_by(100) {
        let streams = (first..first + 100).map(|number| 2 * number + 1);
        client.send(streams.clone().flat_map(get).collect::<Vec<_>>());
        hear(&mut client, |seen| streams.clone().all(|stream| is_ended(seen, stream)));
    }
    client.send(get(2_001));
    hear(&mut client, |seen| is_ended(seen, 2_001));
}
