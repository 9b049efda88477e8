//! Hostile cases of ClientHello and host name that the reader alone decides, one test each, by the case's number.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "hello/builder.rs"]
mod builder;
#[path = "hello/cuts.rs"]
mod cuts;

use builder::{Hello, alpn, message, record, records, server_name, vector};
use penstock_core::bytes::Parsed;
use penstock_core::limits::{
    CLIENT_HELLO_BYTES_MAX, CLIENT_HELLO_CIPHER_SUITES_MAX, CLIENT_HELLO_EXTENSIONS_MAX, CLIENT_HELLO_INPUT_BYTES_MAX,
    HELLO_STRAY_RECORDS_MAX,
};
use penstock_core::tls::{ClientHelloReader, Ech, HelloReject};

const NAME: &[u8] = b"login.example.com";
const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const CHANGE_CIPHER_SPEC: u8 = 20;
const PADDING: u16 = 21;
const ALPN: u16 = 16;
const ECH: u16 = 0xfe0d;
const ESNI: u16 = 0xffce;

fn named() -> Hello {
    Hello::default().with(10, vector(&[0, 29])).with_name(NAME).with(ALPN, alpn(&[b"h2", b"http/1.1"]))
}

/// A hello whose message, header included, has exactly `bytes` bytes; the name comes last.
fn sized(bytes: usize) -> Hello {
    let bare = Hello::default().with(PADDING, []).with_name(NAME).message().len();
    Hello::default().with(PADDING, vec![0; bytes - bare]).with_name(NAME)
}

fn sni(wire: &[u8]) -> Option<String> {
    cuts::facts(wire).sni
}

#[test]
fn h001_a_hello_cut_at_any_byte_reads_the_same() {
    let wire = [named().wire().as_slice(), b"GET / HTTP/1.1\r\n\r\n"].concat();
    let Parsed::Complete { value, consumed } = cuts::check_segments(&wire) else { panic!() };
    assert_eq!(value.sni.as_deref(), Some("login.example.com"));
    assert_eq!(consumed, wire.len() - 18);
}

#[test]
fn h002_a_hello_over_many_records_is_read_whole() {
    let hello = named();
    let facts = cuts::facts(&hello.wire());
    cuts::check_records(&hello.message(), &facts);
    let Parsed::Complete { value, .. } = cuts::check_segments(&records(&hello.message(), 1)) else { panic!() };
    assert_eq!(value, facts);
    // Never taken for whole while one record is missing.
    let wire = records(&hello.message(), 7);
    assert!((0..wire.len()).all(|end| cuts::read(&wire[..end]).is_incomplete()));
}

#[test]
fn h003_stray_records_before_a_hello_are_few() {
    let hello = named().wire();
    let empty = record(HANDSHAKE, &[]);
    let warning = record(ALERT, &[1, 90]);
    let change = record(CHANGE_CIPHER_SPEC, &[1]);
    for stray in [&empty, &warning, &change] {
        let few = [stray.repeat(HELLO_STRAY_RECORDS_MAX), hello.clone()].concat();
        assert_eq!(sni(&few).as_deref(), Some("login.example.com"));
        let many = [stray.repeat(HELLO_STRAY_RECORDS_MAX + 1), hello.clone()].concat();
        assert_eq!(cuts::reject(&many), HelloReject::StrayRecords);
        // An endless stream is refused by its first bytes.
        assert_eq!(cuts::read(&stray.repeat(100_000)), Parsed::Reject(HelloReject::StrayRecords));
    }
    let mixed = [empty.as_slice(), &warning, &change, &empty, &change, &hello].concat();
    assert_eq!(cuts::reject(&mixed), HelloReject::StrayRecords);

    // Empty fragments count between fragments too; other records must not stand there.
    let (head, tail) = (record(HANDSHAKE, &named().message()[..9]), record(HANDSHAKE, &named().message()[9..]));
    let few = [head.clone(), empty.repeat(HELLO_STRAY_RECORDS_MAX), tail.clone()].concat();
    assert!(matches!(cuts::check_segments(&few), Parsed::Complete { .. }));
    let many = [head.clone(), empty.repeat(HELLO_STRAY_RECORDS_MAX + 1), tail.clone()].concat();
    assert_eq!(cuts::reject(&many), HelloReject::StrayRecords);
    for stray in [warning, change] {
        assert_eq!(cuts::reject(&[head.clone(), stray, tail.clone()].concat()), HelloReject::InterleavedRecord);
    }
    for (kind, payload) in [(ALERT, &[2, 40][..]), (ALERT, &[1, 0]), (ALERT, &[3, 1])] {
        assert_eq!(cuts::reject(&record(kind, payload)), HelloReject::ClientAlert);
    }
    for (kind, payload) in [(ALERT, &[1][..]), (ALERT, &[]), (CHANGE_CIPHER_SPEC, &[2]), (CHANGE_CIPHER_SPEC, &[1, 1])]
    {
        assert_eq!(cuts::reject(&record(kind, payload)), HelloReject::MalformedRecord);
    }
}

#[test]
fn h004_a_long_hello_is_read_up_to_the_bound_and_refused_beyond() {
    for bytes in [11_414, 16_384, 16_385, 65_535, CLIENT_HELLO_BYTES_MAX] {
        let hello = sized(bytes);
        assert_eq!(hello.message().len(), bytes);
        assert_eq!(sni(&hello.wire()).as_deref(), Some("login.example.com"), "{bytes}");
    }
    let beyond = sized(CLIENT_HELLO_BYTES_MAX + 1).wire();
    assert_eq!(cuts::read(&beyond), Parsed::Reject(HelloReject::TooLong));
    // The length alone tells; its bytes are not waited for.
    assert_eq!(cuts::read(&beyond[..9]), Parsed::Reject(HelloReject::TooLong));
    assert_eq!(cuts::reject(&record(HANDSHAKE, &[1, 0xff, 0xff, 0xff])), HelloReject::TooLong);
    // Nor does cutting it finely make the reader hold more.
    let fine = records(&sized(CLIENT_HELLO_BYTES_MAX).message(), 1);
    assert_eq!(cuts::read(&fine), Parsed::Reject(HelloReject::TooLong));
    assert_eq!(cuts::read(&fine[..CLIENT_HELLO_INPUT_BYTES_MAX + 5]), Parsed::Reject(HelloReject::TooLong));
    assert_eq!(cuts::reject(&[22, 3, 1, 0x40, 0x01]), HelloReject::RecordTooLong);
}

#[test]
fn h005_the_name_is_found_behind_everything_else() {
    // A post-quantum share and padding push it beyond the first segment.
    let key_share = vector(&[&[0x11, 0xec][..], &vector(&[9; 1216])].concat());
    let hello = Hello::default().with(51, key_share).with(PADDING, vec![0; 500]).with_name(NAME);
    let wire = hello.wire();
    assert!(wire.len() > 1_700);
    let Parsed::Complete { value, .. } = cuts::check_segments(&wire) else { panic!() };
    assert_eq!(value.sni.as_deref(), Some("login.example.com"));
    assert_eq!(value.key_share_groups, [0x11ec]);
}

#[test]
fn h006_two_server_name_extensions_are_refused() {
    for (first, second) in [(NAME, &b"innocent.example"[..]), (b"innocent.example", NAME), (NAME, NAME)] {
        let hello = Hello::default().with_name(first).with(23, []).with_name(second);
        assert_eq!(cuts::reject(&hello.wire()), HelloReject::TwoServerNames);
    }
    // No other type may stand twice either, whether common or not.
    for kind in [ALPN, PADDING, 43, 51, 64, 0x0a0a, ECH, 0xffff] {
        let hello = named();
        let twice = Hello { extensions: vec![], ..hello }.with(kind, [0, 0]).with(23, []).with(kind, [0, 0]);
        assert_eq!(cuts::reject(&twice.wire()), HelloReject::DuplicateExtension, "{kind}");
    }
}

#[test]
fn h007_a_server_name_list_with_anything_but_one_host_name_is_refused() {
    let list = |names: &[(u8, &[u8])]| Hello::default().with(0, server_name(names)).wire();
    assert_eq!(cuts::reject(&list(&[(0, NAME), (0, b"innocent.example")])), HelloReject::TwoServerNames);
    assert_eq!(cuts::reject(&list(&[(0, NAME), (7, b"x")])), HelloReject::TwoServerNames);
    assert_eq!(cuts::reject(&list(&[(7, b"x"), (0, NAME)])), HelloReject::MalformedServerName);
    assert_eq!(cuts::reject(&list(&[(255, NAME)])), HelloReject::MalformedServerName);
    assert_eq!(cuts::reject(&list(&[])), HelloReject::MalformedServerName);
    for broken in
        [&b""[..], &[0], &[0, 1, 0], &[0, 4, 0, 0, 9, b'a'], &[0, 9, 0, 0, 1, b'a'], &[0, 4, 0, 0, 1, b'a', 0]]
    {
        let hello = Hello::default().with(0, broken).wire();
        assert_eq!(cuts::reject(&hello), HelloReject::MalformedServerName, "{broken:?}");
    }
}

#[test]
fn h008_case_and_a_trailing_dot_make_no_other_name() {
    for name in [&b"LOGIN.EXAMPLE.COM"[..], b"Login.Example.Com", b"login.example.com.", b"LOGIN.example.COM."] {
        assert_eq!(sni(&Hello::default().with_name(name).wire()).as_deref(), Some("login.example.com"));
    }
}

#[test]
fn h009_bytes_that_no_name_has_are_refused() {
    let reject = |name: &[u8]| cuts::reject(&Hello::default().with_name(name).wire());
    let strange: [&[u8]; 12] = [
        b"login.example.com\0.evil.example",
        b"login.example.com\0",
        b"login example.com",
        b" login.example.com",
        b"login.example.com\n",
        b"login.example.com/",
        b"login.example.com:443",
        b"*.example.com",
        b"login\x7f.example.com",
        b"login.ex\xc3\xa4mple.com",
        b"\xff\xfe",
        b"[login.example.com]",
    ];
    for name in strange {
        assert_eq!(reject(name), HelloReject::SniCharacter, "{}", name.escape_ascii());
    }
    for name in [&b""[..], b".", b"..", b".login.example.com", b"login..example.com", b"login.example.com.."] {
        assert_eq!(reject(name), HelloReject::SniEmpty, "{}", name.escape_ascii());
    }
    let long_label = [&[b'a'; 64][..], b".example.com"].concat();
    let long_name = [b"a.".repeat(126), b"ab".to_vec()].concat();
    for name in [long_label, long_name, vec![b'a'; 60_000]] {
        let wire = Hello::default().with_name(&name).wire();
        assert_eq!(cuts::read(&wire), Parsed::Reject(HelloReject::SniTooLong));
    }
    let longest = [b"a.".repeat(126), b"a".to_vec()].concat();
    assert_eq!(sni(&Hello::default().with_name(&longest).wire()).map(|name| name.len()), Some(253));
}

#[test]
fn h010_no_name_and_an_address_are_told_apart_but_neither_is_a_name() {
    let nameless = cuts::facts(&Hello::default().wire());
    assert_eq!((nameless.sni, nameless.sni_is_address), (None, false));
    for address in ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "10.0.0.1.", "::1", "2001:db8::1", "[::1]"] {
        let facts = cuts::facts(&Hello::default().with_name(address.as_bytes()).wire());
        assert_eq!((facts.sni, facts.sni_is_address), (None, true), "{address}");
    }
}

#[test]
fn h011_a_labels_are_bytes_and_never_decoded() {
    for name in ["xn--login-.example.com", "xn--bcher-kva.example", "xn--.example", "XN--LOGIN-.example.com"] {
        let seen = sni(&Hello::default().with_name(name.as_bytes()).wire());
        assert_eq!(seen, Some(name.to_ascii_lowercase()));
        assert_ne!(seen.as_deref(), Some("login.example.com"));
    }
}

#[test]
fn h012_grease_ech_changes_nothing_else() {
    let plain = cuts::facts(&named().wire());
    let body = [&[0, 0, 1, 0, 1, 0x5c][..], &vector(&[3; 32]), &vector(&[4; 144])].concat();
    let grease = cuts::facts(&named().with(ECH, body).wire());
    assert_eq!((plain.ech, grease.ech), (None, Some(Ech::Outer)));
    assert_eq!(grease.sni, plain.sni);
    assert_eq!(cuts::facts(&named().with(ECH, [1]).wire()).ech, Some(Ech::Inner));
    for odd in [&[][..], &[7], &[1, 0], &[0]] {
        assert_eq!(cuts::facts(&named().with(ECH, odd).wire()).ech, Some(Ech::Outer));
    }
}

#[test]
fn h014_the_old_encrypted_name_does_not_hide_a_clear_one() {
    let both = cuts::facts(&named().with(ESNI, vec![9; 300]).wire());
    assert_eq!((both.sni.as_deref(), both.has_esni), (Some("login.example.com"), true));
    let alone = cuts::facts(&Hello::default().with(ESNI, vec![9; 300]).wire());
    assert_eq!((alone.sni, alone.has_esni), (None, true));
}

#[test]
fn h019_hellos_of_ssl_2_are_refused() {
    // RFC 5246 appendix E.2: length with its high bit set, type 1, the version that is really offered.
    let hello = [0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10];
    assert_eq!(cuts::reject(&hello), HelloReject::SslV2);
    assert_eq!(cuts::reject(&[0xff, 0xff, 1]), HelloReject::SslV2);
    assert!(cuts::read(&hello[..2]).is_incomplete());
    assert_eq!(cuts::reject(&[0x80, 0x2e, 4, 0, 2]), HelloReject::NotTls);
    let behind_a_stray = [record(ALERT, &[1, 90]).as_slice(), &hello].concat();
    assert_eq!(cuts::reject(&behind_a_stray), HelloReject::MalformedRecord);
}

#[test]
fn h020_other_protocols_are_known_by_their_first_byte() {
    let others: [&[u8]; 14] = [
        b"GET / HTTP/1.1\r\n",
        b"CONNECT login.example.com:443 HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"EHLO example.com\r\n",
        b"<?xml version='1.0'?>",
        b"\x00\x0e\x38\x01\x02\x03\x04\x05",
        b"\x03\x00\x00\x13\x0e\xe0",
        b"\x05\x01\x00",
        b"\x13BitTorrent protocol",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"\x19\x03\x01\x00\x05",
    ];
    for bytes in others {
        assert_eq!(cuts::reject(bytes), HelloReject::NotTls, "{}", bytes.escape_ascii());
        assert_eq!(cuts::read(&bytes[..1]), Parsed::Reject(HelloReject::NotTls));
    }
    // A server that speaks first leaves the client silent; only the deadline decides that.
    assert_eq!(cuts::read(b""), Parsed::Incomplete { more_bytes_min: 1 });
    // What looks like TLS but is none is never called another protocol, or a default might let it pass.
    for bytes in
        [&b"\x16GET"[..], b"\x16\xfe\xfd\0\0", b"\x17\x03\x03\0\x01x", b"\x18\x03\x03\0\x01x", b"\x15\x02", b"\x14\x04"]
    {
        assert_eq!(cuts::reject(bytes), HelloReject::MalformedRecord, "{}", bytes.escape_ascii());
    }
    for kind in [0, 2, 11, 16, 20, 254] {
        assert_eq!(cuts::reject(&record(HANDSHAKE, &message(kind, b"body"))), HelloReject::NotClientHello);
    }
}

#[test]
fn h022_any_alpn_is_read_as_far_as_it_goes() {
    let offered = |body: &[u8]| cuts::facts(&Hello::default().with_name(NAME).with(ALPN, body).wire()).alpn;
    assert_eq!(offered(&alpn(&[b"http/1.0"])), [b"http/1.0"]);
    assert_eq!(offered(&alpn(&[b"\xff\x00\xe9", b"h2"])), [&b"\xff\x00\xe9"[..], b"h2"]);
    assert!(offered(&alpn(&[])).is_empty());
    assert!(offered(&[]).is_empty());
    assert_eq!(offered(b"\x00\x05\x02h2\x09x"), [b"h2"]);
    assert!(offered(b"\x00\x09\x02h2").is_empty());
}

#[test]
fn h025_more_of_anything_than_a_client_has_is_refused() {
    let extensions = |count: u16| {
        let extensions = (0..count).map(|index| (0x4000 + index, vec![]));
        Hello { extensions: extensions.collect(), ..Hello::default() }.wire()
    };
    let most = u16::try_from(CLIENT_HELLO_EXTENSIONS_MAX).unwrap();
    assert_eq!(cuts::facts(&extensions(most)).extensions.len(), CLIENT_HELLO_EXTENSIONS_MAX);
    assert_eq!(cuts::reject(&extensions(most + 1)), HelloReject::TooManyExtensions);
    assert_eq!(cuts::read(&extensions(16_000)), Parsed::Reject(HelloReject::TooManyExtensions));

    let suites = |count: usize| Hello { cipher_suites: vec![0xc02b; count], ..Hello::default() }.wire();
    let most = CLIENT_HELLO_CIPHER_SUITES_MAX;
    assert_eq!(cuts::facts(&suites(most)).cipher_suites.len(), most);
    assert_eq!(cuts::read(&suites(most + 1)), Parsed::Reject(HelloReject::TooManyCipherSuites));
    assert_eq!(cuts::read(&suites(32_000)), Parsed::Reject(HelloReject::TooManyCipherSuites));
}

#[test]
fn h025_a_length_that_does_not_fit_is_refused() {
    let body = named().body();
    let with_byte = |at: usize, byte: u8| {
        let mut changed = body.clone();
        changed[at] = byte;
        records(&message(1, &changed), 16_384)
    };
    let (session_id, suites, compression) = (34, 67, 73);
    for wire in
        [with_byte(session_id, 33), with_byte(session_id, 255), with_byte(suites, 255), with_byte(suites + 1, 3)]
    {
        assert_eq!(cuts::reject(&wire), HelloReject::MalformedHello);
    }
    assert_eq!(cuts::reject(&with_byte(suites + 1, 0)), HelloReject::MalformedHello);
    assert_eq!(cuts::reject(&with_byte(compression, 0)), HelloReject::MalformedHello);
    // The extension block: too long for the message, too short for its last extension, too short for the message.
    let block = compression + 2;
    assert_eq!(cuts::reject(&with_byte(block, 255)), HelloReject::MalformedExtensions);
    assert_eq!(cuts::reject(&with_byte(block + 5, 255)), HelloReject::MalformedExtensions);
    assert_eq!(cuts::reject(&records(&message(1, &[&body[..], b"x"].concat()), 16_384)), HelloReject::MalformedHello);
    // A message that stops short says so and never waits for more; only the extension block may be absent.
    for end in 0..body.len() {
        let answer = cuts::read(&records(&message(1, &body[..end]), 16_384));
        assert_eq!(matches!(answer, Parsed::Complete { .. }), end == block, "{end}");
        assert!(!answer.is_incomplete(), "{end}");
    }
}

#[test]
fn h025_a_session_id_is_at_most_32_bytes() {
    let with_id = |bytes: usize| Hello { session_id: vec![1; bytes], ..named() }.wire();
    for bytes in [0, 1, 32] {
        assert_eq!(cuts::facts(&with_id(bytes)).session_id.len(), bytes);
    }
    assert_eq!(cuts::reject(&with_id(33)), HelloReject::MalformedHello);
}

#[test]
fn h023_the_highest_version_is_the_highest_that_exists() {
    let offered = |list: &[u8]| cuts::facts(&named().with(43, list).wire()).version_max;
    assert_eq!(offered(&[4, 3, 2, 3, 1]), 0x0302);
    // Drafts of TLS 1.3 and reserved values are no versions, nor is a list that holds nothing else.
    assert_eq!(offered(&[8, 0x7f, 0x1c, 0xfa, 0xfa, 3, 3, 3, 4]), 0x0304);
    assert_eq!(offered(&[4, 0x7f, 0x1c, 3, 3]), 0x0303);
    assert_eq!(offered(&[2, 0x7f, 0x1c]), 0);
    for broken in [&[][..], &[9, 3, 4], &[1, 3]] {
        assert_eq!(offered(broken), 0);
    }
    assert_eq!(cuts::facts(&Hello { legacy_version: 0x0301, ..named() }.wire()).version_max, 0x0301);
}

#[test]
fn h025_bytes_behind_the_hello_in_its_record_are_refused() {
    let message = named().message();
    assert_eq!(cuts::reject(&record(HANDSHAKE, &[&message[..], b"x"].concat())), HelloReject::TrailingBytes);
    assert_eq!(cuts::reject(&record(HANDSHAKE, &[&message[..], &message].concat())), HelloReject::TrailingBytes);
    let (head, tail) = message.split_at(20);
    let wire = [record(HANDSHAKE, head), record(HANDSHAKE, &[tail, b"x"].concat())].concat();
    assert_eq!(cuts::reject(&wire), HelloReject::TrailingBytes);
}

#[test]
fn h027_what_follows_the_hello_is_left_alone() {
    let hello = named().wire();
    for tail in [&b"\x17\x03\x03\x00\x02xy"[..], &hello, b"\0\0\0", &record(ALERT, &[2, 40])] {
        let wire = [&hello[..], tail].concat();
        let Parsed::Complete { consumed, .. } = cuts::check_segments(&wire) else { panic!() };
        assert_eq!(consumed, hello.len());
    }
}

#[test]
fn a_reader_is_small_until_a_hello_is_whole() {
    assert!(size_of::<ClientHelloReader>() <= 64, "{}", size_of::<ClientHelloReader>());
}
