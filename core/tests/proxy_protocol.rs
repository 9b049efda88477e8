//! The PROXY protocol's header: examples of the specification, every prefix, hostile ones, public vectors, another
//! implementation as oracle.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "hello/corpora.rs"]
mod corpora;

use std::net::{IpAddr, SocketAddr};

use penstock_core::bytes::Parsed;
use penstock_core::limits::PROXY_HEADER_BYTES_MAX;
use penstock_core::proxy::proxy_protocol::{
    Endpoints, Header, HeaderReject, TlvKind, TlvReject, Tlvs, Version, begins_like_header, parse,
};
use ppp::v2::{Addresses, Command, Protocol};
use proptest::prelude::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn ends(source: &str, destination: &str) -> Option<Endpoints> {
    Some(Endpoints::new(source.parse().unwrap(), destination.parse().unwrap()))
}

fn accepted(bytes: &[u8]) -> Header {
    match parse(bytes) {
        Parsed::Complete { value, consumed } if consumed == bytes.len() => value,
        other => panic!("{bytes:?}: {other:?}"),
    }
}

fn refused(bytes: &[u8]) -> HeaderReject {
    match parse(bytes) {
        Parsed::Reject(reject) => reject,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

/// A block of version 2 with the length that it has.
fn block(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, body].concat()
}

/// 192.0.2.1:56324 to 198.51.100.1:443.
const INET: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 0x01, 0xbb];

fn tcp4(tlvs: &[u8]) -> Vec<u8> {
    block(0x21, 0x11, &[INET, tlvs].concat())
}

/// With a place for the checksum, which encoding fills in.
fn rich() -> Header {
    let mut header = Header::new(Version::Two, ends("[2001:db8::7]:1", "[2001:db8::8]:443"));
    let ssl = [&[0x07, 0, 0, 0, 0][..], &tlv(0x21, b"TLSv1.3"), &tlv(0x22, b"alice"), &tlv(0x23, b"AES")].concat();
    for (kind, value) in [
        (TlvKind::ALPN, &b"h2"[..]),
        (TlvKind::AUTHORITY, b"login.example"),
        (TlvKind::CRC32C, &[0; 4]),
        (TlvKind::NOOP, &[0; 3]),
        (TlvKind::UNIQUE_ID, &[7; 128]),
        (TlvKind::SSL, &ssl),
        (TlvKind::NETNS, b"blue"),
        (TlvKind(0xe7), b"bob"),
    ] {
        assert!(header.tlvs.push(kind, value), "{kind:?}");
    }
    header
}

#[test]
fn examples_of_version_1() {
    for (line, endpoints) in [
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            ends("255.255.255.255:65535", "255.255.255.255:65535"),
        ),
        ("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", ends("192.168.0.1:56324", "192.168.0.11:443")),
        ("PROXY TCP6 2001:db8::1 ::1 1 443\r\n", ends("[2001:db8::1]:1", "[::1]:443")),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 1 443\r\n", ends("192.0.2.1:1", "192.0.2.2:443")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    ] {
        let header = accepted(line.as_bytes());
        assert_eq!((header.version, header.endpoints), (Version::One, endpoints), "{line}");
        assert_eq!(accepted(&header.encode()), header);
    }
    let longest = format!("PROXY TCP6 {0} {0} 65535 65535\r\n", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert!(longest.len() <= 107 && accepted(longest.as_bytes()).endpoints.is_some());
    assert!(accepted(format!("PROXY UNKNOWN {}\r\n", "x".repeat(91)).as_bytes()).endpoints.is_none());
}

#[test]
fn tlvs_are_kept_and_the_checksum_is_that_of_the_header() {
    let header = rich();
    let read = accepted(&header.encode());
    assert_eq!((read.endpoints, read.version), (header.endpoints, Version::Two));
    assert_eq!(read.tlvs.iter().count(), 8);
    assert_eq!(read.tlvs.find(TlvKind(0xe7)), Some(&b"bob"[..]));
    assert_eq!(read.tlvs.find(TlvKind::AUTHORITY), Some(&b"login.example"[..]));
    let ssl = read.tlvs.ssl().unwrap();
    assert!(ssl.is_verified);
    assert_eq!(ssl.common_name(), Some("alice"));
    assert!(TlvKind(0xe7).is_custom() && !TlvKind::NETNS.is_custom());
    // What was read is written as it came.
    assert_eq!(read.encode(), header.encode());
    let mut other = header.clone();
    assert!(!other.tlvs.push(TlvKind::ALPN, b"h3"), "it is there already");
    assert!(!other.tlvs.push(TlvKind(0xe8), &[0; PROXY_HEADER_BYTES_MAX]));
    assert!(!Tlvs::new().push(TlvKind::UNIQUE_ID, &[0; 129]) && !Tlvs::new().push(TlvKind::CRC32C, b"1"));
    assert_eq!(other, header);
}

#[test]
fn a_certificate_that_was_not_verified_says_so() {
    for (client, verify, is_verified) in [(0x01, 0, false), (0x03, 0, true), (0x05, 0, true), (0x03, 1, false)] {
        let header = accepted(&tcp4(&tlv(0x20, &[&[client, 0, 0, 0, verify][..], &tlv(0x22, b"eve")].concat())));
        let ssl = header.tlvs.ssl().unwrap();
        assert_eq!((ssl.is_verified, ssl.common_name()), (is_verified, Some("eve")));
    }
}

#[test]
fn every_prefix_waits_and_what_follows_is_left() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec();
    for whole in [line, b"PROXY UNKNOWN\r\n".to_vec(), tcp4(b""), block(0x20, 0, b""), rich().encode()] {
        for end in 0..whole.len() {
            let Parsed::Incomplete { more_bytes_min } = parse(&whole[..end]) else { panic!("{end}") };
            assert!(more_bytes_min > 0 && end + more_bytes_min <= whole.len(), "{end}");
        }
        let header = accepted(&whole);
        for next in [&b"\x16\x03\x01"[..], b"GET", b"\x04\x00\x00", b"PROXY ", SIGNATURE] {
            let followed = [&whole, next].concat();
            assert_eq!(parse(&followed), Parsed::Complete { value: header.clone(), consumed: whole.len() });
        }
    }
}

#[test]
fn h108_lines_that_are_no_header_are_refused() {
    use HeaderReject as R;
    for (line, reject) in [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 443\n", R::Line),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\r\n", R::Line),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1\r443\r\n", R::Line),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 443 \r\n", R::Line),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 443 x\r\n", R::Line),
        ("PROXY TCP4  192.0.2.1 192.0.2.2 1 443\r\n", R::Line),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 443\r\n", R::Line),
        ("PROXY TCP4\r\n", R::Line),
        ("PROXY \r\n", R::Family),
        ("PROXY\r\n", R::NoHeader),
        ("PROXY  TCP4 192.0.2.1 192.0.2.2 1 443\r\n", R::Family),
        ("PROXY tcp4 192.0.2.1 192.0.2.2 1 443\r\n", R::Family),
        ("proxy TCP4 192.0.2.1 192.0.2.2 1 443\r\n", R::NoHeader),
        ("PROXY UDP4 192.0.2.1 192.0.2.2 1 443\r\n", R::Family),
        ("PROXY UNKNOWNX\r\n", R::Family),
        ("PROXY UNKNOWN\n", R::Line),
        ("PROXY TCP4 2001:db8::1 2001:db8::2 1 443\r\n", R::Address),
        ("PROXY TCP6 192.0.2.1 192.0.2.2 1 443\r\n", R::Address),
        ("PROXY TCP4 192.0.2.1 2001:db8::1 1 443\r\n", R::Address),
        ("PROXY TCP6 2001:db8::1 192.0.2.1 1 443\r\n", R::Address),
        ("PROXY TCP4 192.0.2.01 192.0.2.2 1 443\r\n", R::Address),
        ("PROXY TCP4 192.0.513 192.0.2.2 1 443\r\n", R::Address),
        ("PROXY TCP4 a.example 192.0.2.2 1 443\r\n", R::Address),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 443\r\n", R::Address),
        ("PROXY TCP6 [::1] ::1 1 443\r\n", R::Address),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 0 443\r\n", R::Port),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 0\r\n", R::Port),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", R::Port),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 443\r\n", R::Port),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 01 443\r\n", R::Port),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 443\t\r\n", R::Port),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n", R::Port),
        ("PUT / HTTP/1.1\r\n", R::NoHeader),
        ("GET / HTTP/1.1\r\n", R::NoHeader),
        ("\r\nGET / HTTP/1.1\r\n", R::NoHeader),
        ("\u{16}\u{3}\u{1}", R::NoHeader),
    ] {
        assert_eq!(refused(line.as_bytes()), reject, "{line:?}");
    }
}

#[test]
fn h108_a_line_over_its_bound_is_refused_at_the_bound() {
    for line in [format!("PROXY UNKNOWN {}", "x".repeat(200)), format!("PROXY TCP4 {}", " ".repeat(200))] {
        for end in 0..107 {
            assert!(parse(&line.as_bytes()[..end]).is_incomplete(), "{end}");
        }
        assert_eq!(refused(&line.as_bytes()[..107]), HeaderReject::Line);
    }
    assert_eq!(refused(format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).as_bytes()), HeaderReject::Line);
}

#[test]
fn h109_blocks_that_are_no_header_are_refused() {
    use HeaderReject as R;
    use TlvReject as T;
    for (bytes, reject) in [
        ([SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat(), R::Long),
        (block(0x21, 0x11, &INET[..11]), R::Address),
        (block(0x21, 0x11, b""), R::Address),
        (block(0x21, 0x21, INET), R::Address),
        (block(0x21, 0x21, &[0; 35]), R::Address),
        (block(0x21, 0x12, INET), R::NotTcp),
        (block(0x21, 0x22, &[0; 36]), R::NotTcp),
        (block(0x21, 0x31, &[0; 216]), R::NotTcp),
        (block(0x21, 0x10, INET), R::Family),
        (block(0x21, 0x01, INET), R::Family),
        (block(0x21, 0x13, INET), R::Family),
        (block(0x21, 0x41, INET), R::Family),
        (block(0x20, 0x41, b""), R::Family),
        (block(0x22, 0x11, INET), R::Command),
        (block(0x11, 0x11, INET), R::Version),
        (block(0x31, 0x11, INET), R::Version),
        (block(0x20, 0x00, b"junk"), R::Tlv(T::Overrun)),
        (block(0x20, 0x11, b"junk"), R::Address),
        (block(0x21, 0x00, b"\x01"), R::Tlv(T::Overrun)),
        (tcp4(b"\x01"), R::Tlv(T::Overrun)),
        (tcp4(b"\x01\x00"), R::Tlv(T::Overrun)),
        (tcp4(b"\x01\x00\x03h2"), R::Tlv(T::Overrun)),
        (tcp4(b"\x01\xff\xffh2"), R::Tlv(T::Overrun)),
        (tcp4(&[tlv(1, b"h2"), tlv(1, b"h2")].concat()), R::Tlv(T::Duplicate)),
        (tcp4(&[tlv(0xe0, b"alice"), tlv(0xe0, b"bob")].concat()), R::Tlv(T::Duplicate)),
        (tcp4(&tlv(2, b"\xff")), R::Tlv(T::Value)),
        (tcp4(&tlv(5, &[0; 129])), R::Tlv(T::Value)),
        (tcp4(&tlv(0x20, b"\x01\0\0\0")), R::Tlv(T::Value)),
        (tcp4(&tlv(0x20, b"\x01\0\0\0\0\x22\0\x09alice")), R::Tlv(T::Value)),
        (tcp4(&tlv(0x30, b"\xc3\xa4")), R::Tlv(T::Value)),
        (tcp4(&tlv(3, b"")), R::Tlv(T::Checksum)),
        (tcp4(&tlv(3, b"\0\0\0\0")), R::Tlv(T::Checksum)),
        (tcp4(&tlv(3, b"\0\0\0\0\0")), R::Tlv(T::Checksum)),
    ] {
        assert_eq!(refused(&bytes), reject, "{bytes:02x?}");
    }
}

#[test]
fn h109_a_wrong_checksum_is_refused_wherever_the_header_was_changed() {
    let whole = rich().encode();
    for at in 16..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x01;
        // A length that was changed may be found out first; a header that reads on is found out by its checksum.
        let is_refused = matches!(parse(&changed), Parsed::Reject(HeaderReject::Tlv(_)));
        // The type of the checksum itself: then there is none.
        let is_unprotected =
            parse(&changed).complete().is_some_and(|header| header.tlvs.find(TlvKind::CRC32C).is_none());
        assert!(is_refused || is_unprotected, "{at}");
    }
}

#[test]
fn h109_local_counts_for_the_real_peer() {
    for bytes in [
        block(0x20, 0x00, b""),
        block(0x20, 0x00, &tlv(4, &[0; 9])),
        block(0x20, 0x11, INET),
        block(0x20, 0x11, b""),
        block(0x20, 0x12, INET),
        block(0x20, 0x31, &[0; 216]),
        block(0x21, 0x00, b""),
        block(0x21, 0x00, &tlv(1, b"h2")),
    ] {
        assert_eq!(accepted(&bytes).endpoints, None, "{bytes:02x?}");
    }
}

#[test]
fn h110_a_second_header_is_not_part_of_the_first() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
    for first in [&line[..], &tcp4(b"")] {
        for second in [&line[..], &tcp4(b"")] {
            let both = [first, second].concat();
            let Parsed::Complete { consumed, .. } = parse(&both) else { panic!() };
            assert_eq!(consumed, first.len());
            assert!(begins_like_header(&both[consumed..]));
        }
    }
    assert!(!begins_like_header(b"PROXY") && !begins_like_header(b"\x16\x03\x01"));
}

#[test]
fn public_vectors() {
    let Some(file) = corpora::file("proxy-protocol-vectors/envoy_fuzz_seeds.json") else { return };
    let seeds: Vec<serde_json::Value> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut seen = 0;
    for seed in &seeds {
        let bytes = corpora::unhex(seed["hex"].as_str().unwrap());
        match seed["name"].as_str().unwrap() {
            "v1_minimal" => assert_eq!(accepted(&bytes), Header::new(Version::One, None)),
            // UDP, whatever its block holds.
            "v2_basic_v6" => assert_eq!(refused(&bytes), HeaderReject::NotTcp),
            // The stored TLVs slip by one: what is left claims a value past the end.
            "v2_extensions" => assert_eq!(refused(&bytes), HeaderReject::Tlv(TlvReject::Overrun)),
            // Addresses slip by one and the TLVs fit again; four bytes of payload follow.
            "v2_tlv_multiple" => {
                let Parsed::Complete { value, consumed } = parse(&bytes) else { panic!() };
                assert_eq!((consumed, bytes.len()), (73, 77));
                assert_eq!(value.tlvs.find(TlvKind::AUTHORITY), Some(&b"foo.com"[..]));
                assert_eq!(value.tlvs.find(TlvKind(0xea)), Some(&b"\x01vpc-0,0x325test2fa6c6"[..]));
            }
            other => panic!("{other} is new: say what it must be"),
        }
        seen += 1;
    }
    assert_eq!(seen, 4);
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), 1..=u16::MAX).prop_map(|(address, port)| SocketAddr::new(address.to_canonical(), port))
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        source in address(), destination in address(), is_text in any::<bool>(), is_known in any::<bool>(),
        tlvs in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
    ) {
        let version = if is_text { Version::One } else { Version::Two };
        let mut header = Header::new(version, is_known.then(|| Endpoints::new(source, destination)));
        for (kind, value) in tlvs.iter().filter(|_| !is_text) {
            header.tlvs.push(TlvKind(*kind), value);
        }
        let bytes = header.encode();
        let read = accepted(&bytes);
        prop_assert_eq!(read.endpoints, header.endpoints);
        prop_assert_eq!(read.encode(), bytes);
    }

    #[test]
    fn another_implementation_reads_what_we_write(source in address(), destination in address(), alpn in "[a-z]{0,9}") {
        let mut header = Header::new(Version::Two, Some(Endpoints::new(source, destination)));
        prop_assert!(header.tlvs.push(TlvKind::ALPN, alpn.as_bytes()));
        prop_assert!(header.tlvs.push(TlvKind::CRC32C, &[0; 4]));
        let bytes = header.encode();
        let theirs = ppp::v2::Header::try_from(&bytes[..]).unwrap();
        prop_assert_eq!((theirs.command, theirs.protocol), (Command::Proxy, Protocol::Stream));
        let (from, to) = match theirs.addresses {
            Addresses::IPv4(ends) => (IpAddr::V4(ends.source_address), IpAddr::V4(ends.destination_address)),
            Addresses::IPv6(ends) => (IpAddr::V6(ends.source_address), IpAddr::V6(ends.destination_address)),
            other => panic!("{other:?}"),
        };
        prop_assert_eq!((from.to_canonical(), to.to_canonical()), (source.ip(), destination.ip()));
        let first = theirs.tlvs().next().unwrap().unwrap();
        prop_assert_eq!((first.kind, &first.value[..]), (1, alpn.as_bytes()));
        let line = Header::new(Version::One, header.endpoints).encode();
        let theirs = ppp::v1::Header::try_from(&line[..]).unwrap();
        prop_assert_eq!(theirs.header.as_bytes(), &line[..]);
    }

    #[test]
    fn we_read_what_another_implementation_writes(source in address(), destination in address(), id in "[a-z]{1,9}") {
        prop_assume!(source.is_ipv4() == destination.is_ipv4());
        let bytes = ppp::v2::Builder::with_addresses(0x21, Protocol::Stream, (source, destination))
            .write_tlv(0x05_u8, id.as_bytes()).unwrap().build().unwrap();
        let header = accepted(&bytes);
        prop_assert_eq!(header.endpoints, Some(Endpoints::new(source, destination)));
        prop_assert_eq!(header.tlvs.find(TlvKind::UNIQUE_ID), Some(id.as_bytes()));
        let line = ppp::v1::Addresses::from((source, destination)).to_string();
        prop_assert_eq!(accepted(line.as_bytes()).endpoints, Some(Endpoints::new(source, destination)));
    }
}
