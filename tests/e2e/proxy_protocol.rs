//! Connections that come through a balancer: whose PROXY protocol headers count, and that a flow is the client's that a
//! header names, for policy and audit.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::process::{Command, Output};

use penstock_core::proxy::proxy_protocol::{Endpoints, Header, TlvKind, Version, parse};
use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::haproxy::{BALANCER, Haproxy};
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::Upstream;
use penstock_tests::{client, place};
use serde_json::Value;

const CLAUDE: &str = "claude.ai";
const CONNECT: &str = "CONNECT claude.ai:443 HTTP/1.1\r\nHost: claude.ai:443\r\n\r\n";
/// Of nobody on this machine, and of the profile `staff`.
const CLIENT: &str = "10.1.2.3";
const LINE: &str = "PROXY TCP4 10.1.2.3 198.51.100.1 56324 443\r\n";

/// Another source of the profile `staff`, whose headers are believed.
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));

/// An appliance whose proxy listener takes headers as `mode` says, from `PEER` and from HAProxy.
fn behind(upstream: &Upstream, mode: &str, more: &str) -> Appliance {
    let listen = format!("[listen]\nproxy_protocol = \"{mode}\"\ntrusted = [\"{PEER}\", \"{BALANCER}\"]\n{more}");
    Setup::default().upstream(upstream).policy(&policy()).dataplane(&listen).start()
}

fn policy() -> String {
    let names = "\n[[site]]\nname = \"Berlin\"\nsources = [\"10.1.0.0/16\", \"127.0.0.3\"]\n\
                 [[site]]\nname = \"Lab\"\nsources = [\"10.1.9.0/24\"]\n\
                 [[user]]\nname = \"kiosk\"\nsources = [\"10.1.2.3\", \"127.0.0.3\"]\n";
    let branch = "[[profile]]\nname = \"branch\"\nmode = \"enforce\"\nrestrictions = [\"claude\"]\n\n\
                  [[assignment]]\nprofile = \"branch\"\nsources = [\"10.30.0.0/16\"]\n\n[[assignment]]";
    place::read(place::example_policy()).replacen("[[assignment]]", branch, 1) + names
}

fn header(source: &str) -> Header {
    let endpoints = Endpoints::new(format!("{source}:56324").parse().unwrap(), "198.51.100.1:443".parse().unwrap());
    Header::new(Version::Two, Some(endpoints))
}

/// What the listener says to `bytes` before it closes, from `source`.
fn answer(appliance: &Appliance, source: IpAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = tunnel::dial(source, appliance.proxy());
    // The listener may have closed already.
    let _ = stream.write_all(bytes);
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    said
}

fn granted(appliance: &Appliance, source: IpAddr, ahead: &[u8]) -> TcpStream {
    let mut stream = tunnel::dial(source, appliance.proxy());
    let status = tunnel::ask(&mut stream, &[ahead, CONNECT.as_bytes()].concat()).status;
    assert_eq!(status, 200, "{}", appliance.log());
    stream
}

/// One request to an inspected host over `stream`, and the audit event that it leaves.
fn event_of(appliance: &Appliance, stream: TcpStream) -> Value {
    let before = appliance.admin().events("connector=anthropic-claude").len();
    let config = client::config(&[&appliance.root()]);
    let mut client = client::Client::connect(stream, CLAUDE, config).unwrap();
    assert_eq!(client.get(CLAUDE, "/").status, 200);
    appliance.admin().await_events("connector=anthropic-claude", before + 1).pop().unwrap()
}

fn await_fault(appliance: &Appliance, kind: &str) {
    let fault = format!("downstream/proxy_header/{kind}");
    penstock_tests::wait::until(&fault, || {
        let events = appliance.admin().events("status=fault");
        events.iter().any(|event| event["fault"] == fault.as_str()).then_some(())
    });
}

#[test]
fn h107_a_header_from_a_source_that_is_not_listed_is_refused() {
    let upstream = Upstream::plan().start();
    let required = behind(&upstream, "required", "");
    let with_header = [LINE, CONNECT].concat();
    for bytes in [&with_header, CONNECT] {
        assert_eq!(answer(&required, STAFF, bytes.as_bytes()), b"", "{bytes:?}");
    }
    await_fault(&required, "source_forbidden");
    let optional = behind(&upstream, "optional", "");
    let said = answer(&optional, STAFF, with_header.as_bytes());
    assert!(said.starts_with(b"HTTP/1.1 400 "), "{:?}", String::from_utf8_lossy(&said));
    let said = answer(&optional, STAFF, &[&header(CLIENT).encode()[..], CONNECT.as_bytes()].concat());
    assert!(said.starts_with(b"HTTP/1.1 400 "), "{:?}", String::from_utf8_lossy(&said));
    let off = Appliance::before(&upstream);
    assert!(answer(&off, PEER, with_header.as_bytes()).starts_with(b"HTTP/1.1 400 "));
    assert!(upstream.seen().is_empty());
    // Without one, it is the peer that counts.
    let event = event_of(&optional, granted(&optional, STAFF, b""));
    assert_eq!(event["source"], "127.0.0.1", "{event}");
}

#[test]
fn h107_a_listed_source_without_a_header_is_closed_where_one_must_come() {
    let upstream = Upstream::plan().start();
    let required = behind(&upstream, "required", "");
    assert_eq!(answer(&required, PEER, CONNECT.as_bytes()), b"");
    await_fault(&required, "header_missing");
    assert_eq!(answer(&required, PEER, b"PUT / HTTP/1.1\r\n\r\n"), b"");
    assert!(upstream.seen().is_empty());
    let optional = behind(&upstream, "optional", "");
    let event = event_of(&optional, granted(&optional, PEER, b""));
    assert_eq!(event["source"], "127.0.0.4", "{event}");
}

#[test]
fn h108_h109_headers_that_are_wrong_end_the_connection() {
    let upstream = Upstream::plan().start();
    let appliance = behind(&upstream, "required", "");
    let mut wrong_sum = header(CLIENT);
    assert!(wrong_sum.tlvs.push(TlvKind::CRC32C, &[0; 4]));
    let mut wrong_sum = wrong_sum.encode();
    *wrong_sum.last_mut().unwrap() ^= 1;
    let mut long = header(CLIENT).encode();
    long[14..16].copy_from_slice(&[0xff, 0xff]);
    let mut udp = header(CLIENT).encode();
    udp[13] = 0x12;
    let unknown = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    for ahead in [
        &b"PROXY TCP4 10.1.2.3 198.51.100.1 56324 443\n"[..],
        b"PROXY TCP4 10.1.2.3 198.51.100.1 0 443\r\n",
        b"PROXY TCP4 10.1.2.3 2001:db8::1 1 443\r\n",
        unknown.as_bytes(),
        &wrong_sum,
        &long,
        &udp,
    ] {
        assert_eq!(answer(&appliance, PEER, &[ahead, CONNECT.as_bytes()].concat()), b"", "{ahead:?}");
    }
    await_fault(&appliance, "malformed");
    assert!(upstream.seen().is_empty());
}

#[test]
fn h108_h109_a_header_that_names_nobody_leaves_the_real_peer() {
    let upstream = Upstream::plan().start();
    let appliance = behind(&upstream, "required", "");
    for ahead in [b"PROXY UNKNOWN\r\n".to_vec(), Header::new(Version::Two, None).encode()] {
        let event = event_of(&appliance, granted(&appliance, PEER, &ahead));
        assert_eq!(event["source"], "127.0.0.4", "{event}");
    }
}

#[test]
fn h110_a_second_header_is_refused() {
    let upstream = Upstream::plan().start();
    let appliance = behind(&upstream, "required", "");
    let block = header(CLIENT).encode();
    for (first, second) in [(LINE.as_bytes(), LINE.as_bytes()), (&block, &block), (&block, LINE.as_bytes())] {
        let said = answer(&appliance, PEER, &[first, second, CONNECT.as_bytes()].concat());
        assert!(said.starts_with(b"HTTP/1.1 400 "), "{:?}", String::from_utf8_lossy(&said));
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn h110_a_header_that_drips_meets_its_deadline() {
    let upstream = Upstream::plan().start();
    let appliance = behind(&upstream, "required", "[deadlines]\nproxy_header_ms = 500\n");
    let mut padded = header(CLIENT);
    assert!(padded.tlvs.push(TlvKind::NOOP, &[0; 3_000]));
    let mut stream = tunnel::dial(PEER, appliance.proxy());
    let is_cut = padded.encode().iter().any(|byte| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        stream.write_all(&[*byte]).is_err()
    });
    assert!(is_cut, "a header of a byte at a time is waited for without an end");
    await_fault(&appliance, "deadline");
}

#[test]
fn a_flow_is_the_clients_that_the_header_names() {
    let upstream = Upstream::plan().start();
    let appliance = behind(&upstream, "required", "proxy_protocol_user = \"tlv:0xe0\"\n");
    let event = event_of(&appliance, granted(&appliance, PEER, LINE.as_bytes()));
    let told = |event: &Value| ["source", "profile", "site", "user", "username"].map(|key| event[key].clone());
    assert_eq!(told(&event), [CLIENT, "staff", "Berlin", "kiosk", "k***"].map(Value::from), "{event}");
    // The narrower network names the site, and the balancer the user.
    let mut told_user = header("10.1.9.9");
    assert!(told_user.tlvs.push(TlvKind(0xe0), b"alice@contoso.com"));
    let event = event_of(&appliance, granted(&appliance, PEER, &told_user.encode()));
    assert_eq!(told(&event), ["10.1.9.9", "staff", "Lab", "alice@contoso.com", "a***"].map(Value::from), "{event}");
    // Policy follows the source of the header.
    let event = event_of(&appliance, granted(&appliance, PEER, &header("10.30.0.7").encode()));
    assert_eq!(told(&event)[..2], ["10.30.0.7", "branch"].map(Value::from), "{event}");
    let explained = appliance.penstock(&["explain", "--sni", CLAUDE, "--source", CLIENT, "--json"]);
    let explained: Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert_eq!((&explained["site"], &explained["user"]), (&Value::from("Berlin"), &Value::from("kiosk")));
}

#[test]
fn a_client_certificate_that_the_balancer_verified_names_the_user() {
    let upstream = Upstream::plan().start();
    let appliance = behind(&upstream, "required", "proxy_protocol_user = \"ssl-cn\"\n");
    for (verify, user) in [(0, Value::from("carol")), (1, Value::Null)] {
        let mut certified = header("10.1.9.9");
        let ssl = [&[0x07, 0, 0, 0, verify][..], b"\x22\x00\x05carol"].concat();
        assert!(certified.tlvs.push(TlvKind::SSL, &ssl));
        let event = event_of(&appliance, granted(&appliance, PEER, &certified.encode()));
        assert_eq!(event["user"], user, "{event}");
    }
}

fn curl(arguments: &[&str]) -> Output {
    let mut command = Command::new(place::program("curl").unwrap());
    command.args(["--silent", "--show-error", "--noproxy", ""]).args(arguments).output().unwrap()
}

#[test]
fn haproxy_in_front_keeps_the_clients_address() {
    let upstream = Upstream::plan().start();
    let appliance = behind(&upstream, "required", "");
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
    for options in
        ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority,ssl,cert-cn"]
    {
        let Some(balancer) = Haproxy::start(appliance.proxy(), options) else { return };
        let before = appliance.admin().events("source=127.0.0.3").len();
        let proxy = format!("http://{}", balancer.address());
        let root = appliance.root();
        let root = root.to_str().unwrap();
        let output =
            curl(&["--interface", &source.to_string(), "--proxy", &proxy, "--cacert", root, "https://claude.ai/"]);
        assert!(output.status.success(), "{options}: {output:?}\n{}", appliance.log());
        let event = appliance.admin().await_events("source=127.0.0.3", before + 1).pop().unwrap();
        assert_eq!((&event["site"], &event["user"]), (&Value::from("Berlin"), &Value::from("kiosk")), "{options}");
    }
}

#[test]
fn curl_sends_a_header_that_is_understood() {
    let upstream = Upstream::plan().start();
    let appliance = behind(&upstream, "required", "");
    let url = format!("http://{}/proxy.pac", appliance.proxy());
    let interface = PEER.to_string();
    let with = curl(&["--interface", &interface, "--haproxy-protocol", &url]);
    assert!(String::from_utf8_lossy(&with.stdout).contains("FindProxyForURL"), "{with:?}");
    let without = curl(&["--interface", &interface, &url]);
    assert!(!without.status.success(), "{without:?}");
}

#[test]
fn another_implementation_writes_and_reads_the_same_headers() {
    let Some(python) = place::python() else { return };
    let script = place::workspace().join("tests/clients/proxy_header.py");
    let mut ours = header("10.1.9.9");
    assert!(ours.tlvs.push(TlvKind::AUTHORITY, b"a.example"));
    // In the order of their types: the other one sorts them before it looks at the checksum.
    assert!(ours.tlvs.push(TlvKind::CRC32C, &[0; 4]));
    assert!(ours.tlvs.push(TlvKind::UNIQUE_ID, b"id-7"));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let output = Command::new(python).arg(script).arg(hex(&ours.encode())).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("10.1.9.9:56324 198.51.100.1:443 a.example id-7"), "{output:?}");
    let mut headers = 0;
    for line in lines {
        let bytes: Vec<u8> =
            (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap()).collect();
        let read = parse(&bytes).complete().unwrap_or_else(|| panic!("{line}"));
        let ends = read.endpoints.unwrap();
        assert_eq!((ends.source.port(), ends.destination.port()), (56324, 443), "{line}");
        if read.version == Version::Two {
            assert!(read.tlvs.find(TlvKind::CRC32C).is_some());
            assert_eq!(read.tlvs.ssl().and_then(|ssl| ssl.common_name()), Some("bob"));
        }
        headers += 1;
    }
    assert_eq!(headers, 4);
}
