//! Listeners that clients take for the origin: DNS or a balancer leads them there, and the name in the ClientHello says
//! where they want to go.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client::{self, Client};
use penstock_tests::haproxy::{BALANCER, Haproxy};
use penstock_tests::http2::{Ask, Http2Client};
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::Upstream;
use penstock_tests::{place, wait};

const CLAUDE: &str = "claude.ai";
const PASSED: &str = "www.example.org";

/// An appliance with a direct listener, which `more` says more of.
fn appliance(upstream: &Upstream, more: &str) -> Appliance {
    let listener = format!("[[listener]]\nkind = \"direct\"\naddress = \"127.0.0.1:0\"\n{more}");
    Setup::default().upstream(upstream).policy(&policy()).dataplane(&listener).start()
}

fn policy() -> String {
    let site = "\n[[site]]\nname = \"Berlin\"\nsources = [\"127.0.0.7\"]\n";
    place::read(place::example_policy()).replace("\"127.0.0.1\"", "\"127.0.0.1\", \"127.0.0.7\"") + site
}

/// A connection to the direct listener.
fn dial(appliance: &Appliance) -> TcpStream {
    tunnel::dial(STAFF, appliance.transparent(0))
}

fn await_fault(appliance: &Appliance, labels: [&str; 3]) {
    wait::until(&format!("a fault with {labels:?}"), || {
        (appliance.admin().metrics().sum("penstock_faults_total", &labels) >= 1.0).then_some(())
    });
}

#[test]
fn the_name_is_dialled_restricted_and_recorded() {
    let upstream = Upstream::plan().start();
    let appliance = appliance(&upstream, "");
    let mut client = Client::connect(dial(&appliance), CLAUDE, client::config(&[&appliance.root()])).unwrap();
    assert_eq!(client.get(CLAUDE, "/").status, 200);
    let config = client::config_mut(&[&appliance.root()], rustls::ALL_VERSIONS);
    let client = Http2Client::connect(dial(&appliance), CLAUDE, config).unwrap();
    assert_eq!(client.ask(Ask::get(CLAUDE, "/api")).unwrap().status, 200);
    let event = appliance.admin().await_events("connector=anthropic-claude", 2).pop().unwrap();
    assert_eq!((&event["sni"], &event["status"]), (&CLAUDE.into(), &"allowed".into()), "{event}");
    for request in upstream.requests() {
        assert_eq!(request.values("anthropic-allowed-org-ids").count(), 1);
    }
}

#[test]
fn a_host_that_no_connector_names_keeps_its_certificate() {
    let upstream = Upstream::plan().start();
    let appliance = appliance(&upstream, "");
    let mut client = Client::connect(dial(&appliance), PASSED, client::config(&[&upstream.ca()])).unwrap();
    assert_eq!(client.get(PASSED, "/").status, 200);
    upstream.verify();
}

/// Nothing is dialled for them.
#[test]
fn without_a_name_nobody_is_reached() {
    let upstream = Upstream::plan().start();
    let appliance = appliance(&upstream, "");
    let mut nameless = dial(&appliance);
    nameless.write_all(&client::first_flight("192.0.2.1", client::config(&[&appliance.root()])).1).unwrap();
    let mut said = Vec::new();
    nameless.read_to_end(&mut said).unwrap();
    // A fatal alert, unrecognized_name (RFC 6066 section 3).
    assert_eq!(said, [0x15, 3, 1, 0, 2, 2, 112]);
    let mut plain = dial(&appliance);
    plain.write_all(b"GET / HTTP/1.1\r\nHost: claude.ai\r\n\r\n").unwrap();
    let mut said = Vec::new();
    match plain.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert_eq!(said, b"");
    await_fault(&appliance, ["leg=\"downstream\"", "phase=\"sniff\"", "kind=\"name_missing\""]);
    assert!(upstream.seen().is_empty());
}

/// DNS that leads clients to the appliance leads the appliance to itself.
#[test]
fn a_name_that_leads_back_is_a_loop() {
    let upstream = Upstream::plan().start();
    let free = free_port();
    let listener = format!("[[listener]]\nkind = \"direct\"\naddress = \"{free}\"\nport = {}\n", free.port());
    let setup = Setup::default().host("loop.example.org", free).upstream(&upstream);
    let appliance = setup.dataplane(&listener).start();
    let config = client::config(&[&appliance.root()]);
    let refused = Client::connect(dial(&appliance), "loop.example.org", config);
    assert!(refused.is_err());
    await_fault(&appliance, ["leg=\"upstream\"", "phase=\"dial\"", "kind=\"loop\""]);
    let flows = appliance.admin().metrics().sum("penstock_flows_total", &[]);
    assert!(flows < 5.0, "{flows} flows");
}

#[test]
fn behind_a_balancer_a_flow_is_the_clients_that_the_header_names() {
    let upstream = Upstream::plan().start();
    let more = format!("proxy_protocol = \"required\"\ntrusted = [\"{BALANCER}\"]\n");
    let appliance = appliance(&upstream, &more);
    let Some(balancer) = Haproxy::start(appliance.transparent(0), "send-proxy-v2") else { return };
    let stream = tunnel::dial([127, 0, 0, 7].into(), balancer.address());
    let mut client = Client::connect(stream, CLAUDE, client::config(&[&appliance.root()])).unwrap();
    assert_eq!(client.get(CLAUDE, "/").status, 200);
    let event = appliance.admin().await_events("connector=anthropic-claude", 1).pop().unwrap();
    assert_eq!((&event["source"], &event["site"]), (&"127.0.0.7".into(), &"Berlin".into()), "{event}");
    // Nobody else gets in.
    let config = client::config(&[&appliance.root()]);
    assert!(Client::connect(dial(&appliance), CLAUDE, config).is_err());
    await_fault(&appliance, ["leg=\"downstream\"", "phase=\"proxy_header\"", "kind=\"source_forbidden\""]);
}

fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
