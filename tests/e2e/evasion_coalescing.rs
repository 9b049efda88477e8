//! A browser that sends requests for one host over its connection to another, because certificate and address are the same.

use std::net::SocketAddr;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::certificate::Shown;
use penstock_tests::chromium::Chromium;
use penstock_tests::network::{Network, Place, SIGN_IN_V4};
use penstock_tests::place;
use penstock_tests::tripwire::{self, CLAUDE};
use penstock_tests::upstream::{Plan, Upstream, no_expectations};
use serde_json::Value;

use crate::transparent;

const INSPECTED: &str = "claude.ai";
/// Of the same site.
const PASSED: &str = "status.claude.ai";
const PAGE: &str = "https://status.claude.ai/";
const FETCHED: &str = "+https://claude.ai/api/organizations";

/// Both names at one address, where one certificate covers both.
struct Bed {
    network: Network,
    upstream: Upstream,
    appliance: Appliance,
}

fn plan() -> Plan {
    // The host of each request is compared with its headers below.
    Upstream::plan().showing(Shown::Shared(&[PASSED, INSPECTED])).expecting(no_expectations)
}

/// Claude's restriction inspects one host alone, and whatever `restriction` adds.
fn policy(restriction: &str, more: &str) -> String {
    let connector = "connector = \"anthropic-claude\"";
    let narrow = format!("{connector}\nonly_hosts = [\"{INSPECTED}\"]\n{restriction}");
    place::read(place::example_policy()).replace(connector, &narrow) + more
}

impl Bed {
    fn start(policy: &str) -> Option<Self> {
        let network = Network::start()?;
        [PASSED, INSPECTED].iter().for_each(|name| network.name(name, &[SIGN_IN_V4]));
        let upstream = plan().start_outside(&network);
        // Known ahead, as are the addresses of each host that a policy names.
        let setup = transparent::setup(&network, "tproxy", &[]).host(INSPECTED, SocketAddr::new(SIGN_IN_V4, 443));
        let appliance = setup.policy(policy).authority(upstream.ca()).start();
        network.penstock_nft(&["apply", "--mode", "tproxy", "--interface", "in0"]);
        Some(Self { network, upstream, appliance })
    }

    /// What becomes of pages, and of what they fetch.
    fn browse(&self, addresses: &[&str]) -> Option<Vec<Value>> {
        let chromium = Chromium::trusting(&[&self.upstream.ca(), &self.appliance.root()])?;
        Some(chromium.open(&self.network, addresses, &["--disable-quic"]))
    }

    fn code(&self, query: &str) -> Value {
        let events = self.network.enter(Place::Gate, || self.appliance.admin().await_events(query, 1));
        assert!(events.iter().all(|event| event["sni"] == PASSED), "{events:?}");
        events[0]["code"].clone()
    }
}

/// The name of each connection that carried a request for the inspected host, and whether it bore the headers.
fn carried(upstream: &Upstream) -> Vec<(String, bool)> {
    let of_connection = |seen: penstock_tests::upstream::Seen| {
        let own = seen.requests.into_iter().filter(|request| request.values(":authority").eq([INSPECTED]));
        let sni = seen.sni.unwrap_or_default();
        own.map(|request| (sni.clone(), tripwire::check(&request, CLAUDE).is_ok())).collect::<Vec<_>>()
    };
    upstream.seen().into_iter().flat_map(of_connection).collect()
}

/// What the next test keeps from happening. What is asked inside a passed connection nobody reads; it can only be told that
/// the connection is one to share.
#[test]
fn h034_where_policy_only_tells_chromium_carries_an_inspected_host_over_a_passed_connection() {
    let reporting = policy("", "\n[evasion]\nconnector_addresses = \"report\"\n");
    let excluding = policy("", "").replace("*.bank.example", PASSED);
    for policy in [reporting, excluding] {
        let Some(bed) = Bed::start(&policy) else { return };
        let Some(opened) = bed.browse(&[PAGE, FETCHED]) else { return };
        assert_eq!((&opened[0]["status"], &opened[1]["status"]), (&200.into(), &200.into()), "{opened:?}");
        assert_eq!(opened[0]["connection"], opened[1]["connection"], "{opened:?}");
        assert_eq!(carried(&bed.upstream), [(PASSED.to_owned(), false)]);
        assert_eq!(bed.code("status=would_deny"), "shared_connection");
    }
}

/// A leaf of its own covers no second name: by default, and where the policy names the sibling itself.
#[test]
fn h034_by_default_chromium_gets_no_passed_connection_that_it_could_share() {
    for restriction in ["", "extra_hosts = [\"status.claude.ai\"]\n"] {
        let Some(bed) = Bed::start(&policy(restriction, "")) else { return };
        let Some(opened) = bed.browse(&[PAGE, FETCHED]) else { return };
        assert_eq!((&opened[0]["status"], &opened[1]["status"]), (&200.into(), &200.into()), "{opened:?}");
        assert_ne!(opened[0]["connection"], opened[1]["connection"], "{opened:?}");
        assert_eq!(opened[1]["protocol"], "h2");
        assert_eq!(carried(&bed.upstream), [(INSPECTED.to_owned(), true)]);
        let inspected = ["verdict=\"inspect\"", "reason=\"shared_connection\""];
        let flows =
            bed.network.enter(Place::Gate, || bed.appliance.admin().metrics().sum("penstock_flows_total", &inspected));
        assert_eq!(flows > 0.0, restriction.is_empty(), "{flows}");
    }
}

/// A browser that asks a proxy for names learns no addresses, so nothing needs to be refused there.
#[test]
fn h034_through_the_proxy_chromium_shares_no_connection() {
    let upstream = plan().start();
    let hosts = Setup::default().host(INSPECTED, upstream.address()).host(PASSED, upstream.address());
    let appliance = hosts.policy(&policy("", "")).authority(upstream.ca()).start();
    let Some(chromium) = Chromium::trusting(&[&upstream.ca(), &appliance.root()]) else { return };
    let opened = chromium.open_through(appliance.proxy(), &[PAGE, FETCHED]);
    assert_eq!((&opened[0]["status"], &opened[1]["status"]), (&200.into(), &200.into()), "{opened:?}");
    assert_ne!(opened[0]["connection"], opened[1]["connection"], "{opened:?}");
    assert_eq!(carried(&upstream), [(INSPECTED.to_owned(), true)]);
}
