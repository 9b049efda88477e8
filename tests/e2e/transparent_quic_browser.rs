//! Chromium with QUIC turned on: it comes back over TCP where it would be inspected, and stays with QUIC elsewhere.

use penstock_tests::appliance::Appliance;
use penstock_tests::chromium::Chromium;
use penstock_tests::network::{Network, OTHER_V4, Place, SIGN_IN_V4};
use penstock_tests::upstream::{Plan, Then, Upstream, no_expectations};
use serde_json::json;

use crate::transparent::{ENTRA, OTHER, setup};
use crate::transparent_quic::{APPLY, LISTEN, Origin, counted, packets};

/// What the origins say of themselves over TCP.
const ALT_SVC: &[u8] = b"HTTP/1.1 200 OK\r\nAlt-Svc: h3=\":443\"; ma=86400\r\nContent-Length: 4\r\n\r\nfine";
const SILENCE: &str =
    "table inet silence { chain forward { type filter hook forward priority 0; udp dport 443 drop; }; }";
/// Chromium speaks QUIC with an origin of a private authority only where it is told to.
const QUIC: &str = "--origin-to-force-quic-on=downloads.example.org:443";

fn named() -> Option<Network> {
    let network = Network::start()?;
    network.name(ENTRA, &[SIGN_IN_V4]);
    network.name(OTHER, &[OTHER_V4]);
    Some(network)
}

fn plan() -> Plan {
    Upstream::plan().answering(|_, out| out.write_all(ALT_SVC).map_or(Then::Reset, |()| Then::Keep))
}

/// Flows of QUIC that were refused.
fn refused(network: &Network, appliance: &Appliance) -> f64 {
    counted(network, appliance, "penstock_flows_total", &["verdict=\"deny\"", "reason=\"quic\""])
}

#[test]
fn h115_chromium_comes_back_over_tcp_where_it_is_inspected_and_stays_with_quic_elsewhere() {
    for more in [&["--quic-refuse", "close"][..], &["--quic-refuse", "drop"]] {
        let Some(network) = named() else { return };
        let Some(mut origin) = Origin::pages(&network, OTHER_V4) else { return };
        let upstream = plan().expecting(no_expectations).start_outside(&network);
        let appliance = setup(&network, "tproxy", &[LISTEN, more].concat()).authority(upstream.ca()).start();
        let roots = [upstream.ca(), origin.root(), appliance.root()];
        let Some(chromium) = Chromium::trusting(&roots.each_ref().map(|root| root.as_path())) else { return };
        let page = |host: &str, path: &str| format!("https://{host}/{path}");
        // At home, past the appliance, the browser learns that the sign-in host speaks QUIC. It must not learn that it fails,
        // so nothing answers to it there.
        network.must(Place::Gate, "nft", &[SILENCE]);
        let learned = chromium.open(&network, &[&page(ENTRA, "home")], &[]);
        assert_eq!(learned[0]["protocol"], "h2", "{learned:?}");
        network.must(Place::Gate, "nft", &["delete table inet silence"]);
        upstream.change(plan());
        network.penstock_nft(APPLY);
        // Where QUIC has just worked elsewhere, the browser gives it a head start.
        let opened = chromium.open(&network, &[&page(OTHER, "1"), &page(ENTRA, "office"), &page(OTHER, "2")], &[QUIC]);
        println!("{more:?}: {opened:?}");
        let log = appliance.log();
        assert_eq!((&opened[0]["protocol"], &opened[2]["protocol"]), (&json!("h3"), &json!("h3")), "{opened:?} {log}");
        assert_eq!((&opened[1]["status"], &opened[1]["protocol"]), (&json!(200), &json!("h2")), "{opened:?} {log}");
        assert!(refused(&network, &appliance) >= 1.0, "it has tried");
        assert!(packets(&network, "passed") > 0);
        assert_eq!(origin.next()["source"][0], "10.77.0.2");
    }
}

/// The same browser twice, since it tries QUIC when it comes back; where the field goes through it does.
#[test]
fn h037_chromium_never_learns_that_an_inspected_host_speaks_quic() {
    let Some(network) = named() else { return };
    let upstream = plan().start_outside(&network);
    let appliance = setup(&network, "tproxy", LISTEN).authority(upstream.ca()).start();
    network.penstock_nft(APPLY);
    let Some(chromium) = Chromium::trusting(&[&upstream.ca(), &appliance.root()]) else { return };
    let visit_twice = |host: &str| {
        for visit in ["first", "second"] {
            let (page, fetched) = (format!("https://{host}/{visit}"), format!("+https://{host}/{visit}/more"));
            let opened = chromium.open(&network, &[&page, &fetched], &[]);
            assert!(opened.iter().all(|one| one["status"] == 200 && one["protocol"] == "h2"), "{opened:?}");
        }
        packets(&network, "read")
    };
    assert_eq!(visit_twice(ENTRA), 0);
    assert!(visit_twice(OTHER) > 0, "it would have tried");
    assert_eq!(refused(&network, &appliance), 0.0);
}
