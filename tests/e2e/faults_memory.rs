//! Memory runs short: the data plane sheds by steps before the kernel has to choose, open flows go on, and all is served again
//! once there is room.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::process::{self, resident_bytes};
use penstock_tests::tunnel::{self, STAFF, echoes};
use penstock_tests::upstream::{self, Upstream};
use penstock_tests::{place, wait};
use rustix::process::Signal;

const ENTRA: &str = "login.microsoftonline.com";
const SLOW: &str = "slow.example.org";
/// What one hostile connection has the data plane hold: most of the longest ClientHello, in records of 16 KiB.
const HELD_BYTES: usize = 60_000;
const HOSTILE_MAX: usize = 4_000;

#[test]
fn memory_that_runs_short_is_shed_and_costs_no_open_flow() {
    let upstream = Upstream::plan().start();
    let setup = Setup::default().host(SLOW, upstream::echo()).upstream(&upstream).shards(1);
    let mut appliance = setup.dataplane("[limits]\nmemory_mib_max = 4096\n[deadlines]\nsniff_ms = 600000\n").start();
    let ceiling = lower_ceiling(&mut appliance);
    let pid = appliance.running("dataplane").unwrap();
    let (mut open, mut idle) = (appliance.echoing(SLOW), appliance.client(ENTRA));
    assert_eq!(idle.get(ENTRA, "/before").status, 200);

    let mut held = Vec::new();
    let refusal = loop {
        assert!(held.len() < HOSTILE_MAX, "{} of {ceiling} bytes", resident_bytes(pid));
        let mut stream = tunnel::dial(STAFF, appliance.proxy());
        let answer =
            tunnel::ask(&mut stream, format!("CONNECT {SLOW}:443 HTTP/1.1\r\nHost: {SLOW}\r\n\r\n").as_bytes());
        if answer.status != 200 {
            break answer;
        }
        begin_hello(&mut stream);
        held.push(stream);
        // Memory is measured four times a second: near the ceiling each step is to be seen before the next.
        let is_near = resident_bytes(pid) * 10 > ceiling * 9;
        thread::sleep(Duration::from_millis(if is_near { 200 } else { 2 }));
    };
    assert!(refusal.status == 503 && refusal.text().contains("memory"), "{refusal:?}");
    assert!(echoes(&mut open), "what is under way goes on");
    assert!(idle.rest().is_empty(), "what waits for a next request ends");
    assert!(resident_bytes(pid) < ceiling && appliance.running("dataplane") == Some(pid));
    let refused = || appliance.admin().metrics().sum("penstock_faults_total", &["phase=\"accept\"", "kind=\"memory\""]);
    wait::until("the refusal to be counted", || (refused() > 0.0).then_some(()));
    assert_eq!(appliance.admin().await_events("status=fault", 1)[0]["fault"], "downstream/accept/memory");

    drop(held);
    assert!(echoes(&mut open));
    let mut client = wait::until("flows to be served again", || {
        tunnel::try_open(appliance.proxy(), &format!("{ENTRA}:443"))?;
        appliance.try_client(ENTRA).ok()
    });
    assert_eq!(client.get(ENTRA, "/after").status, 200);
    // The process before the reload has the label `node` as long as it drains.
    let metrics = appliance.admin().metrics();
    assert_eq!(metrics.value("penstock_memory_ceiling_bytes"), Some(ceiling as f64));
    assert!(metrics.value("penstock_memory_resident_bytes") > Some(0.0));
}

/// Puts a ceiling at some more than twice what the data plane uses when it has served one flow, by a reload.
fn lower_ceiling(appliance: &mut Appliance) -> u64 {
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/first").status, 200);
    let before = appliance.running("dataplane").unwrap();
    let mib = resident_bytes(before) / (1 << 20) * 5 / 2;
    let config = appliance.state().join("dataplane.toml");
    fs::write(&config, place::read(&config).replace("memory_mib_max = 4096", &format!("memory_mib_max = {mib}")))
        .unwrap();
    process::signal(appliance.process().id(), Signal::HUP);
    wait::until("the data plane with a ceiling", || appliance.running("dataplane").filter(|pid| *pid != before));
    wait::until("the upgrade's end", || appliance.log().contains("upgraded;").then_some(()));
    mib << 20
}

/// The beginning of a ClientHello that says of itself that it is long.
fn begin_hello(stream: &mut TcpStream) {
    let mut body = vec![1, 0, 0xf0, 0];
    body.resize(HELD_BYTES, 0);
    for piece in body.chunks(16 * 1024) {
        let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
        stream.write_all(&[&[22, 3, 1], &length[..], piece].concat()).unwrap();
    }
}
