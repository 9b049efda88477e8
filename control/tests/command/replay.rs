//! `penstock policy test` on captures that are made here, of real ClientHellos.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use etherparse::PacketBuilder;
use flate2::read::GzDecoder;
use penstock_core::bytes::Parsed;
use penstock_core::tls::ClientHelloReader;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::capture::{Format, Link, Packets, ipv4, ipv6};
use crate::{ends_with, penstock, stderr, stdout};

const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/policies/example.toml");
/// The host that the hellos of `core/testdata` name.
const NAMED: &str = "login.microsoftonline.com";

fn hello(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../core/testdata/hello/{name}.bin", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

struct Replay {
    directory: TempDir,
}

impl Replay {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    fn written(&self, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join("flows.pcap");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn found(&self, bytes: &[u8], more: &[&str]) -> Value {
        let path = self.written(bytes);
        let output = penstock(&[&test(&path)[..], &["--json"], more].concat());
        ends_with(&output, 0);
        serde_json::from_str(stdout(&output)).unwrap()
    }
}

fn test(path: &Path) -> [&str; 6] {
    ["policy", "test", "--policy", POLICY, "--pcap", path.to_str().unwrap()]
}

#[test]
fn a_hello_is_found_in_every_kind_of_file() {
    let replay = Replay::new();
    let hello = hello("chromium");
    let host = host_of(&hello);
    for link in Link::ALL {
        for format in Format::ALL {
            let mut packets = Packets::new(link, format);
            packets.connection(ipv4(40_000), &[&hello]);
            packets.connection(ipv6(40_000), &[&hello]);
            let found = replay.found(&packets.file(), &[]);
            assert_eq!(by_host(&found), BTreeMap::from([(host.clone(), 2)]), "{link:?} {format:?}: {found}");
        }
    }
}

#[test]
fn segments_come_in_any_order_and_more_than_once() {
    let replay = Replay::new();
    let hello = hello("chromium");
    let cut: Vec<&[u8]> = hello.chunks(200).collect();
    let mut packets = Packets::new(Link::Ethernet, Format::Little);
    let flow = ipv4(40_001);
    packets.syn(flow, 0xffff_ff00);
    let order = (1..cut.len()).rev().chain([2, 1]).chain(std::iter::once(0));
    for place in order {
        packets.segment(flow, 0xffff_ff01_u32.wrapping_add(u32::try_from(200 * place).unwrap()), cut[place]);
    }
    // The same without a SYN, as when the capture begins just then.
    let flow = ipv4(40_002);
    for place in (0..cut.len()).rev() {
        packets.segment(flow, 1_000 + u32::try_from(200 * place).unwrap(), cut[place]);
    }
    // Overlapping, each byte by itself, and twice.
    let flow = ipv4(40_003);
    packets.syn(flow, 5);
    for offset in 0..hello.len() {
        let end = hello.len().min(offset + 3);
        packets.segment(flow, 6 + u32::try_from(offset).unwrap(), &hello[offset..end]);
    }
    let found = replay.found(&packets.file(), &[]);
    assert_eq!(hosts(&found), [(host_of(&hello), 3)], "{found}");
    assert_eq!(found["hosts"][0]["sources"], 1);
}

#[test]
fn every_verdict_stands_in_its_row() {
    let replay = Replay::new();
    let mut packets = Packets::new(Link::Ethernet, Format::Little);
    let names = ["login.microsoftonline.com", "onedrive.live.com", "www.example.org"];
    for (port, name) in (41_000..).zip([
        "login.microsoftonline.com",
        "login.microsoftonline.com",
        "onedrive.live.com",
        "www.example.org",
    ]) {
        packets.connection(ipv4(port), &[&named(name)]);
    }
    let (whole, other) = (named(names[0]), ipv4(42_000));
    packets.connection(ipv4(42_001), &[&whole[..whole.len() - 1]]);
    packets.connection(ipv4(42_002), &[b"SSH-2.0-OpenSSH_9.2\r\n"]);
    packets.connection(ipv4(42_003), &[]);
    packets.segment(other, 77, b"\x17\x03\x03\x00\x20and so on");
    packets.connection(ipv4(42_004), &[b"\x16\x03\x01\x00\x04\x02\x00\x00\x00"]);
    let found = replay.found(&packets.file(), &[]);
    assert_eq!(found["flows"], json!({ "deny": 2, "inspect": 2, "pass": 2, "unread": 3 }), "{found}");
    let row = |host: &str| found["hosts"].as_array().unwrap().iter().find(|row| row["host"] == host).unwrap().clone();
    let entra = row(names[0]);
    assert_eq!(
        (&entra["verdict"], &entra["reason"], &entra["flows"]),
        (&"inspect".into(), &"inspected_host".into(), &2.into())
    );
    assert_eq!((&entra["connectors"], &entra["profile"]), (&json!(["microsoft-entra"]), &"staff".into()));
    assert_eq!((&row(names[1])["verdict"], &row(names[1])["reason"]), (&"deny".into(), &"denied_host".into()));
    assert_eq!((&row(names[2])["verdict"], &row(names[2])["reason"]), (&"pass".into(), &"not_listed".into()));
    let nameless: Vec<&Value> = found["hosts"].as_array().unwrap().iter().filter(|row| row["host"].is_null()).collect();
    assert_eq!(
        (&nameless[0]["reason"], &nameless[0]["reject"]),
        (&"malformed_hello".into(), &"not_client_hello".into())
    );
    assert_eq!((&nameless[1]["reason"], &nameless[1]["destination"]), (&"not_tls".into(), &"203.0.113.9:443".into()));
    let why: Vec<&str> = found["unread"].as_array().unwrap().iter().map(|row| row["why"].as_str().unwrap()).collect();
    assert_eq!(why, ["beginning_not_seen", "empty", "unfinished"]);

    let output = penstock(&test(&replay.written(&packets.file())));
    ends_with(&output, 0);
    let text = stdout(&output);
    assert!(text.contains("9 flow(s): 2 inspected, 2 passed, 2 denied, 3 not read;"), "{text}");
    assert!(text.contains("its ClientHello is not whole") && text.contains("microsoft-entra"), "{text}");
}

#[test]
fn sources_and_ports_are_chosen() {
    let replay = Replay::new();
    let mut packets = Packets::new(Link::Ethernet, Format::Little);
    packets.connection(ipv4(43_000), &[&named(NAMED)]);
    packets.connection(ipv6(43_000), &[&named(NAMED)]);
    let file = packets.file();
    let flows = |more: &[&str]| hosts(&replay.found(&file, more)).iter().map(|(_, flows)| flows).sum::<u64>();
    assert_eq!(flows(&[]), 2);
    assert_eq!(flows(&["--source", "10.1.0.0/16"]), 1);
    assert_eq!(flows(&["--source", "10.1.2.3", "--source", "2001:db8::/32"]), 2);
    assert_eq!(flows(&["--source", "192.0.2.0/24"]), 0);
    assert_eq!(flows(&["--port", "8443"]), 0);
    ends_with(&penstock(&[&test(&replay.written(&file))[..], &["--source", "office"]].concat()), 2);
}

#[test]
fn a_port_that_is_used_again_is_another_connection() {
    let replay = Replay::new();
    let mut packets = Packets::new(Link::Ethernet, Format::Little);
    for _ in 0..2 {
        packets.connection(ipv4(44_000), &[&named(NAMED)]);
    }
    packets.syn(ipv4(44_000), 1);
    let found = replay.found(&packets.file(), &[]);
    assert_eq!((hosts(&found), &found["flows"]["unread"]), (vec![(NAMED.to_owned(), 2)], &1.into()), "{found}");
}

#[test]
fn what_is_wrong_with_a_capture_is_told_with_its_place() {
    let replay = Replay::new();
    let mut packets = Packets::new(Link::Ethernet, Format::Little);
    packets.connection(ipv4(45_000), &[&named(NAMED)]);
    let file = packets.file();
    let second = 24 + 16 + u32::from_le_bytes(file[32..36].try_into().unwrap()) as usize;
    let mut too_long = file.clone();
    too_long[second + 8..second + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut unknown_link = file.clone();
    unknown_link[20] = 105;
    let mut undescribed = Packets::new(Link::Ethernet, Format::NextGeneration);
    undescribed.connection(ipv4(45_001), &[&named(NAMED)]);
    let mut undescribed = undescribed.file();
    undescribed.drain(28..48);
    let cases: [(&[u8], String); 7] = [
        (b"", "the file is empty".into()),
        (b"GET / HTTP/1.1\r\nHost: pcap.example\r\n\r\n", "no pcap or pcapng file".into()),
        (&file[..10], "the file ends in the middle of it".into()),
        (&file[..file.len() - 1], "packet 2 at byte".into()),
        (&too_long, format!("packet 2 at byte {second}: a packet has more than")),
        (&unknown_link, "packet 1 at byte 24: link type 105 is not read".into()),
        (&undescribed, "packet 1 at byte 28: interface 0 is not described".into()),
    ];
    for (bytes, expected) in cases {
        let output = penstock(&test(&replay.written(bytes)));
        ends_with(&output, 1);
        assert!(stderr(&output).contains("flows.pcap: ") && stderr(&output).contains(&expected), "{}", stderr(&output));
    }
    for end in 0..file.len() {
        let output = stderr_of_prefix(&replay, &file, end);
        assert!(output.is_none_or(|said| said.contains("flows.pcap: ")), "{end}");
    }
    ends_with(&penstock(&test(Path::new("/nowhere/flows.pcap"))), 1);
}

/// What is said of a file that was cut; `None` when a packet ends there.
fn stderr_of_prefix(replay: &Replay, file: &[u8], end: usize) -> Option<String> {
    // Each sixteenth, and every one around headers.
    if end > 120 && !end.is_multiple_of(16) {
        return None;
    }
    let output = penstock(&test(&replay.written(&file[..end])));
    let code = output.status.code().unwrap();
    assert!(code == 0 || code == 1, "{end}: {code}");
    (code == 1).then(|| stderr(&output).to_owned())
}

#[test]
fn captured_tcp_flows_are_all_found() {
    let replay = Replay::new();
    let mut packets = Packets::new(Link::Sll, Format::NextGeneration);
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let lines = ["merc", "suri", "zeek"].map(|name| corpus(&format!("clienthello-tcp/{name}.jsonl.gz"))).concat();
    for (line, port) in lines.iter().zip(10_000..) {
        let segments: Vec<Vec<u8>> = line["segments"].as_array().unwrap().iter().map(unhex).collect();
        if let Parsed::Complete { value, .. } = ClientHelloReader::new().handle_bytes(&segments.concat())
            && let Some(sni) = value.sni
        {
            assert_eq!(sni.as_str(), line["sni"].as_str().unwrap().to_ascii_lowercase().trim_end_matches('.'));
            *expected.entry(sni.to_string()).or_default() += 1;
        }
        packets.connection(ipv4(port), &segments.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    let found = replay.found(&packets.file(), &[]);
    assert_eq!(by_host(&found), expected);
    let flows = &found["flows"];
    let told: u64 = ["deny", "inspect", "pass", "unread"].iter().map(|name| flows[name].as_u64().unwrap()).sum();
    assert_eq!(told, lines.len() as u64, "{flows}");
}

#[test]
fn captured_quic_flows_are_all_found() {
    let replay = Replay::new();
    let mut packets = Packets::new(Link::Sll2, Format::Big);
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let lines = ["suri", "zeek"].map(|name| corpus(&format!("quic-initials/{name}.jsonl.gz"))).concat();
    for (line, port) in lines.iter().zip(10_000..) {
        for datagram in line["datagrams_until_hello"].as_array().unwrap() {
            packets.datagram(ipv4(port), &unhex(datagram));
        }
        // With a port in it, a name is refused.
        let name = line["sni"].as_str().filter(|name| !name.contains(':')).unwrap_or_default();
        *expected.entry(name.to_owned()).or_default() += 1;
    }
    packets.datagram(ipv4(9_000), &[0x40; 50]);
    packets.datagram(ipv4(9_001), b"\x00\x01\x00\x00 no QUIC");
    let found = replay.found(&packets.file(), &[]);
    // Where the oracle reads no name, there may be one.
    let unnamed = expected.remove("").unwrap_or_default();
    let (known, more): (BTreeMap<_, _>, BTreeMap<_, _>) =
        by_host(&found).into_iter().partition(|(host, _)| expected.contains_key(host));
    assert_eq!(known, expected, "{found}");
    assert!(more.values().sum::<u64>() <= unnamed, "{more:?}");
    let rows = || found["hosts"].as_array().unwrap().iter();
    assert!(rows().all(|row| row["transport"] == "quic" && row["verdict"] != "inspect"), "{found}");
    assert!(rows().any(|row| row["reason"] == "not_tls"), "{found}");
    assert_eq!(found["unread"][0]["why"], "beginning_not_seen", "{found}");
}

#[test]
fn a_policy_that_is_refused_is_told_before_the_capture_is_read() {
    let replay = Replay::new();
    let policy = replay.written(b"[deny]\nhosts = 7\n");
    let output = penstock(&["policy", "test", "--policy", policy.to_str().unwrap(), "--pcap", "/nowhere", "--json"]);
    ends_with(&output, 1);
    assert!(stdout(&output).contains("\"valid\":false"), "{}", stdout(&output));
    ends_with(&penstock(&["policy", "test", "--policy", POLICY]), 2);
}

/// Names and flows of the rows that have a name.
fn hosts(found: &Value) -> Vec<(String, u64)> {
    let rows = found["hosts"].as_array().unwrap().iter();
    rows.filter_map(|row| Some((row["host"].as_str()?.to_owned(), row["flows"].as_u64().unwrap()))).collect()
}

fn by_host(found: &Value) -> BTreeMap<String, u64> {
    let mut flows = BTreeMap::new();
    for (host, count) in hosts(found) {
        *flows.entry(host).or_default() += count;
    }
    flows
}

fn host_of(hello: &[u8]) -> String {
    match ClientHelloReader::new().handle_bytes(hello) {
        Parsed::Complete { value, .. } => value.sni.unwrap().to_string(),
        other => panic!("{other:?}"),
    }
}

/// A short ClientHello of TLS 1.2 for `name`.
fn named(name: &str) -> Vec<u8> {
    let (name, length) = (name.as_bytes(), |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes());
    let server_name = [&length(name.len() + 3)[..], &[0], &length(name.len()), name].concat();
    let extension = [&[0, 0], &length(server_name.len())[..], &server_name].concat();
    let body =
        [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0xc0, 0x2f], &[1, 0], &length(extension.len()), &extension].concat();
    let message = [&[1, 0][..], &length(body.len()), &body].concat();
    [&[22, 3, 1][..], &length(message.len()), &message].concat()
}

/// The lines of a corpus; none, said aloud, when it is absent. In continuous integration absence is a failure.
#[expect(clippy::print_stdout, reason = "a test says what it leaves out")]
fn corpus(path: &str) -> Vec<Value> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpora");
    let root = std::env::var_os("PENSTOCK_CORPORA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let Ok(file) = std::fs::File::open(root.join(path)) else {
        assert!(std::env::var_os("CI").is_none(), "the corpus {path} is absent");
        println!("left out: the corpus {path} is absent");
        return vec![];
    };
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len() / 2).map(|index| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap()).collect()
}

#[test]
fn frames_of_other_protocols_are_counted() {
    let replay = Replay::new();
    let mut packets = Packets::new(Link::Raw, Format::Little);
    let mut ping = Vec::new();
    PacketBuilder::ipv4([10, 1, 2, 3], [203, 0, 113, 9], 9).icmpv4_echo_request(1, 2).write(&mut ping, &[]).unwrap();
    packets.raw(&ping);
    packets.raw(&[]);
    packets.raw(&[0xff; 60]);
    let found = replay.found(&packets.file(), &[]);
    assert_eq!((&found["packets"], &found["packets_other"], &found["hosts"]), (&3.into(), &3.into(), &json!([])));
}
