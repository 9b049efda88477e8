//! Whole connections from a seed: what the origin decodes is the client's requests, filtered, with the set headers; what the
//! client decodes is the origin's answers, filtered, and refusals. Other decoders than the product's read both.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "http/dice.rs"]
mod dice;
#[path = "http2/drive.rs"]
mod drive;
#[path = "http2/receiver.rs"]
mod receiver;
#[path = "http1/strict.rs"]
mod strict;
#[path = "http2/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use dice::Dice;
use drive::{Drive, HOST, header_edit, set};
use penstock_core::policy::Mode;
use receiver::Item;
use strict::is_restriction;
use wire::{Pair, Shape, Writer, data, frame, pair, reset, window};

const SEEDS: u64 = 256;

/// Names that an ordinary client sends, and those that must go.
const PLAIN: &[&str] =
    &["accept", "cookie", "user-agent", "x-a", "x-b", "restrict-access-to-tenant", "x-restrict-access-context"];
const RESTRICTED: &[&str] = &[
    "restrict-access-to-tenants",
    "restrict_access_to_tenants",
    "restrict.access-context",
    "anthropic-allowed-org-ids12",
    "x-goog-allowed-resources",
    "sec-restrict-tenant-access-policy",
];

/// What should become of everything.
#[derive(Default)]
struct Model {
    /// Requests that go upstream, in order.
    requests: Vec<(u32, Vec<Pair>)>,
    /// Content and end of each stream that goes upstream.
    egress: BTreeMap<u32, (Vec<u8>, bool)>,
    answers: Vec<(u32, Vec<Pair>)>,
    ingress: BTreeMap<u32, (Vec<u8>, bool)>,
    refused: Vec<u32>,
    dropped_bytes: u64,
    /// Streams on which the client may still send, and whether they are upstream's.
    sending: Vec<(u32, bool)>,
    /// Streams that the origin may still answer, and whether the head has gone.
    answering: Vec<(u32, bool)>,
    next: u32,
}

struct Simulation<'d> {
    dice: &'d mut Dice,
    drive: Drive,
    model: Model,
    is_edited: bool,
    egress: Vec<u8>,
    ingress: Vec<u8>,
    /// Bounds for the table that each side has told and the other has not obeyed.
    origin_bounds: Vec<usize>,
    client_bounds: Vec<usize>,
}

fn shape(dice: &mut Dice) -> Shape {
    [Shape::Incremental, Shape::Indexed, Shape::Indexed, Shape::Never, Shape::Plain][dice.below(5)]
}

fn fields(dice: &mut Dice, count: usize) -> Vec<Pair> {
    let field = |dice: &mut Dice| {
        let name = if dice.one_in(6) { dice.pick(RESTRICTED) } else { dice.pick(PLAIN) };
        let value = ["", "a", "b", "some longer value with words", "evil.example"][dice.below(5)];
        pair(name, if dice.one_in(40) { &VERY_LONG } else { value })
    };
    (0..count).map(|_| field(dice)).collect()
}

static VERY_LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "z".repeat(9_000));

/// A block as one frame or several, with padding and priority.
fn head(dice: &mut Dice, stream: u32, block: &[u8], ends: bool) -> Vec<u8> {
    let pieces = if block.len() > 16_000 || dice.one_in(4) { 2 + block.len() / 10_000 } else { 1 };
    let size = block.len().div_ceil(pieces).max(1);
    let mut chunks: Vec<&[u8]> = block.chunks(size).collect();
    if dice.one_in(8) {
        chunks.push(b"");
    }
    let mut flags = u8::from(ends);
    let mut payload = vec![];
    let padding = if dice.one_in(4) { Some(dice.below(40)) } else { None };
    if let Some(padding) = padding {
        flags |= wire::PADDED;
        payload.push(padding as u8);
    }
    if dice.one_in(4) {
        flags |= wire::WITH_PRIORITY;
        payload.extend([0x80, 0, 0, 0, 200]);
    }
    payload.extend_from_slice(chunks.first().copied().unwrap_or_default());
    payload.extend(vec![0; padding.unwrap_or(0)]);
    let rest = chunks.get(1..).unwrap_or_default();
    let mut out = frame(wire::HEADERS, flags | if rest.is_empty() { wire::END_HEADERS } else { 0 }, stream, payload);
    for (place, chunk) in rest.iter().enumerate() {
        let flags = if place + 1 == rest.len() { wire::END_HEADERS } else { 0 };
        out.extend(frame(wire::CONTINUATION, flags, stream, chunk));
    }
    out
}

fn block(dice: &mut Dice, writer: &mut Writer, fields: &[Pair]) -> Vec<u8> {
    writer.is_coded = dice.one_in(2);
    if dice.one_in(12) {
        let max = writer.size_max();
        writer.resize(dice.below(max + 1));
    }
    let fields: Vec<(Pair, Shape)> = fields.iter().map(|field| (field.clone(), shape(dice))).collect();
    writer.block(&fields)
}

impl Simulation<'_> {
    /// The client opens a stream, with a request that goes on or one that is refused.
    fn open(&mut self) {
        let stream = self.model.next;
        self.model.next += 2 * (1 + self.dice.below(3) as u32);
        let is_right = !self.dice.one_in(5);
        let method = if self.dice.one_in(2) { "GET" } else { "POST" };
        let (authority, scheme) = match self.dice.below(3) {
            _ if is_right => (HOST, "https"),
            0 => ("other.example", "https"),
            1 => (HOST, "ftp"),
            _ => ("user@login.example", "https"),
        };
        let mut lead = vec![pair(":method", method), pair(":scheme", scheme)];
        lead.extend([pair(":path", ["/", "/a?b", "/longer/path"][self.dice.below(3)]), pair(":authority", authority)]);
        let count = self.dice.below(8);
        let rest = fields(self.dice, count);
        let ends = method == "GET" || self.dice.one_in(3);
        let block = block(self.dice, &mut self.drive.egress_writer, &[lead.clone(), rest.clone()].concat());
        let bytes = head(self.dice, stream, &block, ends);
        self.egress.extend(bytes);
        if !ends {
            self.model.sending.push((stream, is_right));
        }
        if !is_right {
            self.model.refused.push(stream);
            return;
        }
        let expected = if self.is_edited {
            let kept = rest.into_iter().filter(|(name, _)| !is_restriction(std::str::from_utf8(name).unwrap()));
            [lead, set(), kept.collect()].concat()
        } else {
            [lead, rest].concat()
        };
        self.model.requests.push((stream, expected));
        self.model.egress.insert(stream, (vec![], ends));
    }

    /// The client sends content or trailers on a stream, or resets it.
    fn go_on(&mut self) {
        if self.model.sending.is_empty() {
            return;
        }
        let place = self.dice.below(self.model.sending.len());
        let (stream, is_upstream) = self.model.sending[place];
        match self.dice.below(8) {
            0 => {
                let trailers = fields(self.dice, 2);
                let block = block(self.dice, &mut self.drive.egress_writer, &trailers);
                let bytes = head(self.dice, stream, &block, true);
                self.egress.extend(bytes);
                self.model.sending.remove(place);
                if is_upstream {
                    self.model.egress.get_mut(&stream).unwrap().1 = true;
                    if !self.is_edited {
                        self.model.requests.push((stream, trailers));
                    }
                }
            }
            _ => {
                let content = vec![b'a' + (stream % 26) as u8; self.dice.below(600)];
                let ends = self.dice.one_in(3);
                let bytes = padded_data(self.dice, stream, &content, ends);
                if is_upstream {
                    let sent = self.model.egress.get_mut(&stream).unwrap();
                    sent.0.extend(&content);
                    sent.1 = ends;
                } else {
                    self.model.dropped_bytes += bytes.len() as u64 - 9;
                }
                self.egress.extend(bytes);
                if ends {
                    self.model.sending.remove(place);
                }
            }
        }
    }

    /// The origin answers a stream that it has seen.
    fn answer(&mut self) {
        if self.model.answering.is_empty() {
            return;
        }
        let place = self.dice.below(self.model.answering.len());
        let (stream, has_head) = self.model.answering[place];
        let sent = self.model.ingress.entry(stream).or_default();
        let mut ends = self.dice.one_in(3);
        if has_head && !self.dice.one_in(6) {
            let content = vec![b'A' + (stream % 26) as u8; self.dice.below(900)];
            sent.0.extend(&content);
            let bytes = padded_data(self.dice, stream, &content, ends);
            self.ingress.extend(bytes);
        } else {
            let mut answer = fields(self.dice, 3);
            if self.dice.one_in(2) {
                answer.insert(self.dice.below(3), pair("alt-svc", ["h3=\":443\"", "clear"][self.dice.below(2)]));
            }
            if has_head {
                ends = true;
            } else {
                let status = ["200", "103", "404", "302"][self.dice.below(4)];
                ends &= status != "103";
                self.model.answering[place].1 = status != "103";
                answer.insert(0, pair(":status", status));
            }
            let block = block(self.dice, &mut self.drive.ingress_writer, &answer);
            let bytes = head(self.dice, stream, &block, ends);
            self.ingress.extend(bytes);
            answer.retain(|(name, _)| !self.is_edited || name != b"alt-svc");
            self.model.answers.push((stream, answer));
        }
        if ends {
            self.model.ingress.get_mut(&stream).unwrap().1 = true;
            self.model.answering.remove(place);
        }
    }

    /// One side bounds the table of the other, which obeys once it has acknowledged.
    fn bound_table(&mut self) {
        let bytes = [0, 64, 200, 4_096, 16_384, 65_536][self.dice.below(6)];
        if self.dice.one_in(2) {
            self.ingress.extend(wire::settings(&[(1, bytes as u32)]));
            self.drive.origin.bounds.push_back(Some(bytes));
            self.origin_bounds.push(bytes);
        } else {
            self.egress.extend(wire::settings(&[(1, bytes as u32)]));
            self.drive.client.bounds.push_back(Some(bytes));
            self.client_bounds.push(bytes);
        }
    }

    /// Both sides acknowledge the SETTINGS that have reached them, and answer what has.
    fn read(&mut self) {
        for item in self.drive.client.items.split_off(0) {
            if matches!(&item, Item::Settings(_)) && !self.origin_bounds.is_empty() {
                let bytes = self.origin_bounds.remove(0);
                self.egress.extend(wire::ack());
                if bytes < self.drive.egress_writer.size_max() || self.dice.one_in(2) {
                    self.drive.egress_writer.resize(bytes);
                }
            }
            self.seen_by_client(item);
        }
        for item in self.drive.origin.items.split_off(0) {
            if matches!(&item, Item::Settings(_)) && !self.client_bounds.is_empty() {
                let bytes = self.client_bounds.remove(0);
                self.ingress.extend(wire::ack());
                if bytes < self.drive.ingress_writer.size_max() || self.dice.one_in(2) {
                    self.drive.ingress_writer.resize(bytes);
                }
            }
            self.seen_by_origin(item);
        }
    }

    fn seen_by_client(&mut self, item: Item) {
        match item {
            Item::Headers { stream, fields, ends } => {
                if let Some(place) = self.model.refused.iter().position(|refused| *refused == stream) {
                    assert_eq!((fields[0].clone(), ends), (pair(":status", "421"), true));
                    self.model.refused.remove(place);
                    return;
                }
                assert_eq!(self.model.answers.remove(0), (stream, fields));
                if ends {
                    let expected = self.model.ingress.get_mut(&stream).unwrap();
                    assert!(expected.0.is_empty() && expected.1);
                }
            }
            Item::Data { stream, content, ends } => {
                let expected = self.model.ingress.get_mut(&stream).unwrap();
                assert!(expected.0.starts_with(&content));
                expected.0.drain(..content.len());
                assert!(!ends || (expected.0.is_empty() && expected.1));
            }
            Item::Reset { stream, code } => {
                if code == 1 {
                    let place = self.model.refused.iter().position(|refused| *refused == stream).unwrap();
                    self.model.refused.remove(place);
                }
            }
            Item::Window { stream: 0, increment } => self.model.dropped_bytes -= u64::from(increment),
            Item::Goaway { .. } | Item::Window { .. } => panic!("{item:?}"),
            Item::Ack | Item::Other { .. } | Item::Settings(_) => {}
        }
    }

    fn seen_by_origin(&mut self, item: Item) {
        match item {
            Item::Headers { stream, fields, ends } => {
                assert_eq!(self.model.requests.remove(0), (stream, fields));
                // The second block of a stream is trailers.
                if let Entry::Vacant(place) = self.model.ingress.entry(stream) {
                    place.insert((vec![], false));
                    self.model.answering.push((stream, false));
                }
                assert!(!ends || self.model.egress.get(&stream).unwrap().1);
            }
            Item::Data { stream, content, ends } => {
                let expected = self.model.egress.get_mut(&stream).unwrap();
                assert!(expected.0.starts_with(&content));
                expected.0.drain(..content.len());
                assert!(!ends || (expected.0.is_empty() && expected.1));
            }
            Item::Goaway { .. } | Item::Reset { .. } => panic!("{item:?}"),
            _ => {}
        }
    }

    fn deliver(&mut self, all: bool) {
        let size = |dice: &mut Dice, length: usize| if all { length } else { length.min(1 + dice.below(400)) };
        let count = size(self.dice, self.egress.len());
        let bytes: Vec<u8> = self.egress.drain(..count).collect();
        if self.dice.one_in(8) {
            for byte in bytes {
                self.drive.egress([byte]);
            }
        } else {
            self.drive.egress(bytes);
        }
        let count = size(self.dice, self.ingress.len());
        let bytes: Vec<u8> = self.ingress.drain(..count).collect();
        self.drive.ingress(bytes);
        assert_eq!(self.drive.fault, None);
        self.read();
    }

    fn run(&mut self) {
        for _ in 0..120 {
            match self.dice.below(12) {
                0..=3 if self.drive.requests.len() < 60 => self.open(),
                4..=5 => self.go_on(),
                6..=8 => self.answer(),
                9 if self.dice.one_in(3) => self.bound_table(),
                10 => self.egress.extend([frame(wire::PING, 0, 0, [1; 8]), window(0, 10)].concat()),
                _ => self.deliver(false),
            }
        }
        while !self.egress.is_empty() || !self.ingress.is_empty() {
            self.deliver(true);
        }
        let model = &self.model;
        assert!(model.requests.is_empty() && model.answers.is_empty() && model.refused.is_empty());
        assert_eq!(model.dropped_bytes, 0);
        assert!(model.egress.values().all(|left| left.0.is_empty()));
        assert!(model.ingress.values().all(|left| left.0.is_empty()));
    }
}

fn padded_data(dice: &mut Dice, stream: u32, content: &[u8], ends: bool) -> Vec<u8> {
    if !dice.one_in(3) {
        return data(stream, content, ends);
    }
    let padding = dice.below(30);
    frame(wire::DATA, wire::PADDED | u8::from(ends), stream, [&[padding as u8], content, &vec![0; padding]].concat())
}

/// Runs the test on every seed, or on the one that the environment names.
fn for_seeds(run: fn(&mut Dice)) {
    let only = std::env::var("SIMULATION_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    for seed in only.map_or(0..SEEDS, |seed| seed..seed + 1) {
        let outcome = std::panic::catch_unwind(|| run(&mut Dice::new(seed)));
        assert!(outcome.is_ok(), "SIMULATION_SEED={seed}");
    }
}

#[test]
fn whole_connections() {
    for_seeds(|dice| {
        let is_edited = !dice.one_in(8);
        let mode = if is_edited { Mode::Enforce } else { Mode::ReportOnly };
        let drive = Drive::with(header_edit(mode), &[], &[]);
        let mut simulation = Simulation {
            dice,
            drive,
            model: Model { next: 1, ..Model::default() },
            is_edited,
            egress: vec![],
            ingress: vec![],
            origin_bounds: vec![],
            client_bounds: vec![],
        };
        simulation.run();
    });
}

#[test]
fn changed_bytes_keep_the_invariant_or_end_the_connection_however_they_are_cut() {
    for_seeds(|dice| {
        let mut writer = Writer::new();
        let mut input = vec![];
        for stream in [1, 3, 5, 7] {
            let rest = fields(dice, 5);
            let lead = [(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", HOST)];
            let block = block(dice, &mut writer, &[wire::pairs(&lead), rest].concat());
            input.extend(head(dice, stream, &block, stream != 5));
        }
        input.extend([data(5, b"content", false), reset(3, 8), data(5, b"more", true)].concat());
        for _ in 0..1 + dice.below(4) {
            let at = dice.below(input.len());
            match dice.below(3) {
                0 => input[at] = dice.below(256) as u8,
                1 => drop(input.remove(at)),
                _ => input.insert(at, dice.below(256) as u8),
            }
        }
        let mut whole = Drive::new();
        whole.egress(&input);
        let mut split = Drive::new();
        for piece in input.chunks(1 + dice.below(20)) {
            split.egress(piece);
        }
        assert_eq!((whole.fault, &whole.refusals, &whole.requests), (split.fault, &split.refusals, &split.requests));
        for drive in [&whole, &split] {
            let heads = drive.origin.heads();
            assert_eq!(heads.len(), drive.requests.len());
            for (_, fields, _) in heads {
                let at = fields.iter().position(|(name, _)| !name.starts_with(b":")).unwrap();
                assert_eq!(fields[at..at + 2], set());
                let rest =
                    fields[at + 2..].iter().filter(|(name, _)| is_restriction(std::str::from_utf8(name).unwrap()));
                assert_eq!(rest.count(), 0);
            }
        }
    });
}
