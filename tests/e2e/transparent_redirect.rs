//! Inside hosts that know of no proxy, led to the appliance by nftables `redirect`.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};

use penstock_tests::network::{GATE_V4, GATE_V6, OTHER_V4, Place};
use penstock_tests::wait;

use crate::transparent::{OTHER, check_exemptions, check_hosts, outside, setup};

#[test]
fn curl_is_restricted_where_it_signs_in_and_untouched_elsewhere() {
    let Some((network, saas)) = outside() else { return };
    let before = network.traces();
    let appliance = setup(&network, "redirect", &[]).authority(saas.ca()).start();
    network.penstock_nft(&["apply", "--interface", "in0"]);
    check_hosts(&network, &saas, &appliance);
    network.penstock_nft(&["remove"]);
    assert_eq!(network.traces(), before, "no trace is left");
}

#[test]
fn a_connection_to_the_listener_itself_is_refused_and_counted() {
    let Some((network, saas)) = outside() else { return };
    let appliance = setup(&network, "redirect", &[]).authority(saas.ca()).start();
    network.penstock_nft(&["apply", "--interface", "in0"]);
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
    let metrics = network.enter(Place::Gate, || appliance.admin().metrics());
    assert_eq!(metrics.sum("penstock_flows_total", &["verdict=\"deny\""]), 2.0, "each was one flow");
}

#[test]
fn exempt_sources_and_destinations_go_past_it() {
    check_exemptions("redirect", &["apply", "--interface", "in0"]);
}

#[test]
fn the_machines_own_connections_are_led_there_and_those_of_the_data_plane_are_not() {
    let Some((network, saas)) = outside() else { return };
    let appliance = setup(&network, "redirect", &[]).authority(saas.ca()).start();
    network.penstock_nft(&["apply", "--local", "--own-mark", "81"]);
    let (authority, resolve) = (saas.ca(), format!("{OTHER}:443:{OTHER_V4}"));
    let url = format!("https://{OTHER}/bytes/10");
    let options = ["--silent", "--noproxy", "*", "--resolve", &resolve, "--cacert", authority.to_str().unwrap(), &url];
    assert_eq!(network.run(Place::Gate, "curl", &options).stdout.len(), 10);
    let metrics = network.enter(Place::Gate, || appliance.admin().metrics());
    assert_eq!(metrics.sum("penstock_flows_total", &[]), 1.0, "the flow does not meet itself");
}

penstock_tests::on_epoll! {
    curl_is_restricted_where_it_signs_in_and_untouched_elsewhere,
    a_connection_to_the_listener_itself_is_refused_and_counted,
}
