//! Inside hosts that know of no proxy, led to the appliance by nftables `tproxy`.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use penstock_tests::network::{
    GATE_V4, GATE_V6, INSIDE_V4, INSIDE_V6, Network, OTHER_V4, OTHER_V6, Place, SIGN_IN_V4, SIGN_IN_V6,
};
use penstock_tests::{place, wait};

use crate::transparent::{ENTRA, OTHER, TENANTS, check_exemptions, check_hosts, curl, outside, setup, sign_in};

const APPLY: &[&str] = &["apply", "--mode", "tproxy", "--interface", "in0"];

#[test]
fn curl_is_restricted_where_it_signs_in_and_untouched_elsewhere() {
    let Some((network, saas)) = outside() else { return };
    let before = network.traces();
    let appliance = setup(&network, "tproxy", &[]).authority(saas.ca()).start();
    network.penstock_nft(APPLY);
    check_hosts(&network, &saas, &appliance);
    network.penstock_nft(&["remove"]);
    assert_eq!(network.traces(), before, "no trace is left");
}

#[test]
fn exempt_sources_and_destinations_go_past_it() {
    check_exemptions("tproxy", APPLY);
}

/// An origin in the clear on port 443, which says whom it sees: a flow that is not TLS passes.
fn seen_by_origin(network: &Network, address: IpAddr) -> IpAddr {
    let address = SocketAddr::new(address, 443);
    let listener = network.enter(Place::Outside, || TcpListener::bind(address)).unwrap();
    let asked = network.enter(Place::Inside, || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(wait::LIMIT)).unwrap();
        stream.write_all(b"hello\n").unwrap();
        stream
    });
    let (mut origin, peer) = listener.accept().unwrap();
    let mut hello = [0; 6];
    origin.read_exact(&mut hello).unwrap();
    origin.write_all(&hello).unwrap();
    drop(origin);
    let mut echo = Vec::new();
    (&asked).read_to_end(&mut echo).unwrap();
    assert_eq!(echo, b"hello\n");
    peer.ip()
}

#[test]
fn origins_see_the_appliance_or_the_client_as_the_operator_wishes() {
    let Some(network) = Network::start() else { return };
    let inside = [(OTHER_V4, INSIDE_V4), (OTHER_V6, INSIDE_V6)];
    {
        let _appliance = setup(&network, "tproxy", &[]).start();
        network.penstock_nft(APPLY);
        for (origin, client) in inside {
            assert_ne!(seen_by_origin(&network, origin), client);
        }
    }
    let appliance = setup(&network, "tproxy", &["--keep-source"]).start();
    for (origin, client) in inside {
        assert_eq!(seen_by_origin(&network, origin), client);
    }
    wait::until("the flows to be counted", || {
        let metrics = network.enter(Place::Gate, || appliance.admin().metrics());
        (metrics.sum("penstock_flows_total", &["reason=\"not_tls\""]) == 2.0).then_some(())
    });
}

#[test]
fn with_its_own_source_a_client_is_restricted_all_the_same() {
    let Some((network, saas)) = outside() else { return };
    let appliance = setup(&network, "tproxy", &["--keep-source"]).authority(saas.ca()).start();
    network.penstock_nft(APPLY);
    check_hosts(&network, &saas, &appliance);
}

/// An address counts as the sign-in host's once that has proven its name there; no DNS answer is needed.
#[test]
fn an_innocent_name_at_the_address_of_a_sign_in_host_is_refused() {
    let Some((network, saas)) = outside() else { return };
    network.name("cdn-customer.example", &[SIGN_IN_V4, SIGN_IN_V6]);
    let policy = format!("{}\n[evasion]\nconnector_addresses = \"deny\"\n", place::read(place::example_policy()));
    let appliance = setup(&network, "tproxy", &[]).policy(&policy).authority(saas.ca()).start();
    network.penstock_nft(APPLY);
    for family in ["-4", "-6"] {
        assert_eq!(sign_in(&network, &appliance.root(), family), Ok(vec![TENANTS.to_owned()]), "{}", appliance.log());
        let fronted = curl(&network, &saas.ca(), &[family, "https://cdn-customer.example/bytes/10"]);
        assert!(!fronted.status.success() && fronted.stdout.is_empty());
        // Elsewhere the same kind of name passes.
        assert!(curl(&network, &saas.ca(), &[family, &format!("https://{OTHER}/bytes/10")]).status.success());
    }
    let events = network.enter(Place::Gate, || appliance.admin().await_events("status=denied", 2));
    assert!(events.iter().all(|event| event["code"] == "connector_address"), "{events:?}");
}

#[test]
fn a_connection_to_the_appliance_itself_is_refused_and_counted() {
    let Some(network) = Network::start() else { return };
    let appliance = setup(&network, "tproxy", &[]).start();
    network.penstock_nft(APPLY);
    for (count, gate) in [(1.0, GATE_V4), (2.0, GATE_V6)] {
        network.enter(Place::Inside, || {
            // The reset may come before the connection is known to stand.
            let Ok(mut stream) = TcpStream::connect(SocketAddr::new(gate, 8443)) else { return };
            assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "nothing is served");
        });
        wait::until("the loop to be counted", || {
            let metrics = network.enter(Place::Gate, || appliance.admin().metrics());
            (metrics.sum("penstock_faults_total", &["phase=\"accept\"", "kind=\"loop\""]) == count).then_some(())
        });
    }
}

#[test]
fn chromium_without_a_proxy_signs_in_and_is_recorded() {
    let Some((network, saas)) = outside() else { return };
    let appliance = setup(&network, "tproxy", &[]).authority(saas.ca()).start();
    network.penstock_nft(APPLY);
    let path = "/contoso.com/v2.0/.well-known/openid-configuration";
    let url = format!("https://{ENTRA}{path}");
    let Some(page) = crate::ca::browse_inside(&network, &appliance.root(), &url) else { return };
    assert!(page.contains("jwks_uri"), "{page}\n{}", appliance.log());
    let events = network.enter(Place::Gate, || appliance.admin().await_events("connector=microsoft-entra", 1));
    let event = events.iter().find(|event| event["path"] == path).unwrap_or_else(|| panic!("{events:?}"));
    assert_eq!(event["status"], "allowed");
    assert!([INSIDE_V4, INSIDE_V6].iter().any(|address| event["source"] == address.to_string()), "{event}");
}

penstock_tests::on_epoll! {
    curl_is_restricted_where_it_signs_in_and_untouched_elsewhere,
    origins_see_the_appliance_or_the_client_as_the_operator_wishes,
    with_its_own_source_a_client_is_restricted_all_the_same,
    a_connection_to_the_appliance_itself_is_refused_and_counted,
}
