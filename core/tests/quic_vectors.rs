//! Initial packets against the vectors of the RFCs, against captures with Wireshark as oracle, and against rustls.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "quic/cipher.rs"]
mod cipher;
#[path = "hello/corpora.rs"]
mod corpora;
#[path = "quic/wire.rs"]
mod wire;

use std::sync::Arc;

use cipher::Cipher;
use corpora::{json_lines, unhex};
use penstock_core::quic::{
    ConnectionId, InitialReader, Opening, QuicReject, Version, connection_close, version_negotiation,
};
use rustls::quic::ClientConnection;
use rustls::{ClientConfig, RootCertStore, Side};
use wire::{ID, Initial, Seen, crypto, flight, opens, see, see_all};

#[test]
fn client_initials_of_the_rfcs_are_opened() {
    let Some(file) = corpora::file("quic-vectors/initial_vectors.json") else { return };
    let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(unhex(vectors["dcid"].as_str().unwrap()), ID);
    for (name, version) in [("rfc9001_v1", Version::V1), ("rfc9369_v2", Version::V2)] {
        let vector = |field: &str| unhex(vectors["vectors"][name][field].as_str().unwrap());
        let mut packet = vector("long_client_encrypted_packet");
        let mut reader = InitialReader::new();
        let Opening::Opens { hello, version: seen, destination, source } = reader.handle_datagram(&Cipher, &packet)
        else {
            panic!("{name}");
        };
        // The vector's frames are one CRYPTO frame and padding: | 06 | offset | length (2) | 01 | length (3) | body ...
        let hello_types: Vec<u16> = hello.extensions().map(|(kind, _)| kind).collect();
        assert_eq!(hello.sni.unwrap().as_str(), "example.com");
        assert_eq!(hello_types, [0, 0xff01, 10, 16, 5, 51, 43, 13, 45, 28, 57], "{name}");
        assert_eq!((seen, destination.as_bytes(), source.as_bytes()), (version, ID, &[][..]));
        // One bit anywhere, and it is no longer authentic, or nothing at all.
        for at in [0, 1, 5, 6, 14, 18, 40, 1_199] {
            packet[at] ^= 1;
            let seen = see_all([&packet]);
            assert!(!matches!(seen[..], [Seen::Opens(_)]), "{name}, {at}: {seen:?}");
            packet[at] ^= 1;
        }
        // The server's packet is not under the client's keys.
        let server = vector("long_server_encrypted_packet");
        assert_eq!(see_all([&[server, vec![0; 1_200]].concat()]), [Seen::Ignored]);
    }
}

/// What stands for a name in captures of an interoperability runner: a hello with it is refused over TCP too.
const NO_NAMES: &[&str] = &["server4:443"];

#[test]
fn captured_flows_read_as_wireshark_reads_them() {
    let flows: Vec<_> =
        ["zeek", "suri"].iter().flat_map(|name| json_lines(&format!("quic-initials/{name}.jsonl.gz"))).collect();
    for flow in &flows {
        let pcap = flow["pcap"].as_str().unwrap();
        let datagrams: Vec<Vec<u8>> =
            flow["datagrams_until_hello"].as_array().unwrap().iter().map(|hex| unhex(hex.as_str().unwrap())).collect();
        let mut reader = InitialReader::new();
        let (last, before) = datagrams.split_last().unwrap();
        for datagram in before {
            assert!(matches!(see(&mut reader, datagram), Seen::Unseen | Seen::Waits), "{pcap}");
        }
        if NO_NAMES.contains(&flow["sni"].as_str().unwrap()) {
            assert_eq!(see(&mut reader, last), Seen::Refused(QuicReject::Hello), "{pcap}");
            continue;
        }
        let Opening::Opens { hello, version, .. } = reader.handle_datagram(&Cipher, last) else {
            panic!("{pcap}: the last datagram opens nothing");
        };
        let joined = |items: Vec<String>| items.join(",");
        let name = hello.sni.as_ref().map(ToString::to_string).unwrap_or_default();
        assert_eq!(name, flow["sni"].as_str().unwrap(), "{pcap}");
        let alpn = hello.alpn().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(joined(alpn), flow["alpn"].as_str().unwrap(), "{pcap}");
        let types = hello.extensions().map(|(kind, _)| kind.to_string()).collect();
        assert_eq!(joined(types), flow["exts"].as_str().unwrap(), "{pcap}");
        let wire = format!("0x{:08x}", version.wire());
        assert!(flow["quic_version"].as_str().unwrap().starts_with(&wire), "{pcap}");
    }
    assert!(flows.is_empty() || flows.len() == 46, "{}", flows.len());
}

/// A real client's first flight; the longest hello that rustls makes holds a post-quantum share.
fn rustls_hello(name: &'static str) -> Vec<u8> {
    let mut config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h3".to_vec()];
    let name = name.try_into().unwrap();
    let mut client =
        ClientConnection::new(Arc::new(config), rustls::quic::Version::V1, name, b"parameters".to_vec()).unwrap();
    let mut message = vec![];
    assert!(client.write_hs(&mut message).is_none());
    message
}

#[test]
fn h116_a_post_quantum_hello_is_read_over_datagrams_in_any_order() {
    let message = rustls_hello("login.example.com");
    let datagrams = flight(&message);
    assert_eq!((message.len() > 1_200, datagrams.len()), (true, 2));
    assert_eq!(see_all(&datagrams), [Seen::Waits, opens("login.example.com")]);
    assert_eq!(see_all(datagrams.iter().rev()), [Seen::Waits, opens("login.example.com")]);
}

#[test]
fn h116_however_a_hello_is_cut_it_reads_the_same() {
    let message = rustls_hello("login.example.com");
    for cut in (1..message.len()).step_by(37) {
        let frames = [crypto(&message, cut, message.len()), crypto(&message, 0, cut)].concat();
        let whole = Initial { bytes: 1_900, ..Initial::of(frames) }.seal();
        assert_eq!(see_all([&whole]), [opens("login.example.com")], "{cut}");
        let first = Initial { bytes: 1_900, ..Initial::of(crypto(&message, 0, cut)) }.seal();
        let rest = Initial { bytes: 1_900, number: 1, ..Initial::of(crypto(&message, cut, message.len())) }.seal();
        assert_eq!(see_all([&first, &rest]), [Seen::Waits, opens("login.example.com")], "{cut}");
        // A whole datagram cut off anywhere is no datagram.
        assert_eq!(see_all([&whole[..whole.len() - cut.min(1_200)].to_vec()]), [Seen::Ignored], "{cut}");
    }
}

#[test]
fn a_refusal_is_what_a_client_opens_as_the_servers_close() {
    for (version, theirs) in [(Version::V1, rustls::quic::Version::V1), (Version::V2, rustls::quic::Version::V2)] {
        let (id, source) = (ConnectionId::new(ID).unwrap(), ConnectionId::new(&[1, 2, 3]).unwrap());
        let mut packet = connection_close(&Cipher, version, &id, &source).unwrap();
        assert!(packet.len() < 70, "{}", packet.len());
        let number_at = packet.len() - 21;
        let keys = wire::client_keys(theirs, ID, Side::Client).remote;
        let (header, payload) = packet.split_at_mut(number_at + 1);
        let sample: Vec<u8> = payload[3..19].to_vec();
        let (first, rest) = header.split_first_mut().unwrap();
        // The number's length is not known before: four bytes are offered, one is used.
        let mut number = [rest[number_at - 1], payload[0], payload[1], payload[2]];
        keys.header.decrypt_in_place(&sample, first, &mut number).unwrap();
        rest[number_at - 1] = number[0];
        assert_eq!((*first & 3, number[0]), (0, 0));
        let header = header.to_vec();
        assert_eq!(keys.packet.decrypt_in_place(0, &header, payload).unwrap(), [0x1c, 2, 0, 0]);
        assert_eq!(&header[5..9], [3, 1, 2, 3], "the client is answered by its own id");
    }
}

#[test]
fn other_versions_are_told_which_are_read() {
    let mut datagram = vec![0xc0, 0xff, 0, 0, 29, 2, 7, 8, 1, 9];
    datagram.resize(1_200, 0);
    let answer = version_negotiation(&datagram).unwrap();
    assert_eq!(answer, [0xc0, 0, 0, 0, 0, 1, 9, 2, 7, 8, 0, 0, 0, 1, 0x6b, 0x33, 0x43, 0xcf]);
    assert_eq!(version_negotiation(&datagram[..1_199]), None);
    assert_eq!(version_negotiation(&Initial::of(vec![]).seal()), None);
    assert_eq!(version_negotiation(&answer), None, "never an answer to an answer");
}
