//! Bytes through an engine: any cut, any amount, and how a connection ends.

use std::io::{self, IoSlice};
use std::sync::Arc;

use penstock_core::flow::FaultKind;
use penstock_core::limits::INSPECT_BUFFER_BYTES_MAX;

use super::bed::{Bed, EACH, HOST, downstream, upstream};
use super::wire::Wire;
use crate::tls::engine::PlainRead;

/// Bytes that repeat late.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index * 31 % 251) as u8).collect()
}

#[test]
fn handshake_and_data_survive_any_cut() {
    let bed = Bed::new();
    for engines in EACH {
        let mut shard = bed.shard_by(engines);
        let origin = bed.origin(HOST);
        let (leaf, _) = bed.leaf(&mut shard, HOST);
        let client = Arc::new(bed.client());
        for step in [1, 2, 3, 5, 17, 1399, usize::MAX] {
            let mut up = upstream(&shard, HOST, &origin, step);
            assert_eq!(up.exchange(&pattern(700), &pattern(900)), Ok(()), "step {step}");
            assert_eq!((&up.at_peer, &up.at_ours), (&pattern(700), &pattern(900)));
            let mut down = downstream(&shard, &leaf, &client, HOST, step);
            assert_eq!(down.exchange(&pattern(900), &pattern(700)), Ok(()), "step {step}");
            assert_eq!((&down.at_peer, &down.at_ours), (&pattern(900), &pattern(700)));
            assert_eq!(down.peer_error, None);
            assert!(down.ours.verified().is_none() && up.ours.verified().is_some());
        }
    }
}

#[test]
fn megabytes_pass_in_both_directions_at_once() {
    let bed = Bed::new();
    for engines in EACH {
        let shard = bed.shard_by(engines);
        let origin = bed.origin(HOST);
        let (egress, ingress) = (pattern(3_000_000), pattern(5_000_000));
        let mut up = upstream(&shard, HOST, &origin, 16_000);
        assert_eq!(up.exchange(&egress, &ingress), Ok(()));
        assert!(up.at_peer == egress && up.at_ours == ingress);
    }
}

/// A stalled peer costs at most the bound, and what was taken arrives once the peer reads again.
#[test]
fn unsent_ciphertext_is_bounded() {
    let bed = Bed::new();
    for engines in EACH {
        let shard = bed.shard_by(engines);
        let mut up = upstream(&shard, HOST, &bed.origin(HOST), usize::MAX);
        assert_eq!(up.ours.write_plain(&[IoSlice::new(b"too early")]), 0, "nothing before the handshake is proven");
        up.run().expect("handshake");
        let block = pattern(30_000);
        let mut taken = 0;
        loop {
            match up.ours.write_plain(&[IoSlice::new(&block)]) {
                0 => break,
                count => taken += count,
            }
        }
        assert!((INSPECT_BUFFER_BYTES_MAX / 2..=INSPECT_BUFFER_BYTES_MAX).contains(&taken), "{taken}");
        up.run().expect("transfer");
        assert_eq!(up.at_peer.len(), taken);
    }
}

/// Plaintext that nobody takes stops the reading, and nothing is lost.
#[test]
fn untaken_plaintext_stops_reading() {
    let bed = Bed::new();
    for engines in EACH {
        let shard = bed.shard_by(engines);
        let mut up = upstream(&shard, HOST, &bed.origin(HOST), usize::MAX);
        up.run().expect("handshake");
        let sent = pattern(60_000);
        io::Write::write_all(&mut up.peer.writer(), &sent).expect("memory");
        let mut wire = Wire::new(usize::MAX);
        while up.peer.wants_write() {
            up.peer.write_tls(&mut wire).expect("memory");
        }
        let total = wire.bytes.len();
        while up.ours.read_tls(&mut wire).is_ok() {
            up.ours.process().expect("good records");
        }
        assert!(!up.ours.wants_read() && wire.bytes.len() > total / 3);
        up.to_ours = wire;
        up.take_plain();
        up.run().expect("transfer");
        assert_eq!(up.at_ours, sent);
    }
}

/// A gather goes out as one record while it fits one (16 KiB), not as one per piece.
#[test]
fn a_gather_is_one_record() {
    let bed = Bed::new();
    for engines in EACH {
        let mut shard = bed.shard_by(engines);
        let (leaf, _) = bed.leaf(&mut shard, HOST);
        let client = Arc::new(bed.client());
        for (pieces, size, records) in [(1, 100, 1), (3, 1000, 1), (60, 40, 1), (16, 1024, 1), (2, 16_384, 2)] {
            let mut up = upstream(&shard, HOST, &bed.origin(HOST), usize::MAX);
            let mut down = downstream(&shard, &leaf, &client, HOST, usize::MAX);
            for pair in [&mut up, &mut down] {
                // BoringSSL sends its tickets together with the first that is written.
                pair.exchange(b"first", b"").expect("handshake");
                let piece = pattern(size);
                let gather = vec![IoSlice::new(&piece); pieces];
                assert_eq!(pair.ours.write_plain(&gather), pieces * size);
                let mut wire = Wire::new(usize::MAX);
                while pair.ours.wants_write() {
                    pair.ours.write_tls(&mut wire).expect("memory");
                }
                assert_eq!(count_records(wire.bytes.make_contiguous()), records, "{pieces} pieces of {size}");
            }
        }
    }
}

fn count_records(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let [_, _, _, high, low, rest @ ..] = bytes {
        bytes = &rest[usize::from(u16::from_be_bytes([*high, *low]))..];
        count += 1;
    }
    assert!(bytes.is_empty());
    count
}

#[test]
fn close_notify_and_truncation_are_told_apart() {
    let bed = Bed::new();
    for engines in EACH {
        let shard = bed.shard_by(engines);
        let origin = bed.origin(HOST);
        let mut up = upstream(&shard, HOST, &origin, usize::MAX);
        up.exchange(b"", b"answer").expect("transfer");
        up.peer.send_close_notify();
        up.run().expect("close");
        assert_eq!((up.end, &up.at_ours[..]), (Some(PlainRead::Closed), &b"answer"[..]));
        assert!(!up.ours.wants_read());
        // Our direction stays open: TLS 1.3 has half-close.
        assert_eq!(up.ours.write_plain(&[IoSlice::new(b"more")]), 4);
        up.ours.send_close_notify();
        up.run().expect("close");
        assert_eq!(up.at_peer, b"more");

        let mut up = upstream(&shard, HOST, &origin, usize::MAX);
        up.exchange(b"", b"ans").expect("transfer");
        assert_eq!(up.ours.read_tls(&mut io::empty()).expect("end"), 0);
        assert_eq!(up.ours.process(), Ok(()));
        up.take_plain();
        assert_eq!(up.end, Some(PlainRead::Truncated));
    }
}

/// A peer that goes away at any byte of the handshake leaves a fault, never a proof.
#[test]
fn an_end_in_the_handshake_is_a_fault() {
    let bed = Bed::new();
    for engines in EACH {
        let shard = bed.shard_by(engines);
        let origin = bed.origin(HOST);
        for end in (0..).step_by(29) {
            let mut up = upstream(&shard, HOST, &origin, usize::MAX);
            let (mut hello, mut answer) = (Wire::new(usize::MAX), Wire::new(usize::MAX));
            up.ours.write_tls(&mut hello).expect("memory");
            up.peer.read_tls(&mut hello).expect("memory");
            up.peer.process_new_packets().expect("a good hello");
            while up.peer.wants_write() {
                up.peer.write_tls(&mut answer).expect("memory");
            }
            if end >= answer.bytes.len() {
                assert!(end > 500);
                break;
            }
            answer.bytes.truncate(end);
            while up.ours.read_tls(&mut answer).is_ok() {
                assert_eq!(up.ours.process(), Ok(()));
            }
            assert_eq!(up.ours.read_tls(&mut io::empty()).expect("end"), 0);
            // The last record or two hold session tickets: the handshake is complete without them.
            if up.ours.is_handshaking() {
                assert_eq!(up.ours.process(), Err(FaultKind::Closed), "after {end} bytes");
                assert!(up.ours.verified().is_none());
            }
        }
    }
}
