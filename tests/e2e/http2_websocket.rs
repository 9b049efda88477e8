//! WebSockets on a stream of HTTP/2 (RFC 8441), frame by frame: where policy allows them, with the headers, and nowhere else.

use std::sync::mpsc;

use penstock_tests::tripwire::{self, CHATGPT};

use crate::hostile_http2::{
    DATA, END_HEADERS, Frame, HEADERS, PREFACE, SETTINGS, block, connect, connect_to, frame, frames,
};
use crate::hostile_http2_origin::{before, hear, is_ended, origin, settings};

/// SETTINGS_ENABLE_CONNECT_PROTOCOL
const ENABLE: (u16, u32) = (8, 1);
const ACK: u8 = 1;
const ALLOWED: &str = "chatgpt.com";
const NOT_ALLOWED: &str = "login.microsoftonline.com";

/// With a restriction header of the client's own.
fn opening(host: &str) -> Vec<u8> {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", host),
        (":path", "/socket"),
        ("chatgpt-allowed-workspace-id", "evil"),
        ("restrict-access-to-tenants", "evil"),
    ];
    frame(HEADERS, END_HEADERS, 1, &block(&fields))
}

fn is_offered(seen: &[Frame]) -> bool {
    let entry = [0, 8, 0, 0, 0, 1];
    seen.iter().any(|it| it.kind == SETTINGS && it.payload.chunks(6).any(|setting| setting == entry))
}

#[test]
fn h039_a_websocket_lives_on_a_stream_where_policy_allows_it() {
    let (told, heads) = mpsc::channel();
    let upstream = origin(settings(&[ENABLE]), move |seen, _| match seen.kind {
        HEADERS => {
            told.send(seen.payload.clone()).unwrap();
            frame(HEADERS, END_HEADERS, seen.stream, &block(&[(":status", "200")]))
        }
        DATA => frame(DATA, seen.flags, seen.stream, &seen.payload),
        SETTINGS if seen.flags & ACK == 0 => frame(SETTINGS, ACK, 0, &[]),
        _ => Vec::new(),
    });
    let appliance = before(&upstream);
    let mut client = connect_to(&appliance, ALLOWED);
    client.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    hear(&mut client, is_offered);
    client.send([opening(ALLOWED), frame(DATA, 0, 1, b"\x81\x82maskok")].concat());
    let is_echoed = |word: &'static [u8]| move |seen: &[Frame]| seen.iter().any(|it| it.payload == word);
    hear(&mut client, is_echoed(b"\x81\x82maskok"));
    client.send(frame(DATA, 0, 1, b"\x88\x80mask"));
    hear(&mut client, is_echoed(b"\x88\x80mask"));
    let head = loona_hpack::Decoder::new().decode(&heads.recv().unwrap()).unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let mut fields = head.into_iter().map(|(name, value)| (text(name), text(value))).collect::<Vec<_>>();
    fields.retain(|(name, _)| tripwire::restriction(name).is_some());
    let (name, value) = CHATGPT[0];
    assert_eq!(fields, [(name.to_ascii_lowercase(), value.to_owned())]);
}

#[test]
fn h039_elsewhere_no_websocket_is_offered_and_none_is_opened() {
    let (told, heads) = mpsc::channel();
    let upstream = origin(settings(&[ENABLE]), move |seen, _| match seen.kind {
        HEADERS => {
            told.send(seen.stream).unwrap();
            frame(HEADERS, END_HEADERS | 1, seen.stream, &block(&[(":status", "200")]))
        }
        SETTINGS if seen.flags & ACK == 0 => frame(SETTINGS, ACK, 0, &[]),
        _ => Vec::new(),
    });
    let appliance = before(&upstream);
    let mut client = connect(&appliance);
    client.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    assert!(!is_offered(&frames(&client.some())));
    client.send(opening(NOT_ALLOWED));
    hear(&mut client, |seen| is_ended(seen, 1));
    client.send(crate::hostile_http2::get(3));
    hear(&mut client, |seen| is_ended(seen, 3));
    assert_eq!(heads.try_iter().collect::<Vec<_>>(), [3], "the other never reached the origin");
}
