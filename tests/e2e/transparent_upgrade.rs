//! QUIC while one data plane takes over from another: the sockets outlive both, and so does what waits in them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use penstock_tests::network::{INSIDE_V4, INSIDE_V6, Network, OTHER_V4, OTHER_V6, Place, SIGN_IN_V4};
use penstock_tests::process::signal;
use penstock_tests::{place, wait};
use rustix::process::Signal;
use serde_json::Value;

use crate::transparent::{ENTRA, OTHER, setup};
use crate::transparent_quic::{APPLY, LISTEN, Origin, ask, counted, ends, script};
use crate::upgrade::{await_successor, serving, upgrade};

/// An origin of nothing but datagrams.
const SILENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 30));
/// Flows that begin in a row, so that some are always under way.
const BURST: usize = 3;
/// More than one datagram holds.
const LONG: &str = "1400";

/// The first flight of a client that wants `name`, with about so many bytes more in its hello. `None` where the Python clients
/// are not installed.
fn flight(name: &str, padding: &str) -> Option<Vec<Vec<u8>>> {
    let output = Command::new(place::python()?).arg(script()).args(["hello", name, padding]).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let byte = |hex: &str, at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes = |hex: &str| (0..hex.len()).step_by(2).map(|at| byte(hex, at)).collect();
    Some(said["datagrams"].as_array().unwrap().iter().map(|hex| bytes(hex.as_str().unwrap())).collect())
}

/// A packet of a handshake (RFC 9000 section 17.2.4) whose keys nobody has.
fn handshake() -> Vec<u8> {
    let header = [0xe0, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 40];
    [&header[..], &[0x5a; 40]].concat()
}

/// A client inside, on a port of its own.
fn client(network: &Network, destination: IpAddr) -> UdpSocket {
    let client = network.enter(Place::Inside, || UdpSocket::bind(SocketAddr::new(INSIDE_V4, 0))).unwrap();
    client.connect(SocketAddr::new(destination, 443)).unwrap();
    client.set_read_timeout(Some(wait::LIMIT)).unwrap();
    client
}

/// An origin that takes what comes.
fn sink(network: &Network) -> UdpSocket {
    network.add_outside(&[SILENT]);
    let origin = network.enter(Place::Outside, || UdpSocket::bind(SocketAddr::new(SILENT, 443))).unwrap();
    origin.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    origin
}

#[test]
fn quic_that_comes_while_nobody_serves_is_judged_by_the_next_data_plane() {
    let Some(network) = Network::start() else { return };
    let (Some(passed), Some(refused)) = (flight(OTHER, "0"), flight(ENTRA, "0")) else { return };
    let origin = sink(&network);
    let appliance = setup(&network, "tproxy", LISTEN).start();
    network.penstock_nft(APPLY);
    let before = serving(&appliance);
    signal(before, Signal::KILL);
    let told = format!("data plane has ended pid={before}");
    wait::until("its end", || appliance.log().contains(&told).then_some(()));
    let good: Vec<_> = (0..20).map(|_| client(&network, SILENT)).collect();
    let bad: Vec<_> = (0..5).map(|_| client(&network, SIGN_IN_V4)).collect();
    good.iter().for_each(|client| assert_eq!(client.send(&passed[0]).unwrap(), passed[0].len()));
    bad.iter().for_each(|client| assert_eq!(client.send(&refused[0]).unwrap(), refused[0].len()));
    await_successor(&appliance, before);
    origin.set_read_timeout(Some(wait::LIMIT)).unwrap();
    let mut buffer = [0; 2_000];
    let mut seen: Vec<_> = good.iter().map(|_| origin.recv_from(&mut buffer).unwrap().1).collect();
    let mut sent: Vec<_> = good.iter().map(|client| client.local_addr().unwrap()).collect();
    seen.sort();
    sent.sort();
    assert_eq!(seen, sent, "every flow, under its own address");
    for client in &bad {
        let bytes = client.recv(&mut buffer).expect("CONNECTION_CLOSE");
        assert!(bytes > 0 && buffer[0] & 0x80 != 0);
    }
}

/// Ends the load when the test fails too.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn upgrades_lose_no_datagram_tear_no_hello_and_fail_no_client_of_quic() {
    let Some(network) = Network::start() else { return };
    let Some(hello) = flight(OTHER, LONG) else { return };
    assert!(hello.len() > 1, "the hello needs more than one datagram");
    let Some(_origin) = Origin::start(&network, OTHER_V4) else { return };
    let sink = sink(&network);
    // Without a look-up: a client under the port of a socket that waits for DNS has to send again.
    let nowhere = "198.51.100.99:443".parse().unwrap();
    let mut appliance = setup(&network, "tproxy", LISTEN).host("*", nowhere).start();
    network.penstock_nft(APPLY);
    let upgrades = if place::quick() { 2 } else { 6 };
    let (stop, is_sent) = (AtomicBool::new(false), AtomicBool::new(false));
    let (sent, asked) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let arrived = thread::scope(|scope| {
        let _stops = Stops(&stop);
        scope.spawn(|| {
            // Kept open, so that each has a port of its own.
            let mut clients = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..BURST {
                    let client = client(&network, SILENT);
                    hello.iter().for_each(|datagram| assert_eq!(client.send(datagram).unwrap(), datagram.len()));
                    clients.push(client);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_millis(5));
            }
            is_sent.store(true, Ordering::Relaxed);
        });
        let arrivals = scope.spawn(|| {
            let (mut arrived, mut buffer) = (HashMap::<SocketAddr, usize>::new(), [0; 2_000]);
            // To the end, and then until nothing has come for a moment.
            loop {
                match sink.recv_from(&mut buffer) {
                    Ok((_, source)) => *arrived.entry(source).or_default() += 1,
                    Err(_) if is_sent.load(Ordering::Relaxed) => return arrived,
                    Err(_) => {}
                }
            }
        });
        for (name, address, outcome) in [(OTHER, OTHER_V4, "echoed"), (ENTRA, SIGN_IN_V4, "closed")] {
            let (network, stop, asked) = (&network, &stop, &asked);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let found = ask(network, name, address, &["30000"]);
                    assert_eq!(found["outcome"], outcome, "{name}: {found}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..upgrades {
            let so_far = (sent.load(Ordering::Relaxed), asked.load(Ordering::Relaxed));
            upgrade(&mut appliance);
            wait::until("more load", || {
                let is_more =
                    sent.load(Ordering::Relaxed) > so_far.0 + 20 && asked.load(Ordering::Relaxed) > so_far.1 + 1;
                is_more.then_some(())
            });
        }
        stop.store(true, Ordering::Relaxed);
        arrivals.join().unwrap()
    });
    let sent = sent.load(Ordering::Relaxed);
    let whole = arrived.values().filter(|count| **count == hello.len()).count();
    println!("{sent} flows of raw datagrams, {} clients over {upgrades} upgrades", asked.load(Ordering::Relaxed));
    assert_eq!((whole, arrived.len()), (sent, sent), "{}", appliance.log());
}

#[test]
fn a_handshake_in_the_middle_of_which_the_data_plane_changes_goes_on_and_no_other_does() {
    let Some(network) = Network::start() else { return };
    let Some(hello) = flight(OTHER, "0") else { return };
    let mut appliance = setup(&network, "tproxy", LISTEN).start();
    network.penstock_nft(APPLY);
    for (inside, outside) in [(INSIDE_V4, OTHER_V4), (INSIDE_V6, OTHER_V6)] {
        let (client, origin) = ends(&network, inside, outside);
        let mut buffer = [0; 2_000];
        client.send(&hello[0]).unwrap();
        assert_eq!(origin.recv_from(&mut buffer).unwrap(), (hello[0].len(), client.local_addr().unwrap()));
        upgrade(&mut appliance);
        for _ in 0..3 {
            client.send(&handshake()).unwrap();
            assert_eq!(origin.recv_from(&mut buffer).unwrap(), (handshake().len(), client.local_addr().unwrap()));
        }
        // From a port that nobody has seen begin anything.
        let held = counted(&network, &appliance, "penstock_udp_datagrams_total", &["outcome=\"held\""]);
        let other = network.enter(Place::Inside, || UdpSocket::bind(SocketAddr::new(inside, 0))).unwrap();
        other.connect(SocketAddr::new(outside, 443)).unwrap();
        other.send(&handshake()).unwrap();
        wait::until("the packet to be held", || {
            (counted(&network, &appliance, "penstock_udp_datagrams_total", &["outcome=\"held\""]) > held).then_some(())
        });
        origin.set_nonblocking(true).unwrap();
        assert!(origin.recv_from(&mut buffer).is_err(), "nothing came");
    }
}

penstock_tests::on_epoll! {
    quic_that_comes_while_nobody_serves_is_judged_by_the_next_data_plane,
    upgrades_lose_no_datagram_tear_no_hello_and_fail_no_client_of_quic,
    a_handshake_in_the_middle_of_which_the_data_plane_changes_goes_on_and_no_other_does,
}
