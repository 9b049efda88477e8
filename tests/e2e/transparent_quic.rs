//! UDP/443 of inside hosts: QUIC to sign-in hosts is refused and the client told, all else goes the kernel's way.

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use penstock_tests::appliance::Appliance;
use penstock_tests::certificate::TestAuthority;
use penstock_tests::network::{INSIDE_V4, INSIDE_V6, Network, OTHER_V4, OTHER_V6, Place, SIGN_IN_V4, SIGN_IN_V6};
use penstock_tests::{place, wait};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::transparent::{ENTRA, EXEMPTIONS, OTHER, TENANTS, outside, setup, sign_in};

pub(crate) const APPLY: &[&str] = &["apply", "--mode", "tproxy", "--interface", "in0", "--quic-port", "8444"];
pub(crate) const LISTEN: &[&str] = &["--quic", "0.0.0.0:8444", "--quic", "[::]:8444"];

/// An origin that speaks QUIC; ends with its network.
pub(crate) struct Origin {
    _child: Child,
    said: BufReader<std::process::ChildStdout>,
    files: TempDir,
}

impl Origin {
    /// One that echoes; `None` where the Python clients are not installed.
    pub(crate) fn start(network: &Network, address: IpAddr) -> Option<Self> {
        Self::start_as("serve", network, address)
    }

    /// One that speaks HTTP/3.
    pub(crate) fn pages(network: &Network, address: IpAddr) -> Option<Self> {
        Self::start_as("pages", network, address)
    }

    fn start_as(what: &str, network: &Network, address: IpAddr) -> Option<Self> {
        let python = place::python()?;
        let files = TempDir::new().unwrap();
        let authority = TestAuthority::new("QUIC");
        let (certificate, key) = authority.certify_rsa(OTHER);
        std::fs::write(files.path().join("root.pem"), authority.root_pem()).unwrap();
        let [certificate_file, key_file] = ["certificate.pem", "key.pem"].map(|name| files.path().join(name));
        std::fs::write(&certificate_file, certificate).unwrap();
        std::fs::write(&key_file, key).unwrap();
        let mut command = network.command(Place::Outside, python);
        command.arg(script()).args([what, &address.to_string()]).args([certificate_file, key_file]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut origin = Self { said: BufReader::new(child.stdout.take().unwrap()), _child: child, files };
        assert_eq!(origin.next(), json!({ "ready": true }));
        Some(origin)
    }

    /// Its authority's root, in PEM.
    pub(crate) fn root(&self) -> PathBuf {
        self.files.path().join("root.pem")
    }

    /// The next line that it says.
    pub(crate) fn next(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

pub(crate) fn script() -> PathBuf {
    place::workspace().join("tests/clients/quic.py")
}

/// What a client inside finds that asks for `name` at `address`.
pub(crate) fn ask(network: &Network, name: &str, address: IpAddr, more: &[&str]) -> Value {
    let script = script();
    let fixed = [script.to_str().unwrap(), "ask", name];
    let address = address.to_string();
    let python = place::python().unwrap();
    let said = network.must(Place::Inside, python.to_str().unwrap(), &[&fixed[..], &[&address], more].concat());
    serde_json::from_str(&said).unwrap()
}

/// Packets that the rule with this comment took, over both families.
pub(crate) fn packets(network: &Network, comment: &str) -> u64 {
    let rules = network.must(Place::Gate, "nft", &["list", "chain", "inet", "penstock_quic", "choose"]);
    let of_rule = |line: &str| line.split("counter packets ").nth(1)?.split(' ').next()?.parse::<u64>().ok();
    rules.lines().filter(|line| line.contains(&format!("comment \"{comment}\""))).filter_map(of_rule).sum()
}

pub(crate) fn counted(network: &Network, appliance: &Appliance, metric: &str, labels: &[&str]) -> f64 {
    network.enter(Place::Gate, || appliance.admin().metrics()).sum(metric, labels)
}

#[test]
fn h115_quic_to_a_sign_in_host_is_refused_at_once_and_the_client_signs_in_over_tcp() {
    let Some((network, saas)) = outside() else { return };
    let Some(_origin) = Origin::start(&network, SIGN_IN_V4) else { return };
    let appliance = setup(&network, "tproxy", LISTEN).shards(1).authority(saas.ca()).start();
    network.penstock_nft(APPLY);
    for (address, family) in [(SIGN_IN_V4, "-4"), (SIGN_IN_V6, "-6")] {
        for version in ["1", "2"] {
            let found = ask(&network, ENTRA, address, &["1", version]);
            assert_eq!(found["outcome"], "closed", "{found}: {}", appliance.log());
            assert_eq!(found["error"], 2, "CONNECTION_REFUSED");
        }
        assert_eq!(sign_in(&network, &appliance.root(), family), Ok(vec![TENANTS.to_owned()]), "{}", appliance.log());
    }
    assert_eq!(counted(&network, &appliance, "penstock_flows_total", &["verdict=\"deny\"", "reason=\"quic\""]), 4.0);
    assert!(counted(&network, &appliance, "penstock_udp_datagrams_total", &["outcome=\"answered\""]) >= 4.0);
    // Once in a while for each source and name, however often the client tries.
    let events = network.enter(Place::Gate, || appliance.admin().await_events("status=denied", 2));
    let mut sources: Vec<_> = events.iter().map(|event| event["source"].as_str().unwrap().to_owned()).collect();
    sources.sort();
    assert_eq!(sources, [INSIDE_V4.to_string(), INSIDE_V6.to_string()]);
    for event in &events {
        assert_eq!(
            (&event["code"], &event["sni"], &event["profile"]),
            (&json!("quic"), &json!(ENTRA), &json!("staff"))
        );
    }
}

#[test]
fn quic_elsewhere_passes_and_the_kernel_forwards_all_but_its_first_packets() {
    let Some(network) = Network::start() else { return };
    let appliance = setup(&network, "tproxy", LISTEN).start();
    for (address, client) in [(OTHER_V4, INSIDE_V4), (OTHER_V6, INSIDE_V6)] {
        let Some(mut origin) = Origin::start(&network, address) else { return };
        for version in ["1", "2"] {
            network.penstock_nft(APPLY);
            let found = ask(&network, OTHER, address, &["300000", version]);
            assert_eq!(
                found,
                json!({ "outcome": "echoed", "bytes": 300_000, "version": version }),
                "{}",
                appliance.log()
            );
            let source = origin.next()["source"][0].as_str().unwrap().parse::<IpAddr>().unwrap();
            assert_eq!(source.to_canonical(), client, "the origin sees the client");
            let (passed, read) = (packets(&network, "passed"), packets(&network, "read"));
            assert!(passed > 200 && read < 10, "{passed} packets passed, {read} were read");
        }
    }
    let passed = ["verdict=\"pass\"", "reason=\"not_listed\""];
    assert_eq!(counted(&network, &appliance, "penstock_flows_total", &passed), 4.0);
    assert!(counted(&network, &appliance, "penstock_udp_datagrams_total", &["outcome=\"forwarded\""]) >= 4.0);
}

#[test]
fn exempt_sources_and_destinations_go_past_it() {
    let Some(network) = Network::start() else { return };
    let appliance = setup(&network, "tproxy", LISTEN).start();
    let Some(_four) = Origin::start(&network, OTHER_V4) else { return };
    let Some(_six) = Origin::start(&network, OTHER_V6) else { return };
    for exemption in EXEMPTIONS {
        network.penstock_nft(&[APPLY, exemption].concat());
        assert_eq!(ask(&network, OTHER, OTHER_V4, &[])["outcome"], "echoed");
    }
    assert_eq!(counted(&network, &appliance, "penstock_udp_datagrams_total", &[]), 0.0);
    assert_eq!(ask(&network, OTHER, OTHER_V6, &[])["outcome"], "echoed");
    assert_eq!(counted(&network, &appliance, "penstock_flows_total", &[]), 1.0);
}

#[test]
fn passed_flows_are_translated_like_any_other() {
    let Some(network) = Network::start() else { return };
    let Some(mut origin) = Origin::start(&network, OTHER_V4) else { return };
    let appliance = setup(&network, "tproxy", LISTEN).start();
    network.penstock_nft(APPLY);
    let rules =
        "table ip masks { chain out { type nat hook postrouting priority srcnat; oifname \"out0\" masquerade; }; }";
    network.must(Place::Gate, "nft", &[rules]);
    let found = ask(&network, OTHER, OTHER_V4, &["300000"]);
    assert_eq!(found["outcome"], "echoed", "{found}: {}", appliance.log());
    assert_ne!(origin.next()["source"][0], json!(INSIDE_V4.to_string()));
    assert!(packets(&network, "passed") > 200);
}

#[test]
fn a_refusal_may_be_silent() {
    let Some(network) = Network::start() else { return };
    if place::python().is_none() {
        return;
    }
    let appliance = setup(&network, "tproxy", &[LISTEN, &["--quic-refuse", "drop"]].concat()).start();
    network.penstock_nft(APPLY);
    assert_eq!(ask(&network, ENTRA, SIGN_IN_V4, &[])["outcome"], "timeout");
    assert_eq!(counted(&network, &appliance, "penstock_udp_datagrams_total", &["outcome=\"answered\""]), 0.0);
    assert!(counted(&network, &appliance, "penstock_udp_datagrams_total", &["outcome=\"dropped\""]) >= 2.0);
}

#[test]
fn with_the_data_plane_down_quic_is_dropped_or_passes_as_the_operator_wishes() {
    let Some(network) = Network::start() else { return };
    let Some(_origin) = Origin::start(&network, OTHER_V4) else { return };
    network.penstock_nft(APPLY);
    assert_eq!(ask(&network, OTHER, OTHER_V4, &[])["outcome"], "timeout");
    network.penstock_nft(&[APPLY, &["--fail", "open"]].concat());
    assert_eq!(ask(&network, OTHER, OTHER_V4, &[])["outcome"], "echoed");
    let before = network.traces();
    assert!(before.contains("penstock_quic"));
    network.penstock_nft(&["remove"]);
    assert!(!network.traces().contains("penstock"), "no trace is left");
}

/// A socket inside and one outside at port 443.
pub(crate) fn ends(network: &Network, inside: IpAddr, outside: IpAddr) -> (UdpSocket, UdpSocket) {
    let bind = |place, address| network.enter(place, || UdpSocket::bind(address)).unwrap();
    let (client, origin) =
        (bind(Place::Inside, SocketAddr::new(inside, 0)), bind(Place::Outside, SocketAddr::new(outside, 443)));
    client.connect(SocketAddr::new(outside, 443)).unwrap();
    client.set_read_timeout(Some(wait::LIMIT)).unwrap();
    origin.set_read_timeout(Some(wait::LIMIT)).unwrap();
    (client, origin)
}

#[test]
fn h120_what_is_not_quic_gets_what_policy_says_of_what_is_not_tls() {
    let Some(network) = Network::start() else { return };
    let appliance = setup(&network, "tproxy", LISTEN).start();
    network.penstock_nft(APPLY);
    for (inside, outside) in [(INSIDE_V4, OTHER_V4), (INSIDE_V6, OTHER_V6)] {
        let (client, origin) = ends(&network, inside, outside);
        let mut buffer = [0; 100];
        for turn in 0..3 {
            client.send(&[22, turn]).unwrap();
            let (bytes, source) = origin.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..bytes], source), (&[22, turn][..], client.local_addr().unwrap()));
            origin.send_to(&[turn], source).unwrap();
            assert_eq!(client.recv(&mut buffer).unwrap(), 1);
        }
    }
    assert_eq!(packets(&network, "read"), 2, "the first of each flow");
    assert_eq!(counted(&network, &appliance, "penstock_flows_total", &["verdict=\"pass\"", "reason=\"not_tls\""]), 2.0);
    drop(appliance);

    let policy = place::read(place::example_policy()) + "\n[defaults]\nnot_tls = \"deny\"\n";
    let appliance = setup(&network, "tproxy", LISTEN).policy(&policy).start();
    network.penstock_nft(APPLY);
    let (client, origin) = ends(&network, INSIDE_V4, OTHER_V4);
    client.send(&[22, 0]).unwrap();
    wait::until("the flow to be refused", || {
        (counted(&network, &appliance, "penstock_flows_total", &["verdict=\"deny\"", "reason=\"not_tls\""]) == 1.0)
            .then_some(())
    });
    origin.set_nonblocking(true).unwrap();
    assert!(origin.recv_from(&mut [0; 100]).is_err(), "nothing came");
}

#[test]
fn a_flow_whose_port_the_appliance_has_itself_is_lost_and_counted() {
    let Some(network) = Network::start() else { return };
    let appliance = setup(&network, "tproxy", LISTEN).start();
    network.penstock_nft(APPLY);
    let (client, origin) = ends(&network, INSIDE_V4, OTHER_V4);
    let port = client.local_addr().unwrap().port();
    let taken = network.enter(Place::Gate, || UdpSocket::bind(("0.0.0.0", port))).unwrap();
    client.send(&[22, 0]).unwrap();
    let labels = ["leg=\"upstream\"", "phase=\"dial\"", "kind=\"resource\""];
    wait::until("the fault", || (counted(&network, &appliance, "penstock_faults_total", &labels) == 1.0).then_some(()));
    drop(taken);
    client.send(&[22, 1]).unwrap();
    let mut buffer = [0; 100];
    let bytes = origin.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..bytes], [22, 1], "with the port free again the flow goes on");
}

#[test]
fn h119_packets_of_a_connection_that_nobody_saw_begin_do_not_pass() {
    let Some(network) = Network::start() else { return };
    let appliance = setup(&network, "tproxy", LISTEN).start();
    network.penstock_nft(APPLY);
    let (moved, origin) = ends(&network, INSIDE_V4, OTHER_V4);
    // A short header from a port that has opened nothing: a client that was rebound, or came from another network.
    moved.send(&[0x40; 60]).unwrap();
    let unread = ["verdict=\"deny\"", "reason=\"quic_unread\""];
    wait::until("the packet to be refused", || {
        (counted(&network, &appliance, "penstock_flows_total", &unread) == 1.0).then_some(())
    });
    origin.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert!(origin.recv_from(&mut [0; 100]).is_err(), "nothing came");
}

#[test]
fn h118_a_source_that_opens_flow_after_flow_is_bounded_and_nothing_of_it_passes_unread() {
    let Some(network) = Network::start() else { return };
    let more = "[quic]\nlisten = [\"0.0.0.0:8444\", \"[::]:8444\"]\nflows_per_second_and_source_max = 5\n";
    let appliance = setup(&network, "tproxy", &[]).shards(1).dataplane(more).start();
    network.penstock_nft(APPLY);
    let (_, origin) = ends(&network, INSIDE_V4, OTHER_V4);
    let clients: Vec<_> = (0..200)
        .map(|_| network.enter(Place::Inside, || UdpSocket::bind(SocketAddr::new(INSIDE_V4, 0))).unwrap())
        .collect();
    let count = |metric: &str, labels: &[&str]| counted(&network, &appliance, metric, labels);
    let full = || count("penstock_faults_total", &["phase=\"accept\"", "kind=\"source_full\""]);
    clients.iter().for_each(|client| assert_eq!(client.send_to(&[22, 0], (OTHER_V4, 443)).unwrap(), 2));
    let passed = || count("penstock_flows_total", &["reason=\"not_tls\""]);
    wait::until("each to be counted", || (passed() + full() == 200.0).then_some(()));
    assert!(full() > 100.0 && passed() >= 5.0, "{} passed", passed());
    let mut arrived = 0.0;
    origin.set_nonblocking(true).unwrap();
    wait::until("those that passed", || {
        arrived += f64::from(origin.recv_from(&mut [0; 100]).is_ok());
        (arrived == passed()).then_some(())
    });
    assert!(origin.recv_from(&mut [0; 100]).is_err(), "nothing that was not judged came");
    assert_eq!(count("penstock_udp_datagrams_total", &["outcome=\"dropped\""]), full());
}

penstock_tests::on_epoll! {
    h115_quic_to_a_sign_in_host_is_refused_at_once_and_the_client_signs_in_over_tcp,
    quic_elsewhere_passes_and_the_kernel_forwards_all_but_its_first_packets,
    h119_packets_of_a_connection_that_nobody_saw_begin_do_not_pass,
    h120_what_is_not_quic_gets_what_policy_says_of_what_is_not_tls,
}
