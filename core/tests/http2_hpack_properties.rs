//! Properties of HPACK over generated fields and blocks, and agreement with another implementation on whole, mutated and
//! random blocks.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "hello/corpora.rs"]
mod corpora;
#[path = "hpack/story.rs"]
mod story;

use penstock_core::http2::hpack::{Decoder, Encoder, Form, HpackFault, SizeUpdates};
use proptest::prelude::*;
use story::{Pair, decode, encode, pairs, stories};

/// What happens on a connection between two blocks, and a block.
#[derive(Clone, Debug)]
struct Step {
    /// Limits that the receiver sets, one after the other.
    limits: Vec<usize>,
    /// Sizes that the sender changes to beyond what the limits ask for, in parts of 256 of the last limit.
    resize: Option<u8>,
    fields: Vec<(Pair, Form)>,
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::sample::select(vec![":path", ":status", "200", "/", "cookie", "a", "x-forwarded-for", "etag", ""])
            .prop_map(|text| text.as_bytes().to_vec()),
        2 => "[a-z0-9=;/. -]{0,40}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

fn fields() -> impl Strategy<Value = Vec<(Pair, Form)>> {
    let form = prop::sample::select(vec![Form::Incremental, Form::Indexed, Form::NeverIndexed, Form::Plain]);
    prop::collection::vec(((text(), text()), form), 0..24)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let limit = prop_oneof![Just(0), Just(4_096), 0usize..600, 0usize..70_000];
    let limits = prop_oneof![4 => Just(vec![]), 1 => prop::collection::vec(limit, 1..4)];
    let step = (limits, prop::option::weighted(0.1, any::<u8>()), fields());
    prop::collection::vec(step.prop_map(|(limits, resize, fields)| Step { limits, resize, fields }), 1..12)
}

/// A sender that obeys its receiver, and the receiver.
struct Connection {
    sender: Encoder,
    receiver: Decoder,
    limit: usize,
}

impl Connection {
    fn new() -> Self {
        Self { sender: Encoder::new(4_096), receiver: Decoder::new(), limit: 4_096 }
    }

    /// The block of a step, with the sizes told as the limits ask for.
    fn send(&mut self, step: &Step) -> Vec<u8> {
        for &limit in &step.limits {
            self.limit = limit.min(65_536);
            self.receiver.set_size_limit(limit);
            self.sender.set_table_size_max(self.limit);
        }
        if let Some(part) = step.resize {
            self.sender.set_table_size_max(self.limit * usize::from(part) / 256);
        }
        encode(&mut self.sender, &step.fields)
    }
}

proptest! {
    #[test]
    fn fields_arrive_through_any_changes_of_size(steps in steps()) {
        let mut connection = Connection::new();
        for step in steps {
            let block = connection.send(&step);
            let (told, summary) = decode(&mut connection.receiver, &block).unwrap();
            prop_assert_eq!(connection.receiver.table_size_max(), connection.sender.table_size_max());
            prop_assert_eq!(SizeUpdates::parse(&block).unwrap(), summary.size_updates);
            prop_assert_eq!(told.len(), step.fields.len());
            for (told, (pair, form)) in told.iter().zip(&step.fields) {
                prop_assert_eq!(&told.pair(), pair);
                let kept = matches!(form, Form::NeverIndexed | Form::Plain);
                prop_assert!(!kept || told.form == *form);
                prop_assert!(kept || told.form != Form::NeverIndexed);
            }
        }
    }

    /// The shadow reads what passes; from some block on it is written again by an encoder of its own, for a receiver that
    /// has seen the blocks before as they were.
    #[test]
    fn a_receiver_stays_in_step_when_blocks_are_written_again(steps in steps(), from in 0usize..6) {
        let (mut connection, mut receiver) = (Connection::new(), Decoder::new());
        let mut encoder = None;
        for (index, step) in steps.iter().enumerate() {
            let block = connection.send(step);
            step.limits.iter().for_each(|&limit| receiver.set_size_limit(limit));
            if index < from {
                prop_assert_eq!(decode(&mut receiver, &block), decode(&mut connection.receiver, &block));
                continue;
            }
            let encoder = encoder.get_or_insert_with(|| Encoder::new(connection.receiver.table_size_max()));
            let mut written = vec![];
            encoder.follow(&SizeUpdates::parse(&block).unwrap());
            encoder.begin(&mut written);
            let decoded = connection.receiver.decode(&block, &mut |field| {
                encoder.encode(field.name, field.value, field.form, &mut written);
            });
            prop_assert!(decoded.is_ok());
            let sent: Vec<Pair> = step.fields.iter().map(|(pair, _)| pair.clone()).collect();
            prop_assert_eq!(pairs(&mut receiver, &written), Ok(sent));
        }
    }

    /// What is cut out of a block and was not in the table is missed by nobody.
    #[test]
    fn spans_of_plain_literals_can_be_cut(blocks in prop::collection::vec(fields(), 1..6)) {
        let (mut sender, mut shadow, mut receiver) = (Encoder::new(4_096), Decoder::new(), Decoder::new());
        for fields in blocks {
            let block = encode(&mut sender, &fields);
            let (told, summary) = decode(&mut shadow, &block).unwrap();
            let mut kept = block[..summary.size_updates_end].to_vec();
            let stays = |form| matches!(form, Form::Incremental | Form::Indexed);
            for field in told.iter().filter(|field| stays(field.form)) {
                kept.extend_from_slice(&block[field.span.0..field.span.1]);
            }
            let expected: Vec<Pair> = fields.iter().filter(|field| stays(field.1)).map(|field| field.0.clone()).collect();
            // A field that is larger than the table is sent plain, and was cut.
            let read = pairs(&mut receiver, &kept).unwrap();
            prop_assert!(read == expected || told.len() > read.len());
        }
    }

    #[test]
    fn random_blocks_are_read_alike(blocks in prop::collection::vec(block(), 1..8)) {
        let mut both = Both::new();
        for block in &blocks {
            if !both.agree(block) {
                break;
            }
        }
    }
}

/// A block of representations that are mostly right.
fn block() -> impl Strategy<Value = Vec<u8>> {
    let string = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..20).prop_map(|text| [&[u8::try_from(text.len()).unwrap()][..], &text].concat()),
        2 => prop::sample::select(vec!["8cf1e3c2e5f23a6ba0ab90f4ff", "86a8eb10649cbf", "821fff", "84ffffffff", "8107", "80"])
            .prop_map(corpora::unhex),
        1 => prop::collection::vec(any::<u8>(), 0..6).prop_map(|text| [&[0x80 | u8::try_from(text.len()).unwrap()][..], &text].concat()),
    ];
    let string = string.boxed();
    let part = prop_oneof![
        6 => (0x81u8..=0xc4).prop_map(|index| vec![index]),
        6 => (0x41u8..=0x7e, string.clone()).prop_map(|(index, value)| [vec![index], value].concat()),
        2 => (prop::sample::select(vec![0u8, 0x10, 0x40]), string.clone(), string.clone())
            .prop_map(|(first, name, value)| [vec![first], name, value].concat()),
        2 => (0x01u8..=0x1f, string).prop_map(|(index, value)| [vec![index], value].concat()),
        1 => prop::sample::select(vec!["20", "30", "3f01", "3fe11f", "3fe21f", "ff808080808000"]).prop_map(corpora::unhex),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

/// This decoder and that of the loona-hpack crate, over the same blocks.
struct Both {
    ours: Decoder,
    theirs: loona_hpack::Decoder<'static>,
}

impl Both {
    fn new() -> Self {
        let mut theirs = loona_hpack::Decoder::new();
        theirs.set_max_allowed_table_size(4_096);
        Self { ours: Decoder::new(), theirs }
    }

    /// Whether both read the block, and so can read the next.
    fn agree(&mut self, block: &[u8]) -> bool {
        let (ours, theirs) = (decode(&mut self.ours, block), self.theirs.decode(block));
        match (ours, theirs) {
            (Ok((fields, summary)), Ok(theirs)) => {
                let told: Vec<Pair> = fields.iter().map(|field| field.pair()).collect();
                assert_eq!(told, theirs[..told.len()], "{block:x?}");
                assert!(told.len() == theirs.len() || summary.over_limit.is_some());
                true
            }
            // It takes changes of size anywhere but at the end, and any number of them.
            (Err(HpackFault::SizeUpdateLate | HpackFault::SizeUpdateMany), _) => false,
            (Ok((fields, summary)), Err(loona_hpack::decoder::DecoderError::SizeUpdateAtEnd)) => {
                assert!(fields.is_empty() && summary.size_updates_end == block.len());
                false
            }
            (Err(_), Err(_)) => false,
            (ours, theirs) => panic!("{block:x?}: {ours:?} here, {theirs:?} there"),
        }
    }
}

#[test]
fn stories_are_read_alike_whole_cut_and_changed() {
    for story in ["nghttp2", "go-hpack"].into_iter().flat_map(stories) {
        let mut both = Both::new();
        for (index, case) in story.iter().enumerate() {
            assert!(both.agree(&case.wire), "{}", case.name);
            // The first block fills the table, the second one uses it; more would take the other decoder minutes.
            if index < 2 {
                damaged(&story[..index], &case.wire);
            }
        }
    }
}

/// A block behind others, cut at, and changed in, one place each time.
fn damaged(before: &[story::Case], wire: &[u8]) {
    let stride = wire.len() / 8 + 1;
    for place in (0..wire.len()).step_by(stride) {
        let mut changed = wire.to_vec();
        changed[place] ^= 1 << (place % 8);
        for block in [&wire[..place], &changed] {
            let mut both = Both::new();
            assert!(before.iter().all(|case| both.agree(&case.wire)));
            both.agree(block);
        }
    }
}

#[test]
fn what_is_written_is_read_elsewhere() {
    for story in stories("raw-data") {
        let (mut both, mut encoder) = (Both::new(), Encoder::new(4_096));
        for case in story {
            let fields: Vec<_> = case.fields.iter().map(|field| (field.clone(), Form::Incremental)).collect();
            assert!(both.agree(&encode(&mut encoder, &fields)), "{}", case.name);
        }
    }
}
