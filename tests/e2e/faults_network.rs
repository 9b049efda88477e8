//! A network that loses, resets and swallows, between the appliance and origins: what arrives is what was sent, what cannot
//! go on ends, and no descriptor is left behind.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client;
use penstock_tests::network::{Network, OTHER_V4, Place};
use penstock_tests::process::descriptors;
use penstock_tests::{place, tunnel, wait};

const PASSED: &str = "www.example.org";
const FLOWS: usize = 8;
const PORT: u16 = 8443;

struct Bed {
    network: Network,
    appliance: Appliance,
    bytes: usize,
}

impl Bed {
    fn start(bytes: usize) -> Option<Self> {
        let network = Network::start()?;
        let listener = network.enter(Place::Outside, || TcpListener::bind((OTHER_V4, PORT)).unwrap());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || serve(stream, bytes));
            }
        });
        let setup = Setup::default().host(PASSED, SocketAddr::new(OTHER_V4, PORT)).shards(1);
        let appliance =
            setup.dataplane("[deadlines]\nidle_ms = 20000\nhalf_close_ms = 20000\n").within(&network).start();
        Some(Self { network, appliance, bytes })
    }

    /// Has that done to packets between the appliance and the origin when they arrive.
    fn afflict(&self, statement: &str) {
        for (place, side) in [(Place::Outside, "dport"), (Place::Gate, "sport")] {
            let rules = format!(
                "add table inet fault; add chain inet fault in {{ type filter hook input priority 0; }}; \
                 add rule inet fault in tcp {side} {PORT} {statement}"
            );
            self.network.must(place, "nft", &[&rules]);
        }
    }

    fn heal(&self) {
        for place in [Place::Outside, Place::Gate] {
            self.network.must(place, "nft", &["delete table inet fault"]);
        }
    }

    /// Sends and receives on so many flows at once; of each, whether it came to its end.
    fn exchange(&self, flows: usize) -> Vec<bool> {
        let hello = client::first_flight(PASSED, client::config(&[&self.appliance.root()])).1;
        let (proxy, authority) = (self.appliance.proxy(), format!("{PASSED}:443"));
        let ask = || tunnel::try_open(proxy, &authority).is_some_and(|stream| ask(stream, &hello, self.bytes));
        let one = || self.network.enter(Place::Gate, ask);
        thread::scope(|scope| {
            let mut all = Vec::new();
            for _ in 0..flows {
                all.push(scope.spawn(one));
            }
            all.into_iter().map(|one| one.join().unwrap()).collect()
        })
    }

    fn await_descriptors(&self, base: usize) {
        let pid = self.appliance.pid("dataplane");
        wait::until("descriptors to be given back", || (descriptors(pid) <= base + 4).then_some(()));
    }
}

/// The bytes from `start` on that either side sends: each tells its own place.
fn pattern(start: usize, count: usize) -> Vec<u8> {
    (start..start + count).map(|place| (place.wrapping_mul(2_654_435_761) >> 16) as u8).collect()
}

/// The origin: reads the hello and as many bytes as it sends itself, both ways at once.
fn serve(mut stream: TcpStream, bytes: usize) {
    let mut head = [0; 5];
    if stream.read_exact(&mut head).is_err() {
        return;
    }
    let mut rest = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    if stream.read_exact(&mut rest).is_err() {
        return;
    }
    let sending = stream.try_clone().unwrap();
    let sender = thread::spawn(move || send(sending, bytes));
    let _ = receive(&mut stream, bytes);
    let _ = sender.join();
}

fn send(mut stream: TcpStream, bytes: usize) -> bool {
    (0..bytes).step_by(BLOCK).all(|start| stream.write_all(&pattern(start, BLOCK.min(bytes - start))).is_ok())
}

/// Reads all of it; `false` when the connection ends before. A byte that is another than was sent ends the test.
fn receive(stream: &mut TcpStream, bytes: usize) -> bool {
    let mut block = vec![0; BLOCK];
    for start in (0..bytes).step_by(BLOCK) {
        let piece = &mut block[..BLOCK.min(bytes - start)];
        if stream.read_exact(piece).is_err() {
            return false;
        }
        assert!(*piece == pattern(start, piece.len()), "other bytes than were sent, after {start}");
    }
    true
}

/// The client: the same, behind a ClientHello.
fn ask(mut stream: TcpStream, hello: &[u8], bytes: usize) -> bool {
    stream.set_read_timeout(Some(wait::LIMIT * 2)).unwrap();
    if stream.write_all(hello).is_err() {
        return false;
    }
    let sending = stream.try_clone().unwrap();
    let sender = thread::spawn(move || send(sending, bytes));
    let is_whole = receive(&mut stream, bytes);
    sender.join().unwrap() && is_whole
}

#[test]
fn lost_packets_cost_time_and_no_byte() {
    let Some(bed) = Bed::start(if place::quick() { 1 << 20 } else { 8 << 20 }) else { return };
    let base = descriptors(bed.appliance.pid("dataplane"));
    bed.afflict("numgen random mod 100 < 1 drop");
    assert_eq!(bed.exchange(FLOWS), [true; FLOWS]);
    bed.await_descriptors(base);
}

#[test]
fn storms_of_resets_end_flows_and_leave_nothing_behind() {
    let Some(bed) = Bed::start(1 << 20) else { return };
    let base = descriptors(bed.appliance.pid("dataplane"));
    assert_eq!(bed.exchange(1), [true]);
    bed.afflict("ct state established numgen random mod 50 < 1 reject with tcp reset");
    let mut ended = Vec::new();
    for _ in 0..5 {
        ended.extend(bed.exchange(FLOWS));
    }
    assert!(ended.contains(&false), "the storm met nobody");
    bed.heal();
    assert_eq!(bed.exchange(FLOWS), [true; FLOWS]);
    bed.await_descriptors(base);
    let metrics = bed.network.enter(Place::Gate, || bed.appliance.admin().metrics());
    assert!(metrics.sum("penstock_faults_total", &["kind=\"connection_reset\""]) > 0.0);
    assert_eq!(metrics.sum("penstock_faults_total", &["kind=\"panic\""]), 0.0);
}

/// A router on the way drops what is long and says nothing (RFC 2923 section 2.1).
#[test]
fn a_path_that_swallows_long_packets_is_found_out() {
    let Some(bed) = Bed::start(256 << 10) else { return };
    let base = descriptors(bed.appliance.pid("dataplane"));
    for (place, device) in [(Place::Gate, "out0"), (Place::Outside, "eth0")] {
        // As they would be on a wire, not joined.
        bed.network.must(place, "ip", &["link", "set", device, "gso_max_segs", "1"]);
        let setting = "net.ipv4.tcp_mtu_probing";
        let value = place::read(place::workspace().join("deploy/sysctl/60-penstock.conf"));
        let value = value.lines().find_map(|line| line.strip_prefix(&format!("{setting} = "))).unwrap().to_owned();
        let file = format!("/proc/sys/{}", setting.replace('.', "/"));
        bed.network.must(place, "sh", &["-c", &format!("echo {value} >{file}")]);
    }
    bed.afflict("meta length > 1300 drop");
    assert_eq!(bed.exchange(2), [true; 2]);
    bed.heal();
    bed.await_descriptors(base);
}

const BLOCK: usize = 16 * 1024;
