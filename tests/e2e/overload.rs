//! Overload: more flows than a limit allows, more connections than there are descriptors, thousands of connections that
//! dawdle. What is over a limit is refused, counted and told to the audit in moderation, and everybody else is served.

use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::network::{OTHER_V4, Place};
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::Upstream;
use penstock_tests::wait;

const ENTRA: &str = "login.microsoftonline.com";
const CONNECT: &[u8] = b"CONNECT www.example.org:443 HTTP/1.1\r\nHost: www.example.org:443\r\n\r\n";
/// Another source of the profile `staff`.
const NEIGHBOUR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));

fn limited(upstream: &Upstream, limits: &str) -> Appliance {
    Setup::default().upstream(upstream).shards(1).dataplane(&format!("[limits]\n{limits}\n")).start()
}

/// Faults of one kind that were counted when connections were taken.
fn refused(appliance: &Appliance, kind: &str) -> f64 {
    let labels = ["leg=\"downstream\"", "phase=\"accept\"", &format!("kind=\"{kind}\"")];
    appliance.admin().metrics().sum("penstock_faults_total", &labels)
}

#[test]
fn a_source_over_its_limit_is_refused_and_others_are_served() {
    let upstream = Upstream::plan().start();
    let appliance = limited(&upstream, "flows_per_source_max = 3");
    let mut held: Vec<TcpStream> = (0..3).map(|_| appliance.tunnel("www.example.org")).collect();
    for _ in 0..5 {
        let answer = tunnel::ask(&mut tunnel::dial(STAFF, appliance.proxy()), CONNECT);
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.text().contains("source_full"), "{answer:?}");
        assert!(answer.text().contains("flow: 0-"), "it names the flow: {answer:?}");
    }
    let _neighbour = tunnel::open(NEIGHBOUR, appliance.proxy(), "www.example.org:443");
    wait::until("the refusals to be counted", || (refused(&appliance, "source_full") == 5.0).then_some(()));
    let events = appliance.admin().await_events("status=fault", 1);
    assert_eq!(events.len(), 1, "one event for one source: {events:?}");
    assert_eq!(events[0]["fault"], "downstream/accept/source_full");
    assert_eq!(events[0]["source"], STAFF.to_string());
    // The place is free as soon as a flow has ended.
    drop(held.pop());
    wait::until("the source to be served again", || tunnel::try_open(appliance.proxy(), "www.example.org:443"));
}

#[test]
fn flows_over_the_limit_of_the_process_are_refused_until_others_end() {
    let upstream = Upstream::plan().start();
    let appliance = limited(&upstream, "flows_max = 4\nflows_per_source_max = 4");
    let held: Vec<TcpStream> = (0..4).map(|_| appliance.tunnel("www.example.org")).collect();
    for source in [STAFF, NEIGHBOUR] {
        let answer = tunnel::ask(&mut tunnel::dial(source, appliance.proxy()), CONNECT);
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.text().contains("too_many"), "{answer:?}");
    }
    wait::until("the refusals to be counted", || (refused(&appliance, "too_many") == 2.0).then_some(()));
    assert_eq!(appliance.admin().await_events("status=fault", 2).len(), 2, "one event for each source");
    drop(held);
    wait::until("flows to be served again", || tunnel::try_open(appliance.proxy(), "www.example.org:443"));
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
}

/// A client that knows of no proxy understands no answer: the network says no.
#[test]
fn a_transparent_flow_over_its_limit_is_reset() {
    let Some((network, saas)) = crate::transparent::outside() else { return };
    let limits = "[limits]\nflows_per_source_max = 2\n";
    let setup = crate::transparent::setup(&network, "redirect", &[]).authority(saas.ca());
    let appliance = setup.shards(1).dataplane(limits).start();
    network.penstock_nft(&["apply", "--interface", "in0"]);
    let target = SocketAddr::new(OTHER_V4, 443);
    let held: Vec<TcpStream> =
        network.enter(Place::Inside, || (0..2).map(|_| TcpStream::connect(target).unwrap()).collect());
    let active = |count: f64| {
        wait::until("the flows to be counted", || {
            let metrics = network.enter(Place::Gate, || appliance.admin().metrics());
            (metrics.sum("penstock_faults_total", &["phase=\"accept\"", "kind=\"source_full\""]) == count).then_some(())
        });
    };
    active(0.0);
    network.enter(Place::Inside, || {
        // The reset may come before the connection is known to stand.
        let Ok(mut stream) = TcpStream::connect(target) else { return };
        stream.set_read_timeout(Some(wait::LIMIT)).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
    active(1.0);
    drop(held);
}
