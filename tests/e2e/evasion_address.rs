//! Flows to an address of an inspected host that say nothing of it: another name, no name, no TLS.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client;
use penstock_tests::place;
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::{Upstream, no_expectations};
use penstock_tests::wait;

const CLAUDE: &str = "claude.ai";
const INNOCENT: &str = "cdn-customer.example";

/// The operator's table leads both names to one address, and others elsewhere.
fn start(upstream: &Upstream, more: &str) -> Appliance {
    let policy = format!("{}\n{more}", place::read(place::example_policy()));
    Setup::default()
        .policy(&policy)
        .host(CLAUDE, upstream.address())
        .host(INNOCENT, upstream.address())
        .authority(upstream.ca())
        .start()
}

fn nameless(appliance: &Appliance, upstream: &Upstream, name: &str) -> std::io::Result<client::Client> {
    let mut config = client::config_mut(&[&upstream.ca(), &appliance.root()], rustls::ALL_VERSIONS);
    config.enable_sni = false;
    appliance.client_with(STAFF, name, Arc::new(config))
}

#[test]
fn h030_an_innocent_name_at_an_inspected_address_passes_and_is_told_once() {
    let upstream = Upstream::plan().expecting(no_expectations).start();
    let appliance = start(&upstream, "");
    for _ in 0..5 {
        let mut client = appliance.passed_client(INNOCENT, &upstream.ca());
        client.finish();
    }
    let admin = appliance.admin();
    wait::until("the flows to be counted", || {
        let metrics = admin.metrics();
        (metrics.sum("penstock_flows_total", &["reason=\"connector_address\"", "verdict=\"pass\""]) == 5.0)
            .then_some(())
    });
    let events = admin.await_events("status=would_deny", 1);
    assert!(events.len() <= 2, "one for each shard at the most: {events:?}");
    assert_eq!((&events[0]["code"], &events[0]["sni"]), (&"connector_address".into(), &INNOCENT.into()));
    // The host itself is inspected as ever.
    assert_eq!(appliance.client(CLAUDE).get(CLAUDE, "/").status, 200);
}

#[test]
fn h030_strictly_an_innocent_name_at_an_inspected_address_is_refused() {
    let upstream = Upstream::plan().start();
    let appliance = start(&upstream, "[evasion]\nconnector_addresses = \"deny\"\n");
    let config = client::config(&[&upstream.ca(), &appliance.root()]);
    assert!(appliance.client_with(STAFF, INNOCENT, config).is_err());
    let events = appliance.admin().await_events("status=denied", 1);
    assert_eq!((&events[0]["code"], &events[0]["sni"]), (&"connector_address".into(), &INNOCENT.into()));
    assert_eq!(appliance.client(CLAUDE).get(CLAUDE, "/").status, 200);
    assert!(upstream.seen().iter().all(|seen| seen.sni.as_deref() != Some(INNOCENT)));
}

#[test]
fn h010_h030_without_a_name_an_inspected_address_is_refused() {
    let upstream = Upstream::plan().start();
    let appliance = start(&upstream, "");
    assert!(nameless(&appliance, &upstream, INNOCENT).is_err());
    for bytes in [&b"SSH-2.0-client\r\n"[..], b"GET / HTTP/1.1\r\nHost: claude.ai\r\n\r\n"] {
        let mut stream = appliance.tunnel(INNOCENT);
        let _ = stream.write_all(bytes);
        let (heard, ended) = tunnel::drain(&mut stream);
        assert!(ended && heard.is_empty(), "{heard:?}");
    }
    let events = appliance.admin().await_events("status=denied", 3);
    assert!(events.iter().all(|event| event["code"] == "connector_address"), "{events:?}");
    assert!(upstream.seen().iter().all(|seen| seen.bytes.is_empty()));
}

#[test]
fn h030_an_address_that_every_name_leads_to_is_nobodys() {
    let upstream = Upstream::plan().expecting(no_expectations).start();
    let appliance = Setup::default().upstream(&upstream).host(CLAUDE, upstream.address()).start();
    let mut stream = appliance.tunnel(INNOCENT);
    stream.write_all(b"SSH-2.0-client\r\n").unwrap();
    // The origin, which speaks TLS, says what it thinks of that.
    let mut first = [0];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(first, [21]);
    let metrics = appliance.admin().metrics();
    assert_eq!(metrics.sum("penstock_flows_total", &["reason=\"connector_address\""]), 0.0);
}
