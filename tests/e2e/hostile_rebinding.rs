//! DNS rebinding (h111): names that lead outside when they are looked at, and inside when they are used.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::http::Answer;
use penstock_tests::names::Names;
use penstock_tests::network::{Network, Place, SIGN_IN_V4};
use penstock_tests::tunnel::{self, STAFF};

/// An address of the whole world, as far as the data plane can tell; it is the outside host's, in its namespace.
const ORIGIN: IpAddr = IpAddr::V4(Ipv4Addr::new(45, 45, 45, 10));
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

/// Where nobody of the proxy's clients may come, and a place where all may.
struct Doors {
    inside: Arc<AtomicUsize>,
    outside: Arc<AtomicUsize>,
}

impl Doors {
    fn open(network: &Network) -> Self {
        let listen = |place, address: SocketAddr| {
            let listener = network.enter(place, || TcpListener::bind(address).unwrap());
            let count = Arc::new(AtomicUsize::new(0));
            let visits = Arc::clone(&count);
            thread::spawn(move || {
                for stream in listener.incoming() {
                    visits.fetch_add(1, Ordering::Relaxed);
                    let _ = stream.and_then(|mut stream| stream.write_all(b"welcome"));
                }
            });
            count
        };
        let inside = listen(Place::Gate, (LOOPBACK, 443).into());
        Self { inside, outside: listen(Place::Outside, (ORIGIN, 443).into()) }
    }

    fn visits(&self) -> (usize, usize) {
        (self.inside.load(Ordering::Relaxed), self.outside.load(Ordering::Relaxed))
    }
}

fn connect(appliance: &Appliance, name: &str) -> Answer {
    let head = format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n");
    tunnel::ask(&mut tunnel::dial(STAFF, appliance.proxy()), head.as_bytes())
}

/// Each name leads outside when it is asked for first, and inside ever after; one of them leads to both places at once.
#[test]
fn h111_a_name_that_turns_inside_is_never_followed_there() {
    let Some(network) = Network::start() else { return };
    network.add_outside(&[ORIGIN]);
    let _names = Names::serve(&network, |name, count| match (name.split('.').next(), count) {
        (Some("both"), _) => Some(vec![LOOPBACK, METADATA, ORIGIN]),
        (Some("inside"), _) => Some(vec![METADATA, LOOPBACK]),
        (_, 0) => Some(vec![ORIGIN]),
        _ => Some(vec![LOOPBACK]),
    });
    let doors = Doors::open(&network);
    let more = format!("[upstream]\nname_servers = [\"{SIGN_IN_V4}:53\"]\n");
    let appliance = Setup::default().shards(1).dataplane(&more).within(&network).start();
    network.enter(Place::Gate, || {
        // Were the address looked up once to be checked and once to be dialled, the second would lead inside.
        for number in 0..10 {
            assert_eq!(connect(&appliance, &format!("turn-{number}.rebind.example")).status, 200);
        }
        assert_eq!(connect(&appliance, "both.rebind.example").status, 200, "by the address that may be dialled");
        assert_eq!(connect(&appliance, "inside.rebind.example").status, 403);
        // Past the answers' time to live.
        thread::sleep(Duration::from_secs(2));
        for number in 0..10 {
            let refused = connect(&appliance, &format!("turn-{number}.rebind.example"));
            assert_eq!(refused.status, 403, "{refused:?}");
            assert!(refused.text().is_empty() || refused.text().contains("address_forbidden"), "{refused:?}");
        }
        let metrics = appliance.admin().metrics();
        let labels = ["leg=\"upstream\"", "phase=\"dial\"", "kind=\"address_forbidden\""];
        assert_eq!(metrics.sum("penstock_faults_total", &labels), 11.0);
    });
    assert_eq!(doors.visits(), (0, 11));
}
