//! HPACK against the RFC's examples and the stories of hpack-test-case, and against blocks that must be refused.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "hello/corpora.rs"]
mod corpora;
#[path = "hpack/story.rs"]
mod story;

use corpora::unhex;
use penstock_core::http2::hpack::{Decoder, Encoder, Form, HpackFault, OverLimit, SizeUpdates, literal};
use story::{Pair, decode, encode, pairs, stories, table_of};

fn pair(name: &str, value: &str) -> Pair {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

/// A field of the appendix, `name: value`, which may begin with a colon.
fn line(text: &str) -> Pair {
    let (name, value) = text[1..].split_once(": ").unwrap();
    pair(&text[..=name.len()], value)
}

fn lines(text: &str) -> Vec<Pair> {
    text.lines().map(|text| line(text.trim())).collect()
}

/// A block in hexadecimal, with spaces.
fn hex(text: &str) -> Vec<u8> {
    unhex(&text.split_whitespace().collect::<String>())
}

const REQUESTS: [&str; 3] = [
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com",
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache",
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value",
];
const REQUEST_TABLE: &str = "custom-key: custom-value\ncache-control: no-cache\n:authority: www.example.com";
const RESPONSES: [&str; 3] = [
    ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
    ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
    ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\n\
     content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
];
const RESPONSE_TABLE: &str = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n\
     content-encoding: gzip\ndate: Mon, 21 Oct 2013 20:13:22 GMT";

/// C.3 and C.4: requests, plain and with the Huffman code.
const REQUESTS_PLAIN: [&str; 3] = [
    "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
    "8286 84be 5808 6e6f 2d63 6163 6865",
    "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
];
const REQUESTS_HUFFMAN: [&str; 3] = [
    "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
    "8286 84be 5886 a8eb 1064 9cbf",
    "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
];
/// C.5 and C.6: answers, with a table of 256 bytes.
const RESPONSES_PLAIN: [&str; 3] = [
    "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d \
     546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
    "4803 3330 37c1 c0bf",
    "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f \
     6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b \
     2076 6572 7369 6f6e 3d31",
];
const RESPONSES_HUFFMAN: [&str; 3] = [
    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 \
     8f0b 97c8 e9ae 82ae 43d3",
    "4883 640e ffc1 c0bf",
    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 \
     dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
];
/// Three blocks, their fields, the table behind them, and how the receiver begins.
type Connection = ([String; 3], [&'static str; 3], &'static str, fn() -> Decoder);

/// A change of the table's size to 256.
const TO_256: &str = "3f e101";

fn with_256() -> Decoder {
    let mut decoder = Decoder::new();
    decoder.set_size_limit(256);
    decoder
}

#[test]
fn examples_of_rfc_7541_c_2() {
    let cases = [
        (
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            "custom-key: custom-header",
            Form::Incremental,
        ),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path", Form::Plain),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret", Form::NeverIndexed),
        ("82", ":method: GET", Form::Indexed),
    ];
    for (block, text, form) in cases {
        let (fields, summary) = decode(&mut Decoder::new(), &hex(block)).unwrap();
        assert_eq!((fields[0].pair(), fields[0].form, fields.len()), (line(text), form, 1));
        assert_eq!(summary.table_changed, form == Form::Incremental);
        let table = table_of(Decoder::new, &[hex(block)]);
        assert_eq!(table, if summary.table_changed { vec![line(text)] } else { vec![] });
    }
}

#[test]
fn examples_of_rfc_7541_c_3_to_c_6() {
    let update = |blocks: [&str; 3]| [format!("{TO_256} {}", blocks[0]), blocks[1].to_owned(), blocks[2].to_owned()];
    let own = |blocks: [&str; 3]| blocks.map(str::to_owned);
    let cases: [Connection; 4] = [
        (own(REQUESTS_PLAIN), REQUESTS, REQUEST_TABLE, Decoder::new),
        (own(REQUESTS_HUFFMAN), REQUESTS, REQUEST_TABLE, Decoder::new),
        (update(RESPONSES_PLAIN), RESPONSES, RESPONSE_TABLE, with_256),
        (update(RESPONSES_HUFFMAN), RESPONSES, RESPONSE_TABLE, with_256),
    ];
    for (blocks, texts, table, new) in cases {
        let mut decoder = new();
        let blocks = blocks.map(|block| hex(&block));
        for (block, text) in blocks.iter().zip(texts) {
            assert_eq!(pairs(&mut decoder, block).unwrap(), lines(text));
        }
        assert_eq!(table_of(new, &blocks), lines(table));
    }
}

#[test]
fn the_encoder_writes_the_blocks_of_rfc_7541_c_4_and_c_6() {
    // The appendix codes `307` although that saves nothing.
    let responses = [RESPONSES_HUFFMAN[0], RESPONSES_PLAIN[1], RESPONSES_HUFFMAN[2]];
    for (texts, blocks, size) in [(REQUESTS, REQUESTS_HUFFMAN, 4_096), (RESPONSES, responses, 256)] {
        let mut encoder = Encoder::new(size);
        let mut start = vec![];
        encoder.begin(&mut start);
        assert_eq!(start, hex(if size == 256 { "20 3fe101" } else { "20 3fe11f" }));
        for (text, block) in texts.into_iter().zip(blocks) {
            let fields: Vec<_> = lines(text).into_iter().map(|field| (field, Form::Incremental)).collect();
            assert_eq!(encode(&mut encoder, &fields), hex(block));
        }
    }
}

#[test]
fn stories_of_other_encoders_are_read_and_written_again() {
    let (mut blocks, mut read_bytes, mut written_bytes) = (0, 0, 0);
    for story in ["go-hpack", "nghttp2", "nghttp2-change-table-size"].into_iter().flat_map(stories) {
        let (mut decoder, mut receiver) = (Decoder::new(), Decoder::new());
        let mut encoder = Encoder::new(decoder.table_size_max());
        for case in story {
            for decoder in [&mut decoder, &mut receiver] {
                case.table_size.into_iter().for_each(|size| decoder.set_size_limit(size));
            }
            let mut written = vec![];
            encoder.follow(&SizeUpdates::parse(&case.wire).unwrap());
            encoder.begin(&mut written);
            let (fields, _) = decode(&mut decoder, &case.wire).unwrap();
            for field in &fields {
                encoder.encode(&field.name, &field.value, field.form, &mut written);
            }
            let read: Vec<Pair> = fields.iter().map(|field| field.pair()).collect();
            assert_eq!(read, case.fields, "{}", case.name);
            let again = pairs(&mut receiver, &written);
            assert_eq!(again.as_ref(), Ok(&case.fields), "{}", case.name);
            assert_eq!(receiver.table_size_max(), decoder.table_size_max());
            blocks += 1;
            read_bytes += case.wire.len();
            written_bytes += written.len();
        }
    }
    println!("{blocks} blocks of {read_bytes} bytes, written again in {written_bytes}");
    // An encoder that indexes nothing writes about three times as much.
    assert!(written_bytes <= read_bytes * 11 / 10);
}

#[test]
fn stories_are_written_from_nothing() {
    for story in stories("raw-data") {
        let (mut receiver, mut encoder) = (Decoder::new(), Encoder::new(4_096));
        for case in story {
            let fields: Vec<_> = case.fields.iter().map(|field| (field.clone(), Form::Incremental)).collect();
            let block = encode(&mut encoder, &fields);
            assert_eq!(pairs(&mut receiver, &block).as_ref(), Ok(&case.fields), "{}", case.name);
        }
    }
}

#[test]
fn every_prefix_is_refused_or_is_the_first_fields() {
    let answer = [hex(TO_256), hex(RESPONSES_HUFFMAN[0]), hex("10 03616263 81 1f")].concat();
    for block in [answer, hex(REQUESTS_PLAIN[2]), hex(REQUESTS_HUFFMAN[2])] {
        let primed = || {
            let mut decoder = Decoder::new();
            decode(&mut decoder, &hex(REQUESTS_PLAIN[0])).unwrap();
            decode(&mut decoder, &hex(REQUESTS_PLAIN[1])).unwrap();
            decoder
        };
        let (fields, _) = decode(&mut primed(), &block).unwrap();
        let ends: Vec<usize> = fields.iter().map(|field| field.span.1).collect();
        for end in 0..block.len() {
            match decode(&mut primed(), &block[..end]) {
                Ok((read, summary)) => {
                    assert!(end == 0 || end == summary.size_updates_end || ends.contains(&end));
                    assert_eq!(read, fields[..read.len()]);
                }
                Err(fault) => assert_eq!(fault, HpackFault::Truncated),
            }
        }
    }
}

#[test]
fn h089_indices_past_the_tables_are_refused() {
    for (block, expected) in [
        ("80", Err(HpackFault::IndexUnknown)),
        ("be", Err(HpackFault::IndexUnknown)),
        ("7e 00", Err(HpackFault::IndexUnknown)),
        ("0f 2f 00", Err(HpackFault::IndexUnknown)),
        ("1f 2f 00", Err(HpackFault::IndexUnknown)),
        ("ff 00", Err(HpackFault::IndexUnknown)),
        ("ff ffffff7f", Err(HpackFault::IndexUnknown)),
        ("ff ffffffff 0f", Err(HpackFault::IntegerOverflow)),
        ("ff 80808080 00", Err(HpackFault::IntegerOverflow)),
        ("00 7f ffffffff 0f", Err(HpackFault::IntegerOverflow)),
        ("3f ffffffff 0f", Err(HpackFault::IntegerOverflow)),
        ("bd", Ok(vec![pair("www-authenticate", "")])),
    ] {
        assert_eq!(pairs(&mut Decoder::new(), &hex(block)), expected, "{block}");
    }
    // One entry: index 62 is known, 63 is not, and a fault is for good.
    let mut decoder = Decoder::new();
    pairs(&mut decoder, &hex("40 0161 0162")).unwrap();
    assert_eq!(pairs(&mut decoder, &hex("be")), Ok(vec![pair("a", "b")]));
    assert_eq!(pairs(&mut decoder, &hex("bf")), Err(HpackFault::IndexUnknown));
    assert_eq!(pairs(&mut decoder, &hex("be")), Err(HpackFault::IndexUnknown));
}

#[test]
fn h089_changes_of_the_tables_size() {
    let refused = |decoder: &mut Decoder, block: &str| pairs(decoder, &hex(block)).unwrap_err();
    // To 4,096 is allowed, to 4,097 is not; neither stands behind a field; two are allowed, three are not.
    assert!(pairs(&mut Decoder::new(), &hex("3fe11f 82")).is_ok());
    assert_eq!(refused(&mut Decoder::new(), "3fe21f 82"), HpackFault::SizeUpdateTooLarge);
    assert_eq!(refused(&mut Decoder::new(), "3fe21f 20 82"), HpackFault::SizeUpdateTooLarge);
    assert_eq!(refused(&mut Decoder::new(), "82 20"), HpackFault::SizeUpdateLate);
    assert_eq!(refused(&mut Decoder::new(), "82 20 82"), HpackFault::SizeUpdateLate);
    assert!(pairs(&mut Decoder::new(), &hex("20 3fe11f 82")).is_ok());
    assert_eq!(refused(&mut Decoder::new(), "20 3fe11f 20 82"), HpackFault::SizeUpdateMany);
    assert_eq!(refused(&mut Decoder::new(), "3fe1"), HpackFault::Truncated);
}

#[test]
fn h089_a_lower_limit_is_obeyed_at_once() {
    let refused = |decoder: &mut Decoder, block: &str| pairs(decoder, &hex(block)).unwrap_err();
    assert_eq!(refused(&mut with_256(), "82"), HpackFault::SizeUpdateMissing);
    assert_eq!(refused(&mut with_256(), "3fe11f 82"), HpackFault::SizeUpdateMissing);
    assert_eq!(refused(&mut with_256(), "3fe201 82"), HpackFault::SizeUpdateMissing);
    assert_eq!(refused(&mut with_256(), "20 3fe201 82"), HpackFault::SizeUpdateTooLarge);
    assert!(pairs(&mut with_256(), &hex("3fe101 82")).is_ok());
    assert!(pairs(&mut with_256(), &hex("20 82")).is_ok());
    // Lowered and raised again between two blocks: the lowest has to be told all the same, once.
    let raised = || {
        let mut decoder = with_256();
        decoder.set_size_limit(8_192);
        decoder
    };
    assert_eq!(refused(&mut raised(), "3fe13f 82"), HpackFault::SizeUpdateMissing);
    let mut decoder = raised();
    assert!(pairs(&mut decoder, &hex("3fe101 3fe13f 82")).is_ok());
    assert_eq!(decoder.table_size_max(), 8_192);
    assert!(pairs(&mut decoder, &hex("82")).is_ok());
    // A limit over the largest table is that table.
    decoder.set_size_limit(usize::MAX);
    assert_eq!(refused(&mut decoder, "3fe2ff03 82"), HpackFault::SizeUpdateTooLarge);
}

#[test]
fn h089_strings_of_the_huffman_code() {
    for (block, fault) in [
        ("00 0161 81 ff", HpackFault::HuffmanPadding),
        ("00 0161 81 00", HpackFault::HuffmanPadding),
        ("00 0161 82 07ff", HpackFault::HuffmanPadding),
        ("00 0161 84 ffffffff", HpackFault::HuffmanEnd),
        ("00 0161 84 fffffffc", HpackFault::HuffmanEnd),
        ("40 84 ffffffff 0161", HpackFault::HuffmanEnd),
        ("00 0161 82 07", HpackFault::Truncated),
        ("00 0161", HpackFault::Truncated),
        ("00", HpackFault::Truncated),
    ] {
        assert_eq!(pairs(&mut Decoder::new(), &hex(block)), Err(fault), "{block}");
    }
    assert_eq!(pairs(&mut Decoder::new(), &hex("00 0161 80")), Ok(vec![pair("a", "")]));
}

/// A block that enters a field of `bytes` and then names it `times` times.
fn bomb(bytes: usize, times: usize) -> Vec<u8> {
    let mut block = vec![];
    let mut encoder = Encoder::new(65_536);
    encoder.begin(&mut block);
    encoder.encode(b"bomb", &vec![b'&'; bytes - 36], Form::Incremental, &mut block);
    block.extend(vec![0xbe; times]);
    block
}

fn with_largest() -> Decoder {
    let mut decoder = Decoder::new();
    decoder.set_size_limit(65_536);
    decoder
}

#[test]
fn h079_a_bomb_of_references_is_bounded_and_the_table_stays_right() {
    let mut decoder = with_largest();
    let mut block = bomb(4_000, 60_000);
    block.extend(hex("40 056166746572 0162"));
    let (fields, summary) = decode(&mut decoder, &block).unwrap();
    assert_eq!(summary.over_limit, Some(OverLimit::ListBytes));
    assert_eq!(fields.len(), 65_536 / 4_000);
    assert!(summary.list_bytes <= 65_536);
    // The next block is read with what the field behind the bomb left.
    assert_eq!(pairs(&mut decoder, &hex("be")), Ok(vec![pair("after", "b")]));
    let (fields, summary) = decode(&mut decoder, &hex("bf")).unwrap();
    assert_eq!((fields[0].value.len(), summary.over_limit), (4_000 - 36, None));
}

#[test]
fn h079_a_bomb_of_copies_is_given_up() {
    // Each two bytes ask for a copy of a long name.
    let mut block = hex("3fe1ff03 40");
    block.extend(hex("7f b1ee01"));
    let name = vec![b'&'; 127 + 0x31 + (0x6e << 7) + (1 << 14)];
    block.extend_from_slice(&name);
    block.extend(hex("00"));
    assert!(decode(&mut with_largest(), &block).is_ok());
    block.extend(hex("7e 00").repeat(16));
    let (fields, summary) = decode(&mut with_largest(), &block).unwrap();
    assert_eq!((fields.len(), summary.over_limit), (2, Some(OverLimit::ListBytes)));
    block.extend(hex("7e 00").repeat(1_000));
    assert_eq!(pairs(&mut with_largest(), &block), Err(HpackFault::TableChurn));
}

#[test]
fn h080_a_bomb_of_small_fields_is_counted() {
    // Crumbs of one cookie, from the table: 35 bytes each, so the count is what stops them.
    let mut decoder = Decoder::new();
    let block = [hex("82 60 0361 3d62"), hex("be").repeat(126)].concat();
    let (fields, summary) = decode(&mut decoder, &block).unwrap();
    assert_eq!((fields.len(), summary.over_limit), (128, None));
    let block = [hex("82 60 0361 3d62"), hex("be").repeat(60_000)].concat();
    let (fields, summary) = decode(&mut decoder, &block).unwrap();
    assert_eq!((fields.len(), summary.over_limit), (128, Some(OverLimit::Fields)));
}

#[test]
fn forms_are_kept() {
    let mut encoder = Encoder::new(4_096);
    let secret = pair("authorization", "Bearer one");
    let forms =
        [Form::NeverIndexed, Form::Plain, Form::NeverIndexed, Form::Incremental, Form::NeverIndexed, Form::Indexed];
    let fields: Vec<_> = forms.iter().map(|&form| (secret.clone(), form)).collect();
    let block = encode(&mut encoder, &fields);
    let (told, _) = decode(&mut Decoder::new(), &block).unwrap();
    assert!(told.iter().all(|field| field.pair() == secret));
    assert_eq!(told.iter().map(|field| field.form).collect::<Vec<_>>(), forms);
    // What is larger than the table does not empty it.
    let large = (pair("large", &"&".repeat(4_096)), Form::Incremental);
    let mut decoder = Decoder::new();
    decode(&mut decoder, &block).unwrap();
    let block = encode(&mut encoder, &[large, (secret, Form::Incremental)]);
    let (told, _) = decode(&mut decoder, &block).unwrap();
    assert_eq!(told.iter().map(|field| field.form).collect::<Vec<_>>(), [Form::Plain, Form::Indexed]);
}

#[test]
fn a_literal_is_right_in_any_block() {
    for never_indexed in [false, true] {
        let mut block = vec![];
        for (name, value) in [("accept", "*/*"), (":path", "/"), ("restrict-access-context", "bbbb-cccc"), ("x", "")] {
            literal(name.as_bytes(), value.as_bytes(), never_indexed, &mut block);
        }
        let (fields, summary) = decode(&mut Decoder::new(), &block).unwrap();
        assert!(!summary.table_changed);
        assert_eq!(fields[2].pair(), pair("restrict-access-context", "bbbb-cccc"));
        let form = if never_indexed { Form::NeverIndexed } else { Form::Plain };
        assert!(fields.iter().all(|field| field.form == form));
    }
}

#[test]
fn an_encoder_tells_the_lowest_size_and_the_last() {
    let mut encoder = Encoder::new(4_096);
    encode(&mut encoder, &[]);
    assert_eq!(encode(&mut encoder, &[]), b"");
    encoder.set_table_size_max(100);
    encoder.set_table_size_max(0);
    encoder.set_table_size_max(256);
    assert_eq!(encoder.table_size_max(), 256);
    assert_eq!(encode(&mut encoder, &[]), hex("20 3fe101"));
    encoder.set_table_size_max(0);
    assert_eq!(encode(&mut encoder, &[]), hex("20"));
    assert_eq!(encode(&mut Encoder::new(0), &[]), hex("20"));
}
