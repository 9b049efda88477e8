//! HTTP/2 as the hyper stack of Python reads it: its frames and its HPACK, with a table of their own.

use std::process::Command;

use penstock_core::flow::Direction;
use penstock_core::http2::hpack::{Encoder, Form};
use penstock_core::http2::{Event, Exchange, Gather};
use penstock_core::sni::Sni;
use penstock_tests::place;

use super::{HOST, SET, edit, is_restriction, read_by};

/// A client's connection as it went upstream, and the paths that the exchange announced.
struct Forwarded {
    bytes: Vec<u8>,
    paths: Vec<String>,
}

/// The same numbers for a seed everywhere (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn form(&mut self) -> Form {
        [Form::Incremental, Form::Indexed, Form::NeverIndexed, Form::Plain][self.below(4)]
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// HEADERS that ends its stream, cut into CONTINUATION frames of `piece` bytes.
fn headers(stream: u32, block: &[u8], piece: usize, out: &mut Vec<u8>) {
    let last = block.chunks(piece).count() - 1;
    for (index, fragment) in block.chunks(piece).enumerate() {
        let length = u32::try_from(fragment.len()).unwrap().to_be_bytes();
        out.extend_from_slice(&length[1..]);
        let end_headers = if index == last { 4 } else { 0 };
        out.extend_from_slice(if index == 0 { &[1] } else { &[9] });
        out.push(end_headers | u8::from(index == 0));
        out.extend_from_slice(&stream.to_be_bytes());
        out.extend_from_slice(fragment);
    }
}

/// A client that brings restriction headers in every form of HPACK, and refers to what it indexed before.
fn client(seed: u64) -> (Vec<u8>, usize) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut encoder = Encoder::new(4_096);
    let mut bytes = [PREFACE, &SETTINGS].concat();
    let ordinary =
        [("accept", "*/*"), ("cookie", "a=b"), ("cookie", "c=d"), ("user-agent", "agent/1"), ("x-long", LONG)];
    let names = [
        "restrict-access-to-tenants",
        "restrict_access_to_tenants",
        "sec-restrict-tenant-access-policy",
        "restrict.access.context",
    ];
    let requests = 1 + dice.below(8);
    for number in 0..requests {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        let path = format!("/{seed}/{number}");
        for (name, value) in [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", path.as_str())]
        {
            encoder.encode(name.as_bytes(), value.as_bytes(), dice.form(), &mut block);
        }
        for _ in 0..dice.below(8) {
            if dice.below(3) == 0 {
                let value = ["evil.example", "other.example"][dice.below(2)];
                encoder.encode(names[dice.below(names.len())].as_bytes(), value.as_bytes(), dice.form(), &mut block);
            } else {
                let (name, value) = ordinary[dice.below(ordinary.len())];
                encoder.encode(name.as_bytes(), value.as_bytes(), dice.form(), &mut block);
            }
        }
        let stream = u32::try_from(number).unwrap() * 2 + 1;
        let piece = if dice.below(4) == 0 { block.len().div_ceil(3) } else { block.len() };
        headers(stream, &block, piece, &mut bytes);
    }
    (bytes, requests)
}

fn forward(input: &[u8], step: usize) -> Forwarded {
    let mut exchange = Exchange::new(edit(), Sni::parse(HOST.as_bytes()).unwrap());
    let mut forwarded = Forwarded { bytes: vec![], paths: vec![] };
    let mut told = false;
    let mut waiting = Vec::new();
    for piece in input.chunks(step) {
        waiting.extend_from_slice(piece);
        loop {
            let taken = {
                let mut gather = Gather::new();
                let taken = exchange.handle_egress(&waiting, &mut gather).unwrap();
                forwarded.bytes.extend(gather.pieces().concat());
                taken
            };
            waiting.drain(..taken);
            if !told && forwarded.bytes.len() > PREFACE.len() {
                told = true;
                let mut gather = Gather::new();
                assert_eq!(exchange.handle_ingress(&SETTINGS, &mut gather).unwrap(), 9);
            }
            while let Some(own) = exchange.poll_transmit(Direction::Egress) {
                forwarded.bytes.extend(own);
            }
            while let Some(event) = exchange.poll_event() {
                if let Event::Request(request) = event {
                    forwarded.paths.push(request.path);
                }
            }
            if taken == 0 {
                break;
            }
        }
    }
    assert!(waiting.is_empty());
    forwarded
}

#[test]
fn the_hyper_stack_decodes_what_goes_upstream_as_the_exchange_does() {
    let Some(python) = place::python() else { return };
    let mut streams = Vec::new();
    for seed in 1..=128 {
        let (input, requests) = client(seed);
        for step in [input.len(), 1, 13] {
            let forwarded = forward(&input, step);
            assert_eq!(forwarded.paths.len(), requests, "seed {seed}");
            streams.push(forwarded);
        }
    }
    let mut reader = Command::new(python);
    reader.arg(place::workspace().join("tests/clients/read_http2.py"));
    let read = read_by(reader, streams.iter().map(|stream| stream.bytes.as_slice()));
    for (stream, read) in streams.iter().zip(&read) {
        assert!(read["error"].is_null(), "{read}");
        let blocks = read["blocks"].as_array().unwrap();
        assert_eq!(blocks.len(), stream.paths.len(), "{read}");
        for (block, path) in blocks.iter().zip(&stream.paths) {
            let fields: Vec<(&str, &str)> = block["fields"]
                .as_array()
                .unwrap()
                .iter()
                .map(|field| (field[0].as_str().unwrap(), field[1].as_str().unwrap()))
                .collect();
            assert_eq!(fields.iter().find(|(name, _)| *name == ":path").unwrap().1, path);
            let found: Vec<(String, &str)> = fields
                .iter()
                .filter(|(name, _)| is_restriction(name))
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect();
            assert_eq!(found, SET.map(|(name, value)| (name.to_ascii_lowercase(), value)), "{read}");
        }
    }
}

const LONG: &str =
    "a value that is long enough to push others out of a table when it comes often, and is not a secret to anyone";
