//! The hot pure functions of core as named operations on real input, for instruction counts and for benches.
//!
//! Every operation does the same work each time it runs and says whether it went as it should. QUIC's packets are read
//! with a cipher that does nothing, so that what is counted is ours on every processor.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use penstock_core::bytes::Parsed;
use penstock_core::catalogue::{ConnectorId, DenialScanner};
use penstock_core::flow::Direction;
use penstock_core::http2::hpack::{Encoder, Form};
use penstock_core::policy::{FlowFacts, HeaderEdit, Mode, SetHeader, Snapshot, compile};
use penstock_core::quic::{InitialCipher, InitialReader, Opening};
use penstock_core::sni::Sni;
use penstock_core::tls::ClientHelloReader;
use penstock_core::{http1, http2};

/// One operation, made ready.
pub type Run = Box<dyn FnMut() -> bool>;

/// A named operation.
pub struct Operation {
    /// For command lines and reports.
    pub name: &'static str,
    /// Bytes that it reads each time.
    pub bytes: usize,
    /// Makes it ready; none when its input is wrong.
    pub make: fn() -> Option<Run>,
}

/// All of them.
pub const OPERATIONS: &[Operation] = &[
    Operation { name: "client-hello", bytes: HELLO.len(), make: client_hello },
    Operation { name: "client-hello-ja4", bytes: HELLO.len(), make: ja4 },
    Operation { name: "decide", bytes: HOST.len(), make: decide },
    Operation { name: "denial-scan", bytes: PAGE.len() * PAGE_TIMES, make: denial_scan },
    Operation { name: "http1-request", bytes: REQUEST.len(), make: http1_request },
    Operation { name: "http2-request", bytes: 400, make: http2_request },
    Operation { name: "quic-initial", bytes: 2 * DATAGRAM_BYTES, make: quic_initial },
    Operation { name: "sni", bytes: HOST.len(), make: sni },
];

/// Reading a browser's ClientHello that came whole.
fn client_hello() -> Option<Run> {
    Some(Box::new(|| {
        let mut reader = ClientHelloReader::new();
        matches!(black_box(reader.handle_bytes(black_box(HELLO))), Parsed::Complete { .. })
    }))
}

/// The same with its fingerprint.
fn ja4() -> Option<Run> {
    Some(Box::new(|| {
        let mut reader = ClientHelloReader::new();
        let Parsed::Complete { value: hello, .. } = reader.handle_bytes(black_box(HELLO)) else { return false };
        !black_box(hello.ja4()).is_empty()
    }))
}

/// The decision for eight names in turn under 10,000 rules.
fn decide() -> Option<Run> {
    let snapshot = snapshot(10_000)?;
    let names: Vec<Sni> = NAMES.iter().filter_map(|name| name.parse().ok()).collect();
    let mut turn = 0;
    Some(Box::new(move || {
        turn = (turn + 1) % names.len();
        let name = names.get(turn);
        let facts = FlowFacts { sni: name, authority: name, ..FlowFacts::of(SOURCE) };
        black_box(snapshot.decide(black_box(&facts)));
        name.is_some()
    }))
}

/// Looking for a vendor's refusal in a page that holds none.
fn denial_scan() -> Option<Run> {
    let page = PAGE.repeat(PAGE_TIMES);
    let mut scanner = DenialScanner::new(&[ConnectorId::MicrosoftEntra]);
    Some(Box::new(move || {
        scanner.handle_head(200, std::iter::empty());
        scanner.handle_body(black_box(&page));
        black_box(scanner.found()).is_none()
    }))
}

/// Editing a browser's request on a kept connection, with its events and a short answer.
fn http1_request() -> Option<Run> {
    let mut exchange = http1::Exchange::new(edit(), HOST.parse().ok()?);
    Some(Box::new(move || {
        let mut gather = http1::Gather::new();
        let asked = exchange.handle_egress(black_box(REQUEST), &mut gather).is_ok();
        black_box(gather.pieces());
        drop(gather);
        let mut gather = http1::Gather::new();
        let answered = exchange.handle_ingress(black_box(ANSWER), &mut gather).is_ok();
        drop(gather);
        let mut events = 0;
        while let Some(event) = exchange.poll_event() {
            black_box(event);
            events += 1;
        }
        asked && answered && events > 0
    }))
}

/// Editing a browser's request as a stream of a kept connection, with its events and a short answer.
fn http2_request() -> Option<Run> {
    let mut exchange = http2::Exchange::new(edit(), HOST.parse().ok()?);
    let mut encoder = Encoder::new(4_096);
    let (mut first, mut later) = (vec![], vec![]);
    encode(&mut encoder, &mut first);
    encode(&mut encoder, &mut later);
    let (settings, ack) = (frame(FRAME_SETTINGS, 0, 0, &[]), frame(FRAME_SETTINGS, 1, 0, &[]));
    let begun = pass(&mut exchange, &[PREFACE, &settings].concat(), &[settings.as_slice(), &ack].concat())
        && pass(&mut exchange, &ack, &[])
        && pass(&mut exchange, &frame(FRAME_HEADERS, END, 1, &first), &frame(FRAME_HEADERS, END, 1, NOT_MODIFIED));
    let mut stream = 1_u32;
    begun.then(|| -> Run {
        Box::new(move || {
            stream = (stream + 2) & 0x7fff_ffff;
            pass(
                &mut exchange,
                &frame(FRAME_HEADERS, END, stream, &later),
                &frame(FRAME_HEADERS, END, stream, NOT_MODIFIED),
            )
        })
    })
}

/// Reading a browser's ClientHello out of two Initial packets, without the cryptography.
fn quic_initial() -> Option<Run> {
    // What QUIC carries is the handshake message without the record around it (RFC 9001, section 4).
    let message = HELLO.get(5..)?;
    let (first, second) = message.split_at_checked(1_100)?;
    let datagrams = [initial(0, 0, first)?, initial(1, first.len(), second)?];
    Some(Box::new(move || {
        let mut reader = InitialReader::new();
        let mut opened = false;
        for datagram in &datagrams {
            opened = matches!(black_box(reader.handle_datagram(&NoCipher, black_box(datagram))), Opening::Opens { .. });
        }
        opened
    }))
}

/// Checking a host name.
fn sni() -> Option<Run> {
    Some(Box::new(|| black_box(Sni::parse(black_box(HOST.as_bytes()))).is_ok()))
}

/// The example policy with that many host rules more, half of them names and half suffixes, on both lists.
pub fn document(rules: usize) -> String {
    let list = |word: &str| -> String {
        let name = |number| format!("\"{}{word}{number}.example.com\", ", if number % 2 == 0 { "" } else { "*." });
        (0..rules / 2).map(name).collect()
    };
    EXAMPLE
        .replace("[\"*.bank.example\"]", &format!("[{}\"*.bank.example\"]", list("bank")))
        .replace("[\"onedrive.live.com\"]", &format!("[{}\"onedrive.live.com\"]", list("blocked")))
}

fn snapshot(rules: usize) -> Option<Snapshot> {
    compile("hot.toml", &document(rules), Some(1), 0x5eed).ok()
}

/// Both of Entra's headers.
fn edit() -> Arc<HeaderEdit> {
    let header = |name: &str, value: &str| SetHeader { name: name.into(), value: value.into() };
    let headers = vec![
        header("Restrict-Access-To-Tenants", "contoso.com,fabrikam.onmicrosoft.com"),
        header("Restrict-Access-Context", "bbbbcccc-1111-dddd-2222-eeee3333ffff"),
    ];
    Arc::new(HeaderEdit::new(Mode::Enforce, &[ConnectorId::MicrosoftEntra], headers))
}

/// Carries bytes of both sides through an HTTP/2 connection; false when any were left or refused.
fn pass(exchange: &mut http2::Exchange, egress: &[u8], ingress: &[u8]) -> bool {
    let mut is_whole = true;
    for (direction, mut bytes) in [(Direction::Egress, egress), (Direction::Ingress, ingress)] {
        while !bytes.is_empty() {
            let mut gather = http2::Gather::new();
            let taken = match direction {
                Direction::Egress => exchange.handle_egress(black_box(bytes), &mut gather),
                Direction::Ingress => exchange.handle_ingress(black_box(bytes), &mut gather),
            };
            black_box(gather.pieces());
            drop(gather);
            let Some(rest) = taken.ok().filter(|count| *count > 0).and_then(|count| bytes.get(count..)) else {
                is_whole = false;
                break;
            };
            bytes = rest;
        }
    }
    while let Some(event) = exchange.poll_event() {
        black_box(event);
    }
    for direction in [Direction::Egress, Direction::Ingress] {
        black_box(exchange.poll_transmit(direction));
    }
    is_whole
}

/// RFC 9113, section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn encode(encoder: &mut Encoder, block: &mut Vec<u8>) {
    encoder.begin(block);
    for (name, value, form) in FIELDS {
        encoder.encode(name.as_bytes(), value.as_bytes(), *form, block);
    }
}

/// An Initial packet with one CRYPTO frame in a datagram of its own (RFC 9000, section 17.2.2), unprotected.
fn initial(number: u8, offset: usize, message: &[u8]) -> Option<Vec<u8>> {
    let varint = |value: usize| u16::try_from(value).ok().map(|value| (0x4000 | value).to_be_bytes());
    let mut packet = vec![0xc0, 0, 0, 0, 1, 8];
    packet.extend([0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08, 0, 0]);
    let head_bytes = packet.len() + 2 + 1;
    packet.extend(varint(DATAGRAM_BYTES.checked_sub(head_bytes)? + 1)?);
    packet.push(number);
    packet.push(6);
    packet.extend(varint(offset)?);
    packet.extend(varint(message.len())?);
    packet.extend(message);
    (packet.len() + TAG_BYTES <= DATAGRAM_BYTES).then(|| packet.resize(DATAGRAM_BYTES, 0))?;
    Some(packet)
}

/// Takes every packet for authentic.
struct NoCipher;

impl InitialCipher for NoCipher {
    fn hmac_sha256(&self, _key: &[u8], _message: &[u8]) -> [u8; 32] {
        [0; 32]
    }

    fn aes_128_mask(&self, _key: &[u8; 16], _sample: [u8; 16]) -> [u8; 5] {
        [0; 5]
    }

    fn aes_128_gcm_open(&self, _key: &[u8; 16], _nonce: [u8; 12], _header: &[u8], sealed: &mut [u8]) -> Option<usize> {
        sealed.len().checked_sub(TAG_BYTES)
    }

    fn aes_128_gcm_seal(&self, _key: &[u8; 16], _nonce: [u8; 12], _header: &[u8], plain: &mut Vec<u8>) -> Option<()> {
        plain.extend([0; TAG_BYTES]);
        Some(())
    }
}

const EXAMPLE: &str = include_str!("../../deploy/policies/example.toml");
const HELLO: &[u8] = include_bytes!("../../core/testdata/hello/chromium.bin");
const REQUEST: &[u8] = include_bytes!("../../core/testdata/http1/chromium-post.http");
const ANSWER: &[u8] = b"HTTP/1.1 304 Not Modified\r\n\r\n";
const HOST: &str = "login.example";
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));
const PAGE: &[u8] = b"<!DOCTYPE html><html><head><title>Sign in to your account</title></head>";
const PAGE_TIMES: usize = 100;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADERS: u8 = 1;
const FRAME_SETTINGS: u8 = 4;
/// END_STREAM and END_HEADERS.
const END: u8 = 5;
/// `:status: 304` of HPACK's static table.
const NOT_MODIFIED: &[u8] = &[0x8b];
const DATAGRAM_BYTES: usize = 1_200;
const TAG_BYTES: usize = 16;
/// Names as they come: listed, not listed, deep, inspected, excluded.
const NAMES: [&str; 8] = [
    "www.blocked77.example.com",
    "www.example.org",
    "a.b.c.d.cdn.example.net",
    "login.microsoftonline.com",
    "device.login.microsoftonline.com",
    "mail.google.com",
    "edge.blocked1234.example.com",
    "telemetry.vendor.example.co.uk",
];
/// A browser's request, as far as it tells.
const FIELDS: &[(&str, &str, Form)] = &[
    (":method", "GET", Form::Incremental),
    (":authority", HOST, Form::Incremental),
    (":scheme", "https", Form::Incremental),
    (
        ":path",
        "/common/oauth2/v2.0/authorize?client_id=aaaabbbb-0000-cccc-1111-dddd2222eeee&response_type=code",
        Form::Plain,
    ),
    ("user-agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/142.0.0.0 Safari/537.36", Form::Incremental),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Form::Incremental),
    ("sec-fetch-site", "same-site", Form::Incremental),
    ("sec-fetch-mode", "navigate", Form::Incremental),
    ("accept-encoding", "gzip, deflate, br, zstd", Form::Incremental),
    ("accept-language", "en-US,en;q=0.9", Form::Incremental),
    ("cookie", "buid=0.AXoAbbbbccccddddeeeeffff.AQABGgEAAABVrSpeuWamRam2jAF1XRQE", Form::Incremental),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_goes_as_it_should_again_and_again() {
        for operation in OPERATIONS {
            let mut run = (operation.make)().unwrap_or_else(|| panic!("{} cannot be made", operation.name));
            for number in 0..600 {
                assert!(run(), "{} number {number}", operation.name);
            }
        }
    }
}
