//! Origins and name servers that are there and say nothing: the next address is tried, known names are served, and what is
//! not known is refused within the deadline.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::Duration;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::names::Names;
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
    let _names = names(&network, &[(ENTRA, &[HOLE, ORIGIN]), (CLAUDE, &[HOLE])]);
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
    let names = names(&network, &[(ENTRA, &[ORIGIN]), (CLAUDE, &[ORIGIN])]);
    let appliance = before(&network, &saas);
    network.enter(Place::Gate, || {
        assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
        names.fall_silent(true);
        // Past the answer's time to live.
        thread::sleep(Duration::from_secs(2));
        assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200, "an old answer is better than none");
        assert_eq!(connect(&appliance, CLAUDE), 504);
        let metrics = appliance.admin().metrics();
        assert_eq!(metrics.sum("penstock_faults_total", &["phase=\"resolve\"", "kind=\"deadline\""]), 1.0);
        names.fall_silent(false);
        penstock_tests::wait::until("the name to be found", || (connect(&appliance, CLAUDE) == 200).then_some(()));
    });
}

fn before(network: &Network, saas: &Saas) -> Appliance {
    let more = format!("[upstream]\nname_servers = [\"{SIGN_IN_V4}:53\"]\n[deadlines]\ndial_ms = {DIAL_MS}\n");
    Setup::default().authority(saas.ca()).shards(1).dataplane(&more).within(network).start()
}

/// A name server that knows these names.
fn names(network: &Network, names: &[(&str, &[IpAddr])]) -> Names {
    network.add_outside(&[ORIGIN, HOLE]);
    let names: Vec<(String, Vec<IpAddr>)> =
        names.iter().map(|(name, addresses)| ((*name).to_owned(), addresses.to_vec())).collect();
    Names::serve(network, move |asked, _| {
        names.iter().find(|(name, _)| name == asked).map(|(_, addresses)| addresses.clone())
    })
}

/// The status of the answer to a CONNECT.
fn connect(appliance: &Appliance, name: &str) -> u16 {
    let head = format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n");
    tunnel::ask(&mut tunnel::dial(STAFF, appliance.proxy()), head.as_bytes()).status
}
