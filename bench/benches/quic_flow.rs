//! What a new QUIC flow costs the appliance: CPU of the data plane for each flow that passes, and for each that is refused.
//!
//! The real data plane behind the real rules, in network namespaces, so it needs root. Every flow is a port of its own that
//! sends a browser's two Initial packets. The kernel's part (rules, forwarding) is not in the figure. `PENSTOCK_BIN_DIR`
//! names the folder of the binaries; a release build, or the figures mean nothing.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a bench may panic and says what it did")]

#[path = "../../core/tests/quic/cipher.rs"]
mod cipher;
#[path = "../../core/tests/quic/wire.rs"]
mod wire;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client;
use penstock_tests::network::{Network, OTHER_V4, Place, SIGN_IN_V4};
use penstock_tests::process::processor_seconds;
use penstock_tests::wait;

const FLOWS: usize = 12_000;
/// Addresses inside: each may begin 500 flows a second.
const SOURCES: usize = 10;
const PAUSE: Duration = Duration::from_micros(500);
const ENTRA: &str = "login.microsoftonline.com";
const OTHER: &str = "downloads.example.org";

fn main() {
    // `cargo test --benches` only asks whether it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let Some(network) = Network::start() else { return };
    let arguments = ["--mark", "81", "--transparent", "tproxy=0.0.0.0:8443", "--quic", "0.0.0.0:8444"];
    let setup = Setup::default().arguments(arguments.map(str::to_owned).to_vec()).shards(1).within(&network);
    let appliance = setup.start();
    network.penstock_nft(&["apply", "--mode", "tproxy", "--interface", "in0", "--quic-port", "8444"]);
    let sources: Vec<_> = (10..).map(|last| Ipv4Addr::new(10, 77, 0, last)).take(SOURCES).collect();
    for source in &sources {
        network.must(Place::Inside, "ip", &["addr", "add", &format!("{source}/24"), "dev", "eth0"]);
    }
    for (name, address, verdict) in [(OTHER, OTHER_V4, "pass"), (ENTRA, SIGN_IN_V4, "deny")] {
        let (flows, spent) = measure(&network, &appliance, &sources, name, address, verdict);
        println!("new QUIC flow, {verdict}: {:.1} us of the data plane's CPU, over {flows}", spent * 1e6 / flows);
    }
}

/// Flows that were decided, and seconds of CPU for all of them. A busy machine loses some: nobody sends a datagram again.
fn measure(
    network: &Network,
    appliance: &Appliance,
    sources: &[Ipv4Addr],
    name: &str,
    address: IpAddr,
    verdict: &str,
) -> (f64, f64) {
    let hello = client::first_flight(name, client::config(&[&appliance.root()])).1;
    // QUIC carries the handshake message without the record around it (RFC 9001, section 4).
    let datagrams = wire::flight(&hello[5..]);
    let label = format!("verdict=\"{verdict}\"");
    let counted = || network.enter(Place::Gate, || appliance.admin().metrics()).sum("penstock_flows_total", &[&label]);
    // Takes what passes and does not read it: the kernel drops what is too much.
    let _origin = network.enter(Place::Outside, || UdpSocket::bind(SocketAddr::new(address, 443))).unwrap();
    let data_plane = appliance.running("dataplane").unwrap();
    let before = processor_seconds(data_plane);
    network.enter(Place::Inside, || {
        for flow in 0..FLOWS {
            let socket = UdpSocket::bind(SocketAddr::new(sources[flow % SOURCES].into(), 0)).unwrap();
            socket.connect(SocketAddr::new(address, 443)).unwrap();
            for datagram in &datagrams {
                // The refusal of the first may be here before the second is sent.
                let _refused = socket.send(datagram);
            }
            thread::sleep(PAUSE);
        }
    });
    let mut flows = 0.0;
    wait::until("the last flow to be counted", || {
        thread::sleep(Duration::from_secs(2));
        let last = std::mem::replace(&mut flows, counted());
        (flows > 0.0 && flows == last).then_some(())
    });
    (flows, processor_seconds(data_plane) - before)
}
