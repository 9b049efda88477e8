//! Thousands of connections that dawdle: each sends one byte of a ClientHello and nothing more.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client;
use penstock_tests::process::descriptors;
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::Upstream;
use penstock_tests::{place, wait};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const ENTRA: &str = "login.microsoftonline.com";
const OTHER: &str = "www.example.org";
const SLOW: &str = "slow.example.org";
const WORKERS: usize = 8;
/// An address of its own: ten thousand ports of the others' would be missed by whoever listens beside this test.
const DAWDLER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 44));
/// Of user space, for a connection whose hello has begun: its task, its place in the tables, what it has sent; 4.8 KB measured.
const SLOW_HELLO_BYTES_MAX: usize = 8 * 1024;

#[test]
fn thousands_of_slow_hellos_do_not_move_the_others_and_all_end() {
    let count = if place::quick() { 2_000 } else { 5_000 };
    raise_descriptors();
    let upstream = Upstream::plan().start();
    let setup = Setup::default().host(SLOW, silent()).upstream(&upstream);
    let appliance = setup.deadlines("sniff_ms = 30000").start();
    let mut open = appliance.client(ENTRA);
    assert_eq!(open.get(ENTRA, "/before").status, 200);
    let pid = appliance.running("dataplane").unwrap();
    let base = descriptors(pid);
    let mut held = dawdle(&appliance, count);
    for round in 0..20 {
        assert_eq!(open.get(ENTRA, &format!("/open-{round}")).status, 200);
        assert_eq!(appliance.client(ENTRA).get(ENTRA, &format!("/new-{round}")).status, 200);
        assert_eq!(appliance.passed_client(OTHER, &upstream.ca()).get(OTHER, "/").status, 200);
    }
    for stream in &mut held {
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "nothing is served");
    }
    let late = ["leg=\"downstream\"", "phase=\"sniff\"", "kind=\"deadline\""];
    wait::until("each to be counted", || {
        (appliance.admin().metrics().sum("penstock_faults_total", &late) == count as f64).then_some(())
    });
    wait::until("their descriptors to be given back", || (descriptors(pid) <= base + 8).then_some(()));
    assert_eq!(open.get(ENTRA, "/after").status, 200);
}

/// On a listener that dials only when it has the name, so that each costs one descriptor, as slow clients of it do.
#[test]
fn h024_ten_thousand_slow_hellos_cost_little_and_hold_up_nobody() {
    let count = if place::quick() { 1_000 } else { 10_000 };
    raise_descriptors();
    let upstream = Upstream::plan().start();
    let more = "[[listener]]\nkind = \"direct\"\naddress = \"127.0.0.1:0\"\n\
                [limits]\nflows_max = 12000\nflows_per_source_max = 12000\n";
    let appliance = Setup::default().upstream(&upstream).dataplane(more).deadlines("sniff_ms = 20000").start();
    let config = client::config(&[&appliance.root()]);
    let hello = client::first_flight(ENTRA, config).1;
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/before").status, 200);
    let before = appliance.settled_memory();
    let mut held: Vec<TcpStream> = (0..count).map(|_| tunnel::dial(DAWDLER, appliance.transparent(0))).collect();
    for byte in 0..3 {
        for stream in &mut held {
            stream.write_all(&hello[byte..=byte]).unwrap();
        }
        assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200, "round {byte}");
        assert_eq!(appliance.passed_client(OTHER, &upstream.ca()).get(OTHER, "/").status, 200, "round {byte}");
    }
    let each = appliance.settled_memory().saturating_sub(before) / count;
    println!("{each} bytes for each slow hello");
    assert!(each <= SLOW_HELLO_BYTES_MAX, "{each} bytes for each slow hello");
    for stream in &mut held {
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "nothing is served");
    }
    let late = ["leg=\"downstream\"", "phase=\"sniff\"", "kind=\"deadline\""];
    wait::until("each to be counted", || {
        (appliance.admin().metrics().sum("penstock_faults_total", &late) == count as f64).then_some(())
    });
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/after").status, 200);
}

/// So many tunnels of which each has sent the first byte of a ClientHello.
fn dawdle(appliance: &Appliance, count: usize) -> Vec<TcpStream> {
    let proxy = appliance.proxy();
    let work = || {
        let begin = |_| {
            let mut stream = tunnel::open(STAFF, proxy, &format!("{SLOW}:443"));
            stream.write_all(&[0x16]).unwrap();
            stream
        };
        (0..count / WORKERS).map(begin).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            workers.push(scope.spawn(work));
        }
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

/// An origin that takes connections and says nothing, on one thread for all.
fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().map_while(Result::ok).collect::<Vec<_>>());
    address
}

fn raise_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}
