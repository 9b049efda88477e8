//! The ClientHello reader against captures that others made, with other parsers as oracles.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "hello/builder.rs"]
mod builder;
#[path = "hello/corpora.rs"]
mod corpora;
#[path = "hello/cuts.rs"]
mod cuts;

use corpora::{json_lines, unhex};
use penstock_core::bytes::Parsed;
use penstock_core::tls::{Ech, HelloReject};
use serde_json::Value;

/// Streams whose answer differs from tshark's, each with the reason. tshark dissects what is inside a stream; we judge its
/// first bytes, as the far end of an explicit or transparent proxy would.
const DIFFERENCES: &[(&str, u64, HelloReject)] = &[
    // STARTTLS: the TLS that tshark reads comes after a dialogue in the clear.
    ("unit_tests/pcaps/imap2.pcap", 0, HelloReject::NotTls),
    ("testing/btest/Traces/tls/imap-starttls.pcap", 0, HelloReject::NotTls),
    ("testing/btest/Traces/tls/pop3-starttls.pcap", 0, HelloReject::NotTls),
    ("testing/btest/Traces/tls/smtp-starttls.pcap", 0, HelloReject::NotTls),
    ("testing/btest/Traces/tls/xmpp-dialback-starttls.pcap", 0, HelloReject::NotTls),
    ("testing/btest/Traces/tls/xmpp-starttls.pcap", 0, HelloReject::NotTls),
    // OpenVPN over TCP: TLS inside its own framing.
    ("unit_tests/pcaps/openvpn_tcp_multi.pcap", 0, HelloReject::NotTls),
    ("unit_tests/pcaps/openvpn_tcp_multi.pcap", 1, HelloReject::NotTls),
    // Hellos of SSL 2.0, whose fields tshark does not list.
    ("tests/ssl_version_negated/input.pcap", 1, HelloReject::SslV2),
    ("tests/sslv2-tls-upgrade-01/ssl-v2-s1.pcap", 0, HelloReject::SslV2),
    ("tests/tls/tls-altname-zero/input.pcap", 0, HelloReject::SslV2),
    ("tests/tls/tls-glupteba-mb/input.pcap", 0, HelloReject::SslV2),
    ("tests/tls/tls-glupteba/input.pcap", 0, HelloReject::SslV2),
    ("testing/btest/Traces/tls/ssl-v2.pcap", 0, HelloReject::SslV2),
    ("testing/btest/Traces/tls/ssl.v3.pcap", 0, HelloReject::SslV2),
];

/// Type of `key_share` in the drafts of TLS 1.3 before the 23rd. tshark reads it; no client of today sends it, and we do not.
const DRAFT_KEY_SHARE: u16 = 40;

fn tcp_streams() -> Vec<Value> {
    ["merc", "suri", "zeek"].iter().flat_map(|name| json_lines(&format!("clienthello-tcp/{name}.jsonl.gz"))).collect()
}

fn stream_bytes(stream: &Value) -> Vec<u8> {
    let segments = stream["segments"].as_array().unwrap();
    segments.iter().flat_map(|segment| unhex(segment.as_str().unwrap())).collect()
}

fn joined<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}

#[test]
fn tcp_streams_read_as_tshark_reads_them() {
    let streams = tcp_streams();
    let (mut differences, mut draft_key_shares) = (0, 0);
    for stream in &streams {
        let (pcap, number) = (stream["pcap"].as_str().unwrap(), stream["stream"].as_u64().unwrap());
        match cuts::read(&stream_bytes(stream)) {
            Parsed::Complete { value, .. } => {
                assert_eq!(value.sni.as_deref().unwrap_or_default(), stream["sni"], "{pcap} {number}");
                let alpn = joined(value.alpn.iter().map(|name| String::from_utf8_lossy(name).into_owned()));
                assert_eq!(alpn, stream["alpn"], "{pcap} {number}");
                assert_eq!(joined(&value.extensions), stream["exts"], "{pcap} {number}");
                let groups = joined(&value.key_share_groups);
                if value.extensions.contains(&DRAFT_KEY_SHARE) {
                    assert_eq!(groups, "", "{pcap} {number}");
                    draft_key_shares += 1;
                } else {
                    assert_eq!(groups, stream["key_share_groups"], "{pcap} {number}");
                }
            }
            Parsed::Reject(reject) => {
                assert!(DIFFERENCES.contains(&(pcap, number, reject)), "{pcap} {number}: {reject}");
                differences += 1;
            }
            Parsed::Incomplete { .. } => panic!("{pcap} {number}: incomplete"),
        }
    }
    if !streams.is_empty() {
        assert_eq!((streams.len(), differences, draft_key_shares), (614, DIFFERENCES.len(), 18));
    }
}

#[test]
fn the_length_of_a_message_is_the_one_that_tshark_reads() {
    for stream in tcp_streams() {
        let bytes = stream_bytes(&stream);
        if let Parsed::Complete { consumed, .. } = cuts::read(&bytes) {
            let message = builder::payload(&bytes[..consumed]);
            assert_eq!(Some(message.len() as u64 - 4), stream["hello_len"].as_u64(), "{}", stream["pcap"]);
        }
    }
}

#[test]
fn tcp_streams_read_the_same_however_they_are_cut() {
    for stream in tcp_streams() {
        let bytes = stream_bytes(&stream);
        let answer = match cuts::read(&bytes) {
            // A few bytes behind the hello are enough to show that they are left alone.
            Parsed::Complete { consumed, .. } => cuts::check_segments(&bytes[..bytes.len().min(consumed + 3)]),
            _ => cuts::check_segments(&bytes[..bytes.len().min(16)]),
        };
        if let Parsed::Complete { value, consumed } = answer {
            cuts::check_records(&builder::payload(&bytes[..consumed]), &value);
        }
    }
}

#[test]
fn browsers_are_read_as_they_were_recorded() {
    let hellos = json_lines("browser-hellos-curl-cffi/hellos.jsonl");
    for hello in &hellos {
        let bytes = unhex(hello["hex"].as_str().unwrap());
        let facts = cuts::facts(&bytes);
        let client = &hello["client"];
        assert_eq!(facts.sni.as_deref(), hello["sni"].as_str(), "{client}");
        let alpn: Vec<_> = facts.alpn.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(serde_json::json!(alpn), hello["alpn"], "{client}");
        assert_eq!(serde_json::json!(facts.extensions), hello["ext"], "{client}");
        assert_eq!(serde_json::json!(facts.key_share_groups), hello["key_share_groups"], "{client}");
        assert_eq!(facts.ech == Some(Ech::Outer), hello["ech_ext"], "{client}");
        assert_eq!(facts.version_max, 0x0304, "{client}");
    }
    assert!(hellos.is_empty() || hellos.len() >= 44, "{}", hellos.len());
}

#[test]
fn browsers_are_read_the_same_however_they_are_cut() {
    for hello in json_lines("browser-hellos-curl-cffi/hellos.jsonl") {
        let bytes = unhex(hello["hex"].as_str().unwrap());
        let Parsed::Complete { value, .. } = cuts::check_segments(&bytes) else {
            panic!("{}", hello["client"]);
        };
        cuts::check_records(&builder::payload(&bytes), &value);
    }
}

#[test]
fn browsers_have_their_published_fingerprints() {
    const PUBLISHED: &[(&str, &str)] = &[
        ("chrome99", "t13d1516h2_8daaf6152771_e5627efa2ab1"),
        ("chrome131", "t13d1516h2_8daaf6152771_02713d6af862"),
        ("chrome136", "t13d1516h2_8daaf6152771_d8a2da3f94cd"),
        ("safari17_0", "t13d2014h2_a09f3c656075_14788d8d241b"),
        ("firefox135", "t13d1717h2_5b57614c22b0_3cbfd9057e0d"),
    ];
    for hello in json_lines("browser-hellos-curl-cffi/hellos.jsonl") {
        let published = PUBLISHED.iter().find(|(client, _)| hello["client"] == *client);
        if let Some((client, expected)) = published {
            assert_eq!(cuts::ja4(&unhex(hello["hex"].as_str().unwrap())), *expected, "{client}");
        }
    }
}

#[test]
fn hellos_of_quic_read_the_same_in_records() {
    let sni = |name: &str| {
        let path = corpora::file(&format!("quic-vectors/{name}"))?;
        let message = std::fs::read(path).unwrap();
        let facts = cuts::facts(&builder::records(&message, 16_384));
        cuts::check_records(&message, &facts);
        Some(facts)
    };
    let Some(plain) = sni("tls_client_hello.bin") else { return };
    assert_eq!((plain.sni, plain.version_max), (None, 0x0304));
    let named = sni("tls_client_hello_with_sni.bin").unwrap();
    assert!(named.sni.is_some(), "{named:?}");
    let with_alpn = sni("tls_client_hello_with_alpn.bin").unwrap();
    assert!(!with_alpn.alpn.is_empty(), "{with_alpn:?}");
    let with_psk = sni("tls_client_hello_with_psk.bin").unwrap();
    assert!(with_psk.has_pre_shared_key, "{with_psk:?}");
}
