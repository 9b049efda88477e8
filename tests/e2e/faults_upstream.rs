//! Origins and name servers that are there and say nothing: the next address is tried, known names are served, and what is
//! not known is refused within the deadline.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::network::{Network, Place, SIGN_IN_V4};
use penstock_tests::saas::Saas;
use penstock_tests::tunnel::{self, STAFF};

const ENTRA: &str = "login.microsoftonline.com";
const CLAUDE: &str = "claude.ai";
/// Addresses of the whole world, as far as the data plane can tell; they are the outside host's, in its namespace.
const ORIGIN: IpAddr = IpAddr::V4(Ipv4Addr::new(45, 45, 45, 10));
/// The same, where nobody answers.
const HOLE: IpAddr = IpAddr::V4(Ipv4Addr::new(45, 45, 45, 20));
/// As long as a look-up takes before a kept answer is used, and a little more.
const DIAL_MS: u64 = 3_000;

#[test]
fn an_address_that_swallows_everything_is_left_for_the_next() {
    let Some(network) = Network::start() else { return };
    let saas = Saas::start_outside(&network);
    let _names = Names::serve(&network, &[(ENTRA, &[HOLE, ORIGIN]), (CLAUDE, &[HOLE])]);
    let rule = "add table inet hole; add chain inet hole in { type filter hook input priority 0; }; \
                add rule inet hole in ip daddr 45.45.45.20 tcp dport 443 drop";
    network.must(Place::Outside, "nft", &[rule]);
    let appliance = before(&network, &saas);
    network.enter(Place::Gate, || {
        assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200, "by the other address");
        assert_eq!(connect(&appliance, CLAUDE), 504, "there is no other address");
        let metrics = appliance.admin().metrics();
        let late = ["leg=\"upstream\"", "phase=\"dial\"", "kind=\"deadline\""];
        assert_eq!(metrics.sum("penstock_faults_total", &late), 1.0, "a flow that found its way has no fault");
    });
}

#[test]
fn without_dns_known_names_are_served_and_others_refused() {
    let Some(network) = Network::start() else { return };
    let saas = Saas::start_outside(&network);
    let names = Names::serve(&network, &[(ENTRA, &[ORIGIN]), (CLAUDE, &[ORIGIN])]);
    let appliance = before(&network, &saas);
    network.enter(Place::Gate, || {
        assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
        names.is_mute.store(true, Ordering::Relaxed);
        // Past the answer's time to live.
        thread::sleep(Duration::from_secs(2));
        assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200, "an old answer is better than none");
        assert_eq!(connect(&appliance, CLAUDE), 504);
        let metrics = appliance.admin().metrics();
        assert_eq!(metrics.sum("penstock_faults_total", &["phase=\"resolve\"", "kind=\"deadline\""]), 1.0);
        names.is_mute.store(false, Ordering::Relaxed);
        penstock_tests::wait::until("the name to be found", || (connect(&appliance, CLAUDE) == 200).then_some(()));
    });
}

fn before(network: &Network, saas: &Saas) -> Appliance {
    let more = format!("[upstream]\nname_servers = [\"{SIGN_IN_V4}:53\"]\n[deadlines]\ndial_ms = {DIAL_MS}\n");
    Setup::default().authority(saas.ca()).shards(1).dataplane(&more).within(network).start()
}

/// The status of the answer to a CONNECT.
fn connect(appliance: &Appliance, name: &str) -> u16 {
    let head = format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n");
    tunnel::ask(&mut tunnel::dial(STAFF, appliance.proxy()), head.as_bytes()).status
}

/// A name server outside that knows a few names for one second at a time, and can be told to fall silent.
struct Names {
    is_mute: Arc<AtomicBool>,
}

impl Names {
    fn serve(network: &Network, names: &[(&str, &[IpAddr])]) -> Self {
        for address in [ORIGIN, HOLE] {
            network.must(Place::Outside, "ip", &["addr", "add", &format!("{address}/32"), "dev", "eth0"]);
            network.must(Place::Gate, "ip", &["route", "add", &format!("{address}/32"), "dev", "out0"]);
        }
        let socket = network.enter(Place::Outside, || UdpSocket::bind((SIGN_IN_V4, 53)).unwrap());
        let names: Vec<(String, Vec<IpAddr>)> =
            names.iter().map(|(name, addresses)| ((*name).to_owned(), addresses.to_vec())).collect();
        let is_mute = Arc::new(AtomicBool::new(false));
        let mute = Arc::clone(&is_mute);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((count, peer)) = socket.recv_from(&mut buffer) {
                if !mute.load(Ordering::Relaxed) {
                    let _ = socket.send_to(&answer(&buffer[..count], &names), peer);
                }
            }
        });
        Self { is_mute }
    }
}

/// The answer to a question (RFC 1035 section 4.1): the addresses of version 4 of a known name, or that there is none.
fn answer(question: &[u8], names: &[(String, Vec<IpAddr>)]) -> Vec<u8> {
    let mut labels = Vec::new();
    let mut end = 12;
    while question[end] != 0 {
        let length = usize::from(question[end]);
        labels.push(String::from_utf8_lossy(&question[end + 1..=end + length]).to_ascii_lowercase());
        end += 1 + length;
    }
    let asks_v4 = question[end + 1..end + 3] == [0, 1];
    let known = names.iter().find(|(name, _)| *name == labels.join("."));
    let addresses = known.filter(|_| asks_v4).map_or(&[][..], |(_, addresses)| addresses);
    let code = if known.is_some() { 0x80 } else { 0x83 };
    let mut answer =
        [&question[..2], &[0x81, code, 0, 1, 0, u8::try_from(addresses.len()).unwrap(), 0, 0, 0, 0]].concat();
    answer.extend_from_slice(&question[12..end + 5]);
    for address in addresses {
        let IpAddr::V4(address) = address else { continue };
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend_from_slice(&address.octets());
    }
    answer
}
