//! Feeds one hello to the reader in every way that a network may cut it, and insists on one answer.
#![allow(dead_code, reason = "each test file uses its part")]

use penstock_core::bytes::Parsed;
use penstock_core::tls::{ClientHello, ClientHelloReader, Ech, HelloReject};

/// All that the reader says about a hello, in a form that outlives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) sni: Option<String>,
    pub(crate) sni_is_address: bool,
    pub(crate) legacy_version: u16,
    pub(crate) version_max: u16,
    pub(crate) session_id: Vec<u8>,
    pub(crate) ech: Option<Ech>,
    pub(crate) has_esni: bool,
    pub(crate) has_early_data: bool,
    pub(crate) has_pre_shared_key: bool,
    pub(crate) cipher_suites: Vec<u16>,
    pub(crate) extensions: Vec<u16>,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) key_share_groups: Vec<u16>,
}

impl Facts {
    fn of(hello: &ClientHello<'_>) -> Self {
        Self {
            sni: hello.sni.as_ref().map(ToString::to_string),
            sni_is_address: hello.sni_is_address,
            legacy_version: hello.legacy_version,
            version_max: hello.version_max(),
            session_id: hello.session_id.to_vec(),
            ech: hello.ech,
            has_esni: hello.has_esni,
            has_early_data: hello.has_early_data,
            has_pre_shared_key: hello.has_pre_shared_key,
            cipher_suites: hello.cipher_suites().collect(),
            extensions: hello.extensions().map(|(kind, _)| kind).collect(),
            alpn: hello.alpn().map(<[u8]>::to_vec).collect(),
            key_share_groups: hello.key_share_groups().collect(),
        }
    }
}

pub(crate) type Answer = Parsed<Facts, HelloReject>;

/// What `reader` says about `input`.
pub(crate) fn ask(reader: &mut ClientHelloReader, input: &[u8]) -> Answer {
    match reader.handle_bytes(input) {
        Parsed::Complete { value, consumed } => Parsed::Complete { value: Facts::of(&value), consumed },
        Parsed::Incomplete { more_bytes_min } => Parsed::Incomplete { more_bytes_min },
        Parsed::Reject(reject) => Parsed::Reject(reject),
    }
}

/// What a new reader says about `input` in one go.
pub(crate) fn read(input: &[u8]) -> Answer {
    ask(&mut ClientHelloReader::new(), input)
}

/// The facts of a hello that must be right.
pub(crate) fn facts(input: &[u8]) -> Facts {
    match read(input) {
        Parsed::Complete { value, .. } => value,
        other => panic!("{other:?}"),
    }
}

/// The fingerprint of a hello that must be right.
pub(crate) fn ja4(input: &[u8]) -> String {
    ClientHelloReader::new().handle_bytes(input).complete().unwrap().ja4()
}

/// The refusal of bytes that must be refused, cut as they may be.
pub(crate) fn reject(input: &[u8]) -> HelloReject {
    match check_segments(input) {
        Parsed::Reject(reject) => reject,
        other => panic!("{other:?}"),
    }
}

/// Every prefix says "more" until one byte, then the same for all longer; more is never asked than is needed; a reader that
/// is fed byte by byte, or in two pieces cut anywhere, says the same. Gives that answer.
pub(crate) fn check_segments(input: &[u8]) -> Answer {
    let answer = read(input);
    let decided = (0..=input.len()).find(|&end| !read(&input[..end]).is_incomplete()).unwrap_or(usize::MAX);
    let mut by_byte = ClientHelloReader::new();
    for end in 0..=input.len() {
        let prefix = &input[..end];
        let fresh = read(prefix);
        assert_eq!(ask(&mut by_byte, prefix), fresh, "byte by byte, {end}");
        assert_eq!(ask(&mut by_byte, prefix), fresh, "asked again, {end}");
        match fresh {
            Parsed::Incomplete { more_bytes_min } => {
                assert!(more_bytes_min > 0 && end + more_bytes_min <= decided, "{end} + {more_bytes_min} > {decided}");
            }
            other => assert_eq!(other, answer, "prefix {end}"),
        }
        let mut in_two = ClientHelloReader::new();
        let _ = ask(&mut in_two, prefix);
        assert_eq!(ask(&mut in_two, input), answer, "cut at {end}");
    }
    answer
}

/// The facts are the same with the message in records of one byte, and in two records cut anywhere.
pub(crate) fn check_records(message: &[u8], facts: &Facts) {
    use super::builder::{record, records};
    let tail = b"what follows";
    let check = |wire: Vec<u8>| {
        let expected = Parsed::Complete { value: facts.clone(), consumed: wire.len() };
        assert_eq!(read(&[wire.as_slice(), tail].concat()), expected);
    };
    check(records(message, 1));
    for cut in 1..message.len() {
        let (head, rest) = message.split_at(cut);
        if head.len().max(rest.len()) <= 16_384 {
            check([record(22, head), record(22, rest)].concat());
        }
    }
}
