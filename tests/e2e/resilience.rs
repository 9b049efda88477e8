//! Resilience: control may die, the data plane may die, the machine's order to stop is obeyed; traffic and records live.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client::{self, Client};
use penstock_tests::process::{self, Process};
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::{self, Then, Upstream};
use penstock_tests::{place, wait};
use rustix::process::Signal;
use tempfile::TempDir;

const ENTRA: &str = "login.microsoftonline.com";

/// The process id that control has now: it may have been started again.
fn control(appliance: &Appliance) -> u32 {
    let pids: serde_json::Value = serde_json::from_str(&place::read(appliance.state().join("penstock.pids"))).unwrap();
    u32::try_from(pids["control"].as_u64().unwrap()).unwrap()
}

#[test]
fn killing_control_leaves_traffic_flowing_and_loses_no_event() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut open = appliance.client(ENTRA);
    assert_eq!(open.get(ENTRA, "/before").status, 200);
    for round in 0..3 {
        process::signal(control(&appliance), Signal::KILL);
        for index in 0..10 {
            assert_eq!(open.get(ENTRA, &format!("/open-{round}-{index}")).status, 200);
            assert_eq!(appliance.client(ENTRA).get(ENTRA, &format!("/new-{round}-{index}")).status, 200);
        }
        // `penstock up` brings it back on the same address.
        wait::until("control to come back", || (appliance.admin().try_status("/readyz") == Some(200)).then_some(()));
    }
    assert!(process::alive(appliance.pid("dataplane")), "the data plane must not notice");
    let events = appliance.admin().await_events("limit=1000", 61);
    let mut paths: Vec<&str> = events.iter().filter_map(|event| event["path"].as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!((events.len(), paths.len()), (61, 61), "each request once, none lost");
}

#[test]
fn a_data_plane_that_dies_is_started_again() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/before").status, 200);
    process::signal(appliance.pid("dataplane"), Signal::KILL);
    wait::until("the data plane to die", || (!process::alive(appliance.pid("dataplane"))).then_some(()));
    wait::until("the data plane to serve again", || tunnel::try_open(appliance.proxy(), &format!("{ENTRA}:443")));
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/after").status, 200);
    // The connection that looked whether it serves has an event too.
    let events = || appliance.admin().await_events("limit=100", 2);
    wait::until("the event", || events().iter().any(|event| event["path"] == "/after").then_some(()));
}

#[test]
fn state_outlives_a_restart_of_everything() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let root = place::read(appliance.root());
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/one").status, 200);
    appliance.admin().await_events("", 1);
    let token = appliance.admin().json("/api/v1/policy/history").to_string();
    let appliance = appliance.restart();
    assert_eq!(place::read(appliance.root()), root, "clients must not have to import a new root");
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/two").status, 200);
    appliance.admin().await_events("", 2);
    let history = appliance.admin().json("/api/v1/policy/history").to_string();
    assert_eq!(history.len(), token.len(), "an unchanged policy file makes no revision: {history}");
}

/// The data plane alone, on the state that an appliance left: last-known-good policy and issuer, no control anywhere.
#[test]
fn the_data_plane_serves_without_control() {
    let upstream = Upstream::plan().start();
    let directory = Arc::new(TempDir::new().unwrap());
    let appliance = Setup::default().upstream(&upstream).start_in(Arc::clone(&directory));
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/with").status, 200);
    let root = place::read(appliance.root());
    drop(appliance);
    let config = find_config(&directory.path().join("state"), "dataplane.toml");
    let mut command = Command::new(place::binary("penstock-dataplane"));
    command.arg("--config").arg(&config);
    let alone = Process::start("penstock-dataplane", &mut command, &directory.path().join("alone.log"));
    let proxy = alone.text("listening").parse().unwrap();
    let root_file = directory.path().join("root.pem");
    fs::write(&root_file, root).unwrap();
    let stream = tunnel::open(STAFF, proxy, &format!("{ENTRA}:443"));
    let mut client = Client::connect(stream, ENTRA, client::config(&[&root_file])).unwrap();
    assert_eq!(client.get(ENTRA, "/without").status, 200);
}

/// Without any policy the answer is no, never "pass everything".
#[test]
fn a_data_plane_without_a_policy_passes_nothing() {
    let upstream = Upstream::plan().start();
    let directory = Arc::new(TempDir::new().unwrap());
    drop(Setup::default().upstream(&upstream).start_in(Arc::clone(&directory)));
    let config = find_config(&directory.path().join("state"), "dataplane.toml");
    for good in known_good(&directory.path().join("state")) {
        fs::remove_dir_all(good).unwrap();
    }
    let mut command = Command::new(place::binary("penstock-dataplane"));
    command.arg("--config").arg(&config);
    let alone = Process::start("penstock-dataplane", &mut command, &directory.path().join("alone.log"));
    let mut stream = tunnel::dial(STAFF, alone.text("listening").parse().unwrap());
    let before = upstream.seen().len();
    stream.write_all(b"CONNECT www.example.org:443 HTTP/1.1\r\nHost: www.example.org:443\r\n\r\n").unwrap();
    // It waits in the backlog, or is told; a moment is long for what happens on loopback.
    stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let heard = String::from_utf8_lossy(&tunnel::drain(&mut stream).0).into_owned();
    assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 50"), "{heard}");
    assert_eq!(upstream.seen().len(), before);
}

/// The answer that is due comes whole and says that it is the last; an idle connection ends.
#[test]
fn a_drain_ends_kept_connections_of_http_1() {
    let (arrived, arrival) = mpsc::channel::<()>();
    let (go_on, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let plan = Upstream::plan().answering(move |request, out| {
        if request.target() == "/slow" {
            arrived.send(()).unwrap();
            held.lock().unwrap().recv().unwrap();
        }
        let answer = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nfine";
        out.write_all(answer).map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = plan.start();
    let appliance = Setup::default().upstream(&upstream).shards(1).start();
    let (mut idle, mut busy) = (appliance.client(ENTRA), appliance.client(ENTRA));
    assert_eq!(idle.get(ENTRA, "/").header("connection"), Some("keep-alive"));
    busy.send(format!("GET /slow HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n"));
    arrival.recv_timeout(wait::LIMIT).unwrap();
    process::signal(appliance.pid("dataplane"), Signal::TERM);
    assert!(idle.rest().is_empty());
    go_on.send(()).unwrap();
    let answer = busy.answer();
    assert_eq!((answer.body.as_slice(), answer.header("connection")), (&b"fine"[..], Some("close")));
    assert!(busy.rest().is_empty());
}

#[test]
fn sigterm_drains_and_stops_both() {
    let address = upstream::listen(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        thread::sleep(Duration::from_secs(2));
        let _ = stream.write_all(b"late");
    });
    let mut appliance = Setup::default().host("*", address).start();
    let (control, dataplane) = (appliance.pid("control"), appliance.pid("dataplane"));
    let hello = super::pass::hello(&appliance);
    let mut stream = appliance.tunnel("www.example.org");
    stream.write_all(&hello).unwrap();
    let proxy = appliance.proxy();
    appliance.process().terminate();
    let mut late = [0; 4];
    stream.read_exact(&mut late).expect("a flow that can finish within the grace period is not cut");
    assert_eq!(&late, b"late");
    drop(stream);
    let status = appliance.process().ended(wait::LIMIT).expect("penstock up ends");
    assert!(status.success(), "{status}");
    assert!(!process::alive(control) && !process::alive(dataplane), "a daemon was left behind");
    assert!(std::net::TcpStream::connect(proxy).is_err());
}

#[test]
fn a_second_start_on_the_same_state_refuses_cleanly() {
    let upstream = Upstream::plan().start();
    let directory = Arc::new(TempDir::new().unwrap());
    let first = Setup::default().upstream(&upstream).start_in(Arc::clone(&directory));
    let second = Setup::default().upstream(&upstream).try_start_in(Arc::clone(&directory));
    assert!(second.is_err(), "two appliances on one state");
    assert_eq!(first.client(ENTRA).get(ENTRA, "/").status, 200);
}

/// Files that hold keys or let people in are the owner's alone.
#[test]
fn secrets_on_disk_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let state = appliance.state();
    for name in ["ca/root.key", "admin.token", "link.sock"] {
        let mode =
            fs::metadata(state.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} is open to others: {mode:o}");
    }
    for good in known_good(&state) {
        for file in fs::read_dir(good).unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "the issuer's key is open to others: {mode:o}");
        }
    }
}

fn find_config(state: &Path, name: &str) -> PathBuf {
    let path = state.join(name);
    assert!(path.exists(), "penstock up writes {}", path.display());
    path
}

/// Folders called `last-known-good`, wherever the data plane keeps them.
fn known_good(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.ends_with("last-known-good") {
            found.push(path);
        } else if path.is_dir() {
            found.extend(known_good(&path));
        }
    }
    found
}
