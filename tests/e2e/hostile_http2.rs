//! Hostile cases of HTTP/2, byte by byte through the appliance: the numbered rows of `tests/HOSTILE.md`.

use std::sync::Arc;

use penstock_tests::appliance::Appliance;
use penstock_tests::client::{self, Client};
use penstock_tests::http2::Ask;
use penstock_tests::tunnel::STAFF;
use penstock_tests::upstream::{Then, Upstream};
use penstock_tests::wait;

const ENTRA: &str = "login.microsoftonline.com";
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
pub(crate) const GOAWAY: u8 = 7;
const PRIORITY: u8 = 2;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// With its header.
    pub(crate) fn bytes(&self) -> usize {
        9 + self.payload.len()
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literals that no table keeps.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

pub(crate) fn request(more: &[(&str, &str)]) -> Vec<u8> {
    let start = [(":method", "GET"), (":scheme", "https"), (":authority", ENTRA), (":path", "/")];
    block(&[&start[..], more].concat())
}

pub(crate) fn post(more: &[(&str, &str)]) -> Vec<u8> {
    let start = [(":method", "POST"), (":scheme", "https"), (":authority", ENTRA), (":path", "/")];
    block(&[&start[..], more].concat())
}

pub(crate) fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &request(&[]))
}

pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [high, middle, low, kind, flags, a, b, c, d, rest @ ..] = bytes {
        let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
        let Some(payload) = rest.get(..length) else { break };
        let stream = u32::from_be_bytes([*a, *b, *c, *d]);
        frames.push(Frame { kind: *kind, flags: *flags, stream, payload: payload.to_vec() });
        bytes = &rest[length..];
    }
    frames
}

pub(crate) fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

/// A connection that has agreed on h2, and nothing more.
pub(crate) fn connect(appliance: &Appliance) -> Client {
    connect_to(appliance, ENTRA)
}

/// The same to another host.
pub(crate) fn connect_to(appliance: &Appliance, host: &str) -> Client {
    let mut config = client::config_mut(&[&appliance.root()], rustls::ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec()];
    appliance.client_with(STAFF, host, Arc::new(config)).unwrap()
}

/// One whose prefaces have been exchanged.
pub(crate) fn begin(appliance: &Appliance) -> Client {
    let mut client = connect(appliance);
    client.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    assert_eq!(frames(&client.some())[0].kind, SETTINGS);
    client
}

/// The code of the GOAWAY that ends a connection on which `bytes` were sent.
fn goaway(appliance: &Appliance, bytes: &[u8]) -> u32 {
    let mut client = begin(appliance);
    // What is refused early may be closed before all of it is sent.
    let _ = client.try_send(bytes);
    let last = frames(&client.rest()).pop().unwrap();
    assert_eq!(last.kind, GOAWAY);
    word(&last.payload[4..])
}

/// The code of the RST_STREAM that a stream with these frames gets; the connection goes on.
fn reset(appliance: &Appliance, bytes: &[u8]) -> u32 {
    let mut client = begin(appliance);
    client.send([bytes, &get(3)].concat());
    let mut received = Vec::new();
    loop {
        received.extend(client.some());
        let seen = frames(&received);
        let answered = seen.iter().any(|frame| frame.stream == 3 && frame.kind == DATA);
        let reset = seen.iter().find(|frame| frame.stream == 1 && frame.kind == RST_STREAM);
        assert!(seen.iter().all(|frame| frame.kind != GOAWAY));
        if let (true, Some(reset)) = (answered, reset) {
            return word(&reset.payload);
        }
    }
}

#[test]
fn h076_resets_before_the_answer_are_counted() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let cancel = 8_u32.to_be_bytes();
    let storm: Vec<u8> = (0..300)
        .flat_map(|number| [get(2 * number + 1), frame(RST_STREAM, 0, 2 * number + 1, &cancel)].concat())
        .collect();
    assert_eq!(goaway(&appliance, &storm), ENHANCE_YOUR_CALM);
    assert_eq!(appliance.http2_client(ENTRA).ask(Ask::get(ENTRA, "/")).unwrap().status, 200);
}

#[test]
fn h078_a_flood_of_continuations_ends_the_connection() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let begun = frame(HEADERS, END_STREAM, 1, &request(&[]));
    let empty = frame(CONTINUATION, 0, 1, &[]).repeat(1000);
    assert_eq!(goaway(&appliance, &[begun.clone(), empty].concat()), ENHANCE_YOUR_CALM);
    let full = frame(CONTINUATION, 0, 1, &block(&[("x-long", &"a".repeat(120))]).repeat(120)).repeat(10);
    assert_eq!(goaway(&appliance, &[begun, full].concat()), ENHANCE_YOUR_CALM);
    assert!(upstream.requests().is_empty());
}

#[test]
fn h079_a_bomb_of_references_is_refused_and_the_tables_stay_right() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut client = begin(&appliance);
    // A field that enters the table, then a reference of one byte to it, thousands of times.
    let entry = [&[0x40, 1, b'x', 120][..], &[b'a'; 120]].concat();
    let bomb = [request(&[]), entry, vec![0xbe; 10_000]].concat();
    let again = [request(&[]), vec![0xbe]].concat();
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &bomb));
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, &again));
    let mut received = Vec::new();
    while !frames(&received).iter().any(|frame| frame.stream == 3 && frame.kind == DATA) {
        received.extend(client.some());
    }
    assert!(frames(&received).iter().all(|frame| frame.stream != 1 || frame.kind == HEADERS));
    // The origin notes a request behind its answer.
    let requests = wait::until("the request to be noted", || Some(upstream.requests()).filter(|all| !all.is_empty()));
    assert_eq!(requests.len(), 1);
    assert!(requests[0].values("x").eq(["a".repeat(120)]));
}

#[test]
fn h081_floods_of_frames_that_move_nothing_on_end_the_connection() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let post = frame(HEADERS, END_HEADERS, 1, &post(&[]));
    for flood in [
        frame(PING, 0, 0, &[0; 8]),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
        frame(DATA, 0, 1, &[]),
        frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        frame(SETTINGS, 0, 0, &[]),
    ] {
        assert_eq!(goaway(&appliance, &[post.clone(), flood.repeat(2_000)].concat()), ENHANCE_YOUR_CALM, "{flood:?}");
    }
}

#[test]
fn h082_room_that_cannot_be_ends_the_connection() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let post = frame(HEADERS, END_HEADERS, 1, &post(&[]));
    for (unlawful, code) in [
        (frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()), FLOW_CONTROL_ERROR),
        (frame(WINDOW_UPDATE, 0, 1, &0x7fff_ffff_u32.to_be_bytes()), FLOW_CONTROL_ERROR),
        (frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]), FLOW_CONTROL_ERROR),
        (frame(WINDOW_UPDATE, 0, 0, &[0; 4]), PROTOCOL_ERROR),
        (frame(WINDOW_UPDATE, 0, 1, &[0; 4]), PROTOCOL_ERROR),
    ] {
        assert_eq!(goaway(&appliance, &[post.clone(), unlawful.clone()].concat()), code, "{unlawful:?}");
    }
}

#[test]
fn h086_host_and_authority_must_agree() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let client = appliance.http2_client(ENTRA);
    for hosts in [&["login.live.com"][..], &[ENTRA, ENTRA], &[ENTRA, "login.live.com"], &[""]] {
        let ask = hosts.iter().fold(Ask::get(ENTRA, "/refused"), |ask, host| ask.field("host", host));
        let refused = client.ask(ask).map(|answer| answer.status);
        assert!(matches!(refused, Err(_) | Ok(400 | 421)), "{hosts:?}: {refused:?}");
        assert_eq!(client.ask(Ask::get(ENTRA, "/here").field("host", ENTRA)).unwrap().status, 200);
    }
    assert!(upstream.requests().iter().all(|request| request.target() == "/here"));
}

#[test]
fn h084_h085_h087_malformed_heads_end_their_stream_alone() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    for field in [
        ("X-Upper", "a"),
        ("x space", "a"),
        ("x-line", "a\r\nb: c"),
        ("x-null", "a\0"),
        (":path", "/again"),
        (":unknown", "a"),
        (":status", "200"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("te", "gzip"),
    ] {
        let head = frame(HEADERS, END_STREAM | END_HEADERS, 1, &request(&[field]));
        assert_eq!(reset(&appliance, &head), PROTOCOL_ERROR, "{field:?}");
    }
    assert!(upstream.requests().len() <= 10);
}

#[test]
fn h088_a_length_that_is_not_the_bodys_ends_its_stream() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    for (length, body) in [("3", "four"), ("5", "four"), ("+4", "four"), ("4, 4", "four")] {
        let head = frame(HEADERS, END_HEADERS, 1, &request(&[("content-length", length)]));
        let post = [head, frame(DATA, END_STREAM, 1, body.as_bytes())].concat();
        assert_eq!(reset(&appliance, &post), PROTOCOL_ERROR, "{length}");
    }
}

#[test]
fn h089_a_block_that_cannot_be_decoded_ends_the_connection() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    // Past both tables; index 0; a table above the limit; an integer without end.
    for broken in [&b"\xff\x80\x01"[..], b"\x80", b"\x3f\xff\xff\xff\x7f", b"\x7f\xff\xff\xff\xff\xff\xff\xff"] {
        let head = frame(HEADERS, END_STREAM | END_HEADERS, 1, broken);
        assert_eq!(goaway(&appliance, &head), COMPRESSION_ERROR, "{broken:?}");
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn h090_h091_frames_out_of_place_end_the_connection() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    for frame in [
        frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &request(&[])].concat()),
        frame(DATA, 0, 1, b"idle"),
        frame(HEADERS, END_STREAM | END_HEADERS, 2, &request(&[])),
        frame(CONTINUATION, END_HEADERS, 1, &[]),
        frame(DATA, 0, 0, b"of no stream"),
    ] {
        assert_eq!(goaway(&appliance, &frame), PROTOCOL_ERROR, "{frame:?}");
    }
    assert!(upstream.requests().is_empty());
}

/// The origin resets each stream that it does not like; the connection and its other streams go on.
#[test]
fn h092_resets_of_the_origin_end_their_stream_alone() {
    let plan = Upstream::plan().answering(|request, out| match request.target() {
        "/good" => out.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").map_or(Then::Reset, |()| Then::Keep),
        _ => Then::Reset,
    });
    let upstream = plan.start();
    let appliance = Appliance::before(&upstream);
    let client = appliance.http2_client(ENTRA);
    for _ in 0..30 {
        assert!(client.ask(Ask::get(ENTRA, "/bad")).is_err());
        assert_eq!(client.ask(Ask::get(ENTRA, "/good")).unwrap().status, 204);
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn h093_a_preface_that_is_none_ends_the_connection() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let settings = frame(SETTINGS, 0, 0, &[]);
    for begun in [
        [&b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n"[..], &settings].concat(),
        format!("GET / HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n").into_bytes(),
        [PREFACE, &get(1)].concat(),
    ] {
        let mut client = connect(&appliance);
        client.send(&begun);
        let said = frames(&client.rest());
        assert!(
            said.iter().all(|frame| matches!(frame.kind, SETTINGS | GOAWAY)),
            "{}",
            String::from_utf8_lossy(&begun)
        );
    }
    assert!(upstream.requests().is_empty());
}
