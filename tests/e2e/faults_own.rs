//! Mistakes of the data plane itself, made on purpose (`[faults]`, which only debug builds know): a panic ends the connection
//! that it struck and nothing else, many of them have the process replaced, and a shard that stands still ends it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Mutex, mpsc};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client::{self, Client};
use penstock_tests::process::{self, descriptors};
use penstock_tests::tunnel::echoes;
use penstock_tests::upstream::{self, Then, Upstream};
use penstock_tests::wait;

const ENTRA: &str = "login.microsoftonline.com";
const PASSED: &str = "www.example.org";
const BROKEN: &str = "broken.example.org";
/// `PANICS_PER_SHARD_MAX`, which is what the documentation says.
const PANICS: usize = 10;

fn appliance(upstream: &Upstream, engine: &str, shards: u16) -> Appliance {
    let echo = upstream::echo();
    let more = format!(
        "io_engine = \"{engine}\"\n[faults]\npanic_name = \"{BROKEN}\"\npanic_path = \"/panic\"\nstall_path = \"/stall\"\n"
    );
    let setup = Setup::default().host(PASSED, echo).host(BROKEN, echo).upstream(upstream);
    setup.shards(shards).dataplane(&more).start()
}

/// A flow to the host whose flows panic, which is struck when it has said its name.
fn broken(appliance: &Appliance) -> TcpStream {
    let mut stream = appliance.tunnel(BROKEN);
    stream.write_all(&client::first_flight(BROKEN, client::config(&[&appliance.root()])).1).unwrap();
    stream
}

/// An inspected request that strikes; nothing of it is answered. Before it both legs wait for what comes.
fn strike(client: &mut Client, path: &str) {
    assert_eq!(client.get(ENTRA, "/").status, 200);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n"));
    assert!(client.rest().is_empty());
}

/// Connections that stand to the upstream, as the kernel knows them.
fn connections_to(upstream: &Upstream) -> usize {
    let target = format!(":{}", upstream.address().port());
    let output = Command::new("ss").args(["-Htn", "state", "established", "dport", "=", &target]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().count()
}

fn panics(appliance: &Appliance) -> f64 {
    appliance.admin().metrics().sum("penstock_faults_total", &["phase=\"serve\"", "kind=\"panic\""])
}

#[test]
fn a_panic_ends_the_connection_that_it_struck_uring() {
    one_panic("uring");
}

#[test]
fn a_panic_ends_the_connection_that_it_struck_epoll() {
    one_panic("epoll");
}

fn one_panic(engine: &str) {
    let (silence, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let upstream = Upstream::plan().answering(move |request, out| {
        if request.target() == "/panic" {
            // An answer would wake what waits for it.
            let _ = held.lock().unwrap().recv();
        }
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = upstream.start();
    let appliance = appliance(&upstream, engine, 1);
    let pid = appliance.pid("dataplane");
    let mut inspected = appliance.client(ENTRA);
    assert_eq!(inspected.get(ENTRA, "/before").status, 200);
    let mut passed = appliance.echoing(PASSED);
    assert!(echoes(&mut passed));
    let base = descriptors(pid);
    for _ in 0..PANICS / 2 - 1 {
        strike(&mut appliance.client(ENTRA), "/panic");
        let mut stream = broken(&appliance);
        let ended = stream.read(&mut [0; 64]);
        assert!(ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{ended:?}");
    }
    assert_eq!(inspected.get(ENTRA, "/after").status, 200);
    assert!(echoes(&mut passed));
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/new").status, 200);
    let count = (PANICS / 2 - 1) * 2;
    wait::until("each to be counted", || (panics(&appliance) == count as f64).then_some(()));
    wait::until("the sockets to be closed", || (descriptors(pid) <= base + 1).then_some(()));
    // The kernel keeps a socket for as long as something waits on it, whoever has closed it.
    wait::until("origins to be let go", || (connections_to(&upstream) == 1).then_some(()));
    drop(silence);
    assert!(process::alive(pid) && appliance.running("dataplane") == Some(pid));
    let events = appliance.admin().await_events("status=fault", count / 2);
    assert!(
        events.iter().any(|event| event["fault"] == "downstream/serve/panic" && event["sni"] == ENTRA),
        "{events:?}"
    );
    let active = appliance.admin().metrics().sum("penstock_flows_active", &[]);
    assert_eq!(active, 2.0, "the two that are open");
}

#[test]
fn many_panics_have_the_process_replaced_and_refuse_nobody() {
    let upstream = Upstream::plan().start();
    let appliance = appliance(&upstream, "auto", 1);
    let before = appliance.pid("dataplane");
    let mut passed = appliance.echoing(PASSED);
    assert!(echoes(&mut passed));
    for index in 0..PANICS {
        assert_eq!(appliance.running("dataplane"), Some(before), "{index} are too few");
        strike(&mut appliance.client(ENTRA), "/panic");
    }
    let next = wait::until("another data plane", || appliance.running("dataplane").filter(|pid| *pid != before));
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/after").status, 200);
    assert!(echoes(&mut passed), "open flows finish in the old one");
    drop(passed);
    wait::until("the old one to end", || (!process::alive(before)).then_some(()));
    assert!(process::alive(next));
    let events = appliance.admin().await_events("status=fault", PANICS);
    assert_eq!(events.len(), PANICS, "each is in the audit");
}

/// The supervisor hears nothing from a process of which one shard does not turn, although the others do.
#[test]
fn a_shard_that_stands_still_ends_the_process() {
    let upstream = Upstream::plan().start();
    let appliance = appliance(&upstream, "auto", 2);
    let before = appliance.pid("dataplane");
    let mut client = appliance.client(ENTRA);
    client.send(format!("GET /stall HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n"));
    let next = wait::until("another data plane", || appliance.running("dataplane").filter(|pid| *pid != before));
    assert!(!process::alive(before) && process::alive(next));
    for _ in 0..4 {
        assert_eq!(appliance.client(ENTRA).get(ENTRA, "/after").status, 200);
    }
    assert!(appliance.log().contains("the shard stands still shard="), "{}", appliance.log());
    assert!(client.rest().is_empty());
}
