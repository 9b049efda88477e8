//! JA4 against the values that its authors and users publish, from hellos made to have the published lists.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "hello/builder.rs"]
mod builder;
#[path = "hello/cuts.rs"]
mod cuts;

use builder::{Hello, alpn, vector};

const CHROME_SUITES: &[u16] = &[
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f,
    0x0035,
];
const CHROME_SCHEMES: &[u16] = &[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];

fn words(list: &[u16]) -> Vec<u8> {
    list.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A hello with these extension types, whose bodies are right where JA4 reads them.
fn hello(suites: &[u16], types: &[u16], schemes: &[u16]) -> Hello {
    let plain = Hello { cipher_suites: suites.to_vec(), ..Hello::default() };
    types.iter().fold(plain, |hello, &kind| match kind {
        0 => hello.with_name(b"login.example.com"),
        13 => hello.with(13, vector(&words(schemes))),
        16 => hello.with(16, alpn(&[b"h2", b"http/1.1"])),
        43 => hello.with(43, [&[6][..], &words(&[0x0a0a, 0x0304, 0x0303])].concat()),
        _ => hello.with(kind, []),
    })
}

fn ja4(hello: &Hello) -> String {
    cuts::ja4(&hello.wire())
}

#[test]
fn published_lists_have_their_published_fingerprints() {
    // technical_details/JA4.md: Chrome, in the order it was captured.
    let types = [0x1b, 0, 0x33, 0x10, 0x4469, 0x17, 0x2d, 0x0d, 0x05, 0x23, 0x12, 0x2b, 0xff01, 0x0b, 0x0a, 0x15];
    assert_eq!(ja4(&hello(CHROME_SUITES, &types, CHROME_SCHEMES)), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    // Chrome 143, with ECH and without padding.
    let types = [0x2d, 0x33, 0x10, 0xfe0d, 0x17, 0x44cd, 0, 0x0b, 0x0a, 0x2b, 0xff01, 0x23, 0x12, 0x05, 0x0d, 0x1b];
    assert_eq!(ja4(&hello(CHROME_SUITES, &types, CHROME_SCHEMES)), "t13d1516h2_8daaf6152771_d8a2da3f94cd");
}

#[test]
fn reserved_values_are_left_out_everywhere() {
    let types = [0x1b, 0, 0x33, 0x10, 0x4469, 0x17, 0x2d, 0x0d, 0x05, 0x23, 0x12, 0x2b, 0xff01, 0x0b, 0x0a, 0x15];
    let suites = [&[0x3a3a], CHROME_SUITES].concat();
    let schemes = [&[0x0a0a], CHROME_SCHEMES].concat();
    let hello = hello(&suites, &[&[0xfafa], &types[..], &[0x0a0a]].concat(), &schemes);
    assert_eq!(ja4(&hello), "t13d1516h2_8daaf6152771_e5627efa2ab1");
}

#[test]
fn what_is_absent_is_written_as_zeros() {
    let bare = hello(&[0x0a0a], &[], &[]);
    assert_eq!(ja4(&bare), "t12i000000_000000000000_000000000000");
    let old = Hello { legacy_version: 0x0300, cipher_suites: vec![0x002f], ..Hello::default() };
    // SHA-256 of "002f".
    assert_eq!(ja4(&old), "ts3i010000_ba72b8082249_000000000000");
    // The host name and ALPN count, but are not hashed.
    assert_eq!(&ja4(&hello(&[0x0a0a], &[0, 16], &[])), "t12d0002h2_000000000000_000000000000");
}

#[test]
fn the_version_is_the_highest_offered() {
    let version = |legacy_version, list: &[u16]| {
        let length = u8::try_from(2 * list.len()).unwrap();
        let hello = Hello { legacy_version, ..Hello::default() }.with(43, [&[length][..], &words(list)].concat());
        ja4(&hello)[1..3].to_owned()
    };
    assert_eq!(version(0x0303, &[0xfafa, 0x0302, 0x0304]), "13");
    assert_eq!(version(0x0303, &[0x0301, 0x0302]), "11");
    assert_eq!(version(0x0303, &[0x7f1c, 0x0303]), "00");
    for (legacy, text) in
        [(0x0303, "12"), (0x0302, "11"), (0x0301, "10"), (0x0300, "s3"), (0x0002, "s2"), (0x0405, "00")]
    {
        assert_eq!(&ja4(&Hello { legacy_version: legacy, ..Hello::default() })[1..3], text);
    }
}

#[test]
fn the_first_alpn_name_gives_its_ends_or_those_of_its_hexadecimal_form() {
    // The examples of technical_details/JA4.md, "ALPN Extension Value".
    let ends = |name: &[u8]| ja4(&Hello::default().with(16, alpn(&[name, b"h2"])))[8..10].to_owned();
    assert_eq!(ends(b"http/1.1"), "h1");
    assert_eq!(ends(b"q"), "qq");
    assert_eq!(ends(b""), "00");
    assert_eq!(ends(&[0xab]), "ab");
    assert_eq!(ends(&[0xab, 0xcd]), "ad");
    assert_eq!(ends(&[0x30, 0xab]), "3b");
    assert_eq!(ends(&[0x30, 0x31, 0xab, 0xcd]), "3d");
    assert_eq!(ends(&[0x30, 0xab, 0xcd, 0x31]), "01");
}

#[test]
fn counts_stop_at_99() {
    let many = Hello { cipher_suites: (0..120).collect(), ..Hello::default() };
    let many = (0..110).fold(many, |hello, index| hello.with(0x2000 + index, []));
    assert_eq!(&ja4(&many)[4..8], "9999");
}
