//! Initial packets as an attacker, or a bad network, sends them.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "hello/builder.rs"]
mod builder;
#[path = "quic/cipher.rs"]
mod cipher;
#[path = "quic/wire.rs"]
mod wire;

use builder::Hello;
use penstock_core::limits::{QUIC_CONNECTIONS_MAX, QUIC_CRYPTO_PIECES_MAX, QUIC_DATAGRAMS_MAX, QUIC_PACKETS_MAX};
use penstock_core::quic::{InitialReader, Opening, QuicReject};
use penstock_core::tls::Ech;
use rustls::quic::Version;
use wire::{ID, Initial, Seen, crypto, flight, opens, see, see_all};

const NAME: &str = "login.example.com";

fn hello(name: &str) -> Vec<u8> {
    builder::message(1, &Hello::default().with_name(name.as_bytes()).body())
}

/// A hello of about `bytes`: the name stands behind an extension that fills it up.
fn long_hello(name: &str, bytes: usize) -> Vec<u8> {
    let filler = Hello::default().with(0xff02, vec![9; bytes]).with_name(name.as_bytes());
    builder::message(1, &filler.body())
}

fn whole(message: &[u8]) -> Initial {
    Initial::of(crypto(message, 0, message.len()))
}

#[test]
fn h115_an_initial_of_either_version_gives_the_name() {
    for version in [Version::V1, Version::V2] {
        let initial = Initial { version, token: vec![5; 100], ..whole(&hello(NAME)) };
        assert_eq!(see_all([&initial.seal()]), [opens(NAME)]);
    }
    // A draft's packets are not read, whatever is in them.
    let mut draft = whole(&hello(NAME)).seal();
    draft[1..5].copy_from_slice(&[0xff, 0, 0, 29]);
    assert_eq!(see_all([&draft]), [Seen::Refused(QuicReject::UnknownVersion)]);
}

#[test]
fn h115_a_cleared_quic_bit_hides_nothing() {
    // RFC 9287 lets clients clear the bit.
    let initial = Initial { first_mask: !0x40, ..whole(&hello(NAME)) };
    assert_eq!(initial.seal()[0] & 0xc0, 0x80);
    assert_eq!(see_all([&initial.seal()]), [opens(NAME)]);
    // It is authenticated: cleared on the way, it makes the packet void.
    let mut cleared = whole(&hello(NAME)).seal();
    cleared[0] &= !0x40;
    assert_eq!(see_all([&cleared]), [Seen::Ignored]);
}

#[test]
fn h013_encrypted_hellos_are_seen_under_their_public_name() {
    let outer = Hello::default().with_name(b"public.example.com").with(0xfe0d, vec![0; 200]);
    let message = builder::message(1, &outer.body());
    let mut reader = InitialReader::new();
    let datagram = whole(&message).seal();
    let Opening::Opens { hello, .. } = reader.handle_datagram(&cipher::Cipher, &datagram) else { panic!() };
    assert_eq!((hello.ech, hello.sni.unwrap().as_str()), (Some(Ech::Outer), "public.example.com"));
}

#[test]
fn h116_other_frames_stand_between_the_pieces() {
    let message = hello(NAME);
    let ack = [2, 0x40, 9, 0, 1, 0, 3, 4];
    let middle = message.len() / 2;
    let frames = [
        &[1, 0, 0, 1][..],
        &crypto(&message, middle, message.len()),
        &[0; 50],
        &ack,
        &crypto(&message, 0, 1),
        &[1],
        &crypto(&message, 1, middle),
        &[0x1c, 0, 0, 0],
    ]
    .concat();
    assert_eq!(see_all([&Initial::of(frames).seal()]), [opens(NAME)]);
}

#[test]
fn h116_a_hello_in_pieces_of_one_byte_is_read_within_bounds() {
    let message = hello(NAME);
    let forwards: Vec<u8> = (0..message.len()).flat_map(|at| crypto(&message, at, at + 1)).collect();
    assert_eq!(see_all([&Initial { bytes: 1_500, ..Initial::of(forwards) }.seal()]), [opens(NAME)]);
    // Every other byte first, and the pieces are too many.
    let gaps: Vec<u8> =
        (0..=2 * QUIC_CRYPTO_PIECES_MAX).step_by(2).flat_map(|at| crypto(&[7; 200], at, at + 1)).collect();
    assert_eq!(see_all([&Initial::of(gaps).seal()]), [Seen::Refused(QuicReject::TooMany)]);
}

#[test]
fn h116_duplicates_and_overlaps_that_agree_are_borne_with() {
    let message = long_hello(NAME, 1_500);
    let datagrams = flight(&message);
    assert_eq!(see_all([&datagrams[0], &datagrams[0], &datagrams[1]]), [Seen::Waits, Seen::Waits, opens(NAME)]);
    let overlapping = Initial { number: 1, ..Initial::of(crypto(&message, 700, message.len())) }.seal();
    let seen = see_all([&datagrams[0], &overlapping, &datagrams[1], &datagrams[0]]);
    assert_eq!(seen, [Seen::Waits, opens(NAME), Seen::Follows, Seen::Follows]);
}

#[test]
fn h116_reassembly_is_bounded() {
    let message = long_hello(NAME, 17_000);
    assert_eq!(see_all(&flight(&message)[..1]), [Seen::Refused(QuicReject::TooLong)], "the header tells the length");
    // The end of a hello never comes.
    let message = long_hello(NAME, 15_000);
    let first = |number| Initial { number, ..Initial::of(crypto(&message, 0, 900)) }.seal();
    let mut reader = InitialReader::new();
    for number in 0..QUIC_DATAGRAMS_MAX as u64 {
        assert_eq!(see(&mut reader, &first(number)), Seen::Waits);
    }
    assert_eq!(see(&mut reader, &first(99)), Seen::Refused(QuicReject::TooMany));
}

#[test]
fn h117_offsets_beyond_the_bound_are_refused() {
    for offset in [[0x80, 0, 0x40, 0].to_vec(), vec![0xff; 8], [0xbf, 0xff, 0xff, 0xff].to_vec()] {
        let frames = [&[6], offset.as_slice(), &[1, 7]].concat();
        assert_eq!(see_all([&Initial::of(frames).seal()]), [Seen::Refused(QuicReject::TooLong)]);
    }
}

#[test]
fn h117_duplicate_ranges_with_different_bytes_are_refused() {
    let (innocent, inspected) = (long_hello("news.example.com", 1_500), long_hello("mail.example.com", 1_500));
    let (first, second) = (flight(&innocent), flight(&inspected));
    let seen = see_all([&first[0], &first[1], &second[1]]);
    assert_eq!(seen, [Seen::Waits, opens("news.example.com"), Seen::Refused(QuicReject::ConflictingCrypto)]);
    // In one packet, in either order, before anything is whole.
    let at = innocent.iter().zip(&inspected).position(|(ours, theirs)| ours != theirs).unwrap();
    let frames = [crypto(&innocent, at, at + 4), crypto(&inspected, at, at + 4)].concat();
    assert_eq!(see_all([&Initial::of(frames).seal()]), [Seen::Refused(QuicReject::ConflictingCrypto)]);
}

#[test]
fn h117_what_is_not_authentic_is_ignored_and_harms_nothing() {
    let datagrams = flight(&long_hello(NAME, 1_500));
    let mut forged = datagrams[1].clone();
    *forged.last_mut().unwrap() ^= 1;
    let under_other_keys = Initial { original: vec![1; 8], ..whole(&hello("evil.example.com")) }.seal();
    let seen = see_all([&datagrams[0], &forged, &under_other_keys, &datagrams[1]]);
    assert_eq!(seen, [Seen::Waits, Seen::Ignored, Seen::Ignored, opens(NAME)]);
}

#[test]
fn h117_short_and_truncated_datagrams_are_ignored() {
    let message = hello(NAME);
    let short = Initial { bytes: 1_199, ..whole(&message) }.seal();
    assert_eq!((short.len(), see_all([&short])), (1_199, vec![Seen::Ignored]));
    let datagram = whole(&message).seal();
    for end in 1..datagram.len() {
        assert_eq!(see_all([&datagram[..end].to_vec()]), [Seen::Ignored], "{end}");
    }
    assert_eq!(see_all([&vec![]]), [Seen::Refused(QuicReject::NotQuic)]);
}

#[test]
fn h117_connection_ids_of_any_length() {
    let message = hello(NAME);
    for bytes in [0, 1, 7, 8, 20] {
        let initial = whole(&message).to(&vec![3; bytes]);
        assert_eq!(see_all([&initial.seal()]), [opens(NAME)], "{bytes}");
    }
    for bytes in [21, 255] {
        let mut datagram = vec![0xc0, 0, 0, 0, 1, bytes];
        datagram.resize(1_200, 3);
        assert_eq!(see_all([&datagram]), [Seen::Ignored], "{bytes}");
    }
}

#[test]
fn h117_coalesced_packets_are_read_one_by_one() {
    let message = hello(NAME);
    let mut zero_rtt = vec![0xd0, 0, 0, 0, 1, 8];
    zero_rtt.extend(ID);
    zero_rtt.extend([0, 0x40, 60]);
    zero_rtt.extend([0x55; 60]);
    let initial = Initial { bytes: 400, ..whole(&message) }.seal();
    let rest = [zero_rtt.clone(), vec![0x40; 800]].concat();
    assert_eq!(see_all([&[initial.clone(), rest].concat()]), [opens(NAME)]);
    // 0-RTT before its Initial waits for it.
    let seen = see_all([&zero_rtt, &Initial { bytes: 1_200, ..whole(&message) }.seal(), &zero_rtt]);
    assert_eq!(seen, [Seen::Unseen, opens(NAME), Seen::Follows]);
    // Two connections in one datagram, and more packets than there are kinds.
    let other = Initial { bytes: 800, ..whole(&message).to(&[4; 8]) }.seal();
    assert_eq!(see_all([&[initial.clone(), other].concat()]), [Seen::Refused(QuicReject::TooMany)]);
    let many = [initial.repeat(3), zero_rtt.repeat(QUIC_PACKETS_MAX)].concat();
    assert_eq!(see_all([&many]), [Seen::Refused(QuicReject::TooMany)]);
}

#[test]
fn h117_frames_that_an_initial_cannot_hold_are_refused() {
    let stream = [&crypto(&hello(NAME), 0, 20)[..], &[0x08, 0, 1]].concat();
    assert_eq!(see_all([&Initial::of(stream).seal()]), [Seen::Refused(QuicReject::Frame)]);
    let cut = [6, 0, 0x7f, 0xff];
    assert_eq!(see_all([&Initial::of(cut.to_vec()).seal()]), [Seen::Refused(QuicReject::Frame)]);
    let other_message = builder::message(2, &[0; 40]);
    assert_eq!(see_all([&whole(&other_message).seal()]), [Seen::Refused(QuicReject::Hello)]);
}

#[test]
fn h118_connections_of_one_flow_are_bounded() {
    let mut reader = InitialReader::new();
    for id in 0..u8::try_from(QUIC_CONNECTIONS_MAX).unwrap() {
        assert_eq!(see(&mut reader, &whole(&hello(NAME)).to(&[id; 8]).seal()), opens(NAME));
    }
    let more = whole(&hello(NAME)).to(&[0xff; 8]).seal();
    assert_eq!(see(&mut reader, &more), Seen::Refused(QuicReject::TooMany));
}

#[test]
fn h118_what_the_connections_of_one_flow_keep_is_bounded() {
    // The last byte that one connection may have, in each of several: little is sent, much would be kept.
    let mut reader = InitialReader::new();
    let far = [&[6], wire::varint(16 * 1024 - 1).as_slice(), &[1, 7]].concat();
    let seen: Vec<Seen> = (0..3).map(|id| see(&mut reader, &Initial::of(far.clone()).to(&[id; 8]).seal())).collect();
    assert_eq!(seen, [Seen::Waits, Seen::Waits, Seen::Refused(QuicReject::TooLong)]);
}

#[test]
fn h119_each_connection_of_a_flow_is_read() {
    let mut reader = InitialReader::new();
    assert_eq!(see(&mut reader, &whole(&hello("news.example.com")).seal()), opens("news.example.com"));
    // The server has chosen an id of its own; the keys stay (RFC 9001 section 5.2).
    let acknowledgement = Initial { destination: vec![0xee; 4], number: 1, ..Initial::of(vec![2, 0, 0, 0, 0]) };
    assert_eq!(see(&mut reader, &acknowledgement.seal()), Seen::Follows);
    let another = whole(&hello(NAME)).to(&[0xdd; 8]);
    assert_eq!(see(&mut reader, &another.seal()), opens(NAME));
}

#[test]
fn h119_a_retry_makes_new_keys_and_the_same_hello_is_read_again() {
    let message = long_hello(NAME, 1_500);
    let mut reader = InitialReader::new();
    assert_eq!(see(&mut reader, &flight(&message)[0]), Seen::Waits);
    let after = |number, start, end| {
        let frames = crypto(&message, start, end);
        Initial { number, token: vec![7; 60], ..Initial::of(frames).to(&[0xaa; 8]) }.seal()
    };
    assert_eq!(see(&mut reader, &after(1, 0, 1_000)), Seen::Waits);
    assert_eq!(see(&mut reader, &after(2, 1_000, message.len())), opens(NAME));
    assert_eq!(see(&mut reader, &flight(&message)[1]), opens(NAME), "what was before is read to its end");
}

#[test]
fn h119_a_version_that_changes_keeps_the_connection() {
    let mut reader = InitialReader::new();
    assert_eq!(see(&mut reader, &whole(&hello(NAME)).seal()), opens(NAME));
    let upgraded = Initial { version: Version::V2, destination: vec![0xee; 4], number: 1, ..Initial::of(vec![1]) };
    assert_eq!(see(&mut reader, &upgraded.seal()), Seen::Follows);
}

#[test]
fn h119_packets_without_a_beginning_are_refused() {
    assert_eq!(see_all([&vec![0x40; 60]]), [Seen::Refused(QuicReject::UnknownConnection)]);
    let mut reader = InitialReader::new();
    assert_eq!(see(&mut reader, &whole(&hello(NAME)).seal()), opens(NAME));
    assert_eq!(see(&mut reader, &[0x40; 60]), Seen::Follows);
}

#[test]
fn h120_other_protocols_are_told_apart_by_their_first_byte() {
    // WireGuard, DTLS, STUN (RFC 9443 section 2).
    for first in [1, 4, 20, 22, 63] {
        assert_eq!(see_all([&vec![first; 148]]), [Seen::Refused(QuicReject::NotQuic)], "{first}");
    }
    // RTP, or a version that nobody knows.
    assert_eq!(see_all([&vec![0x80; 148]]), [Seen::Ignored]);
    let mut version_negotiation = vec![0x80, 0, 0, 0, 0, 1, 7, 0, 0, 0, 0, 1];
    version_negotiation.resize(1_200, 0);
    assert_eq!(see_all([&version_negotiation]), [Seen::Ignored]);
}

#[test]
fn h018_a_second_hello_must_name_the_same_host() {
    let first = long_hello(NAME, 100);
    let second = |name: &str| [first.clone(), long_hello(name, 120)].concat();
    let then = |name: &str, number, original: &[u8]| {
        let message = second(name);
        Initial {
            number,
            destination: vec![0xee; 4],
            original: original.to_vec(),
            ..Initial::of(crypto(&message, first.len(), message.len()))
        }
        .seal()
    };
    let datagram = whole(&first).seal();
    assert_eq!(see_all([&datagram, &then(NAME, 1, ID)]), [opens(NAME), opens(NAME)]);
    let seen = see_all([&datagram, &then("mail.example.com", 1, ID)]);
    assert_eq!(seen, [opens(NAME), Seen::Refused(QuicReject::NameChanged)]);
    // Before the server has answered nothing can follow.
    assert_eq!(see_all([&whole(&second(NAME)).seal()]), [Seen::Refused(QuicReject::Hello)]);
    // Nor is there a third.
    let third = [second(NAME), long_hello(NAME, 140)].concat();
    let last = Initial { number: 2, ..Initial::of(crypto(&third, second(NAME).len(), third.len())) }.seal();
    assert_eq!(see_all([&datagram, &then(NAME, 1, ID), &last])[2], Seen::Refused(QuicReject::Hello));
}

#[test]
fn h119_a_handshake_that_began_unseen_is_told_apart() {
    let handshake = [&[0xe0, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 40][..], &[0x5a; 40]].concat();
    assert_eq!(see_all([&handshake]), [Seen::Unseen]);
    // Beside an Initial that opens, it is that one's.
    let message = hello(NAME);
    let datagrams = flight(&message);
    assert_eq!(see_all([&datagrams[0], &handshake]), [opens(NAME), Seen::Follows]);
    // Beside one that does not, it may be anybody's, and opens nothing.
    let mut forged = datagrams[0].clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(see_all([&[&forged[..], &handshake].concat()]), [Seen::Unseen]);
}
