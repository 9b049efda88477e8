//! Upgrades, crashes and stops of the data plane under its supervisor: the listeners outlive every process, so whoever
//! connects is served, by the old one or by the new one.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client::{self, Client};
use penstock_tests::http2::Ask;
use penstock_tests::process::{self, Process};
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::{self, Then, Upstream};
use penstock_tests::{place, wait};
use rustix::process::Signal;
use rustls::ClientConfig;
use tempfile::TempDir;

const ENTRA: &str = "login.microsoftonline.com";
const PASSED: &str = "www.example.org";
const DOWNLOAD: &str = "download.example.org";
/// One of them asks the inspected host.
const WORKERS: usize = 8;

/// Process id of the data plane that serves now.
pub(crate) fn serving(appliance: &Appliance) -> u32 {
    appliance.running("dataplane").unwrap()
}

/// Waits until another data plane than `before` serves.
pub(crate) fn await_successor(appliance: &Appliance, before: u32) -> u32 {
    wait::until("another data plane", || Some(serving(appliance)).filter(|pid| *pid != before && process::alive(*pid)))
}

/// Upgrades to the same binary.
pub(crate) fn upgrade(appliance: &mut Appliance) {
    let before = serving(appliance);
    let upgrades = appliance.log().matches("upgraded;").count();
    process::signal(appliance.process().id(), Signal::HUP);
    await_successor(appliance, before);
    wait::until("the upgrade's end", || (appliance.log().matches("upgraded;").count() > upgrades).then_some(()));
}

/// A passed host that answers each connection's ClientHello with `ok`.
fn answering_ok() -> SocketAddr {
    upstream::listen(|mut stream| {
        if stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
            let _ = stream.write_all(b"ok");
        }
    })
}

/// One new connection to the passed host; whether it heard the answer, whole.
fn pass_once(proxy: SocketAddr, hello: &[u8]) -> bool {
    let pass = || {
        let mut stream = tunnel::try_open(proxy, &format!("{PASSED}:443"))?;
        stream.write_all(hello).ok()?;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).ok()?;
        Some(heard)
    };
    pass().is_some_and(|heard| heard == b"ok")
}

/// One new connection to the inspected host, and a request on it.
fn inspect_once(proxy: SocketAddr, config: &Arc<ClientConfig>) -> bool {
    tunnel::try_open(proxy, &format!("{ENTRA}:443"))
        .and_then(|stream| Client::connect(stream, ENTRA, Arc::clone(config)).ok())
        .is_some_and(|mut client| client.get(ENTRA, "/").status == 200)
}

/// An endless download, of numbers that count up, until `finish`.
fn counting(finish: &Arc<AtomicBool>) -> SocketAddr {
    let finish = Arc::clone(finish);
    upstream::listen(move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let mut sent = 0_u64;
        while !finish.load(Ordering::Relaxed) {
            let block: Vec<u8> = (sent..sent + 2048).flat_map(u64::to_be_bytes).collect();
            stream.write_all(&block).unwrap();
            sent += 2048;
            thread::sleep(Duration::from_millis(5));
        }
    })
}

/// Whether these are the first bytes of such a download, to the end of a number.
fn counts(bytes: &[u8]) -> bool {
    let numbers = bytes.chunks_exact(8).map(|bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
    !bytes.is_empty() && bytes.len().is_multiple_of(8) && numbers.eq(0..bytes.len() as u64 / 8)
}

/// Ends the load when the test fails too.
struct Stops<'a>(&'a AtomicBool, &'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        self.1.store(true, Ordering::Relaxed);
    }
}

#[test]
fn upgrades_under_load_fail_no_connection_and_cut_no_request() {
    let finish = Arc::new(AtomicBool::new(false));
    let until_finish = |finish: &AtomicBool| {
        while !finish.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(10));
        }
    };
    let arrived = Arc::new(AtomicUsize::new(0));
    let (held, arrives) = (Arc::clone(&finish), Arc::clone(&arrived));
    let upstream = Upstream::plan().answering(move |request, out| {
        if request.line.contains("/held") {
            arrives.fetch_add(1, Ordering::Relaxed);
            until_finish(&held);
        }
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = upstream.start();
    let setup = Setup::default().upstream(&upstream).host(PASSED, answering_ok()).host(DOWNLOAD, counting(&finish));
    // What began before the first upgrade is to see the last one.
    let mut appliance = setup.dataplane("[deadlines]\ndrain_ms = 600000\n").start();
    let upgrades = if place::quick() { 3 } else { 20 };
    let (hello, proxy) = (super::pass::hello(&appliance), appliance.proxy());

    let mut long = appliance.tunnel(DOWNLOAD);
    long.write_all(&client::first_flight(DOWNLOAD, client::config(&[&appliance.root()])).1).unwrap();
    let long = thread::spawn(move || {
        let mut bytes = Vec::new();
        long.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut http2 = appliance.http2_client(ENTRA);
    let mut first = appliance.client(ENTRA);
    let first = thread::spawn(move || first.get(ENTRA, "/held").status);
    assert_eq!(http2.ask(Ask::get(ENTRA, "/")).unwrap().status, 200);

    let (stop, made, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let mut span = Duration::ZERO;
    let root = client::config(&[&appliance.root()]);
    thread::scope(|scope| {
        let _stops = Stops(&stop, &finish);
        for worker in 0..WORKERS {
            let (stop, made, failed, hello, root) = (&stop, &made, &failed, &hello, &root);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let is_good = if worker == 0 { inspect_once(proxy, root) } else { pass_once(proxy, hello) };
                    made.fetch_add(1, Ordering::Relaxed);
                    failed.fetch_add(usize::from(!is_good), Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(5));
                }
            });
        }
        let held = scope.spawn(|| http2.ask(Ask::get(ENTRA, "/held")).unwrap().status);
        wait::until("both held requests", || (arrived.load(Ordering::Relaxed) == 2).then_some(()));
        let started = Instant::now();
        for _ in 0..upgrades {
            upgrade(&mut appliance);
            let so_far = made.load(Ordering::Relaxed);
            wait::until("more connections", || (made.load(Ordering::Relaxed) > so_far + 100).then_some(()));
        }
        span = started.elapsed();
        stop.store(true, Ordering::Relaxed);
        finish.store(true, Ordering::Relaxed);
        assert_eq!(held.join().unwrap(), 200, "a stream in flight is finished by the old data plane");
    });
    let (made, failed) = (made.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
    println!("{made} connections over {upgrades} upgrades, {:.0} a second", made as f64 / span.as_secs_f64());
    assert_eq!((failed, made > upgrades * 100), (0, true), "{}", appliance.log());
    assert_eq!(first.join().unwrap(), 200, "a request in flight is finished by the old data plane");
    assert!(counts(&long.join().unwrap().unwrap()), "the download has every byte");
    assert_eq!(http2.ended(), None, "the old data plane ends HTTP/2 with GOAWAY and without an error");
    let inspected = upstream.requests().len();
    let events = appliance.admin().await_events("limit=10000", inspected);
    let seen = events.iter().filter(|event| event["connector"].is_string() && event["path"].is_string()).count();
    assert_eq!(seen, inspected, "each request is in the audit, whichever data plane served it");
}

#[test]
fn an_upgrade_that_does_not_start_leaves_the_old_one_serving() {
    let upstream = Upstream::plan().start();
    let mut appliance = Appliance::before(&upstream);
    let before = serving(&appliance);
    let config = appliance.state().join("dataplane.toml");
    let good = place::read(&config);
    fs::write(&config, format!("{good}\nshards = \"many\"\n")).unwrap();
    process::signal(appliance.process().id(), Signal::HUP);
    wait::until("the refusal", || appliance.log().contains("the upgrade has failed").then_some(()));
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
    assert!(serving(&appliance) == before && process::alive(before));
    assert!(appliance.log().contains("dataplane.toml:"), "the log says where the mistake is: {}", appliance.log());
    fs::write(&config, good.replace("shards = 2", "shards = 3")).unwrap();
    upgrade(&mut appliance);
    for _ in 0..20 {
        assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200, "every shard accepts from a socket");
    }
}

#[test]
fn a_killed_data_plane_refuses_nobody_even_without_control() {
    let upstream = Upstream::plan().start();
    let appliance = Setup::default().upstream(&upstream).host(PASSED, answering_ok()).start();
    let hello = super::pass::hello(&appliance);
    process::signal(appliance.pid("control"), Signal::STOP);
    for _ in 0..2 {
        let before = serving(&appliance);
        process::signal(before, Signal::KILL);
        // Until its last thread is gone, a connection may still be given to it.
        let told = format!("data plane has ended pid={before}");
        wait::until("its end", || appliance.log().contains(&told).then_some(()));
        // No second try: who comes while nobody serves waits in the sockets that the supervisor holds.
        assert!(pass_once(appliance.proxy(), &hello));
        assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
        await_successor(&appliance, before);
    }
    process::signal(appliance.pid("control"), Signal::CONT);
}

#[test]
fn a_data_plane_that_stands_still_is_replaced() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let before = serving(&appliance);
    process::signal(before, Signal::STOP);
    await_successor(&appliance, before);
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
    assert!(!process::alive(before) && appliance.log().contains("stands still"));
}

/// A supervisor alone, on the state that an appliance has left.
pub(crate) struct Alone {
    pub(crate) supervisor: Process,
    _upstream: Upstream,
    hello: Vec<u8>,
    directory: Arc<TempDir>,
}

fn supervise(binary: &Path, config: &Path, log: &Path) -> Result<Process, String> {
    let mut command = Command::new(binary);
    command.arg("--supervise").arg("--config").arg(config);
    Process::try_start("penstock-dataplane --supervise", &mut command, log)
}

impl Alone {
    fn start() -> Self {
        Self::start_by(|_directory| place::binary("penstock-dataplane"))
    }

    /// From a binary that may stand in the given folder.
    pub(crate) fn start_by(binary: impl FnOnce(&Path) -> PathBuf) -> Self {
        let upstream = Upstream::plan().start();
        let slow = upstream::listen(|mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            thread::sleep(Duration::from_secs(2));
            let _ = stream.write_all(b"late");
        });
        let directory = Arc::new(TempDir::new().unwrap());
        let setup = Setup::default().upstream(&upstream).host(PASSED, slow);
        let appliance = setup.start_in(Arc::clone(&directory));
        let hello = super::pass::hello(&appliance);
        drop(appliance);
        let binary = binary(directory.path());
        let supervisor = supervise(&binary, &config(&directory), &directory.path().join("alone.log")).unwrap();
        Self { supervisor, _upstream: upstream, hello, directory }
    }

    pub(crate) fn data_plane(&self) -> u32 {
        u32::try_from(self.supervisor.ready["pid"].as_u64().unwrap()).unwrap()
    }

    pub(crate) fn flow(&self) -> TcpStream {
        let proxy = self.supervisor.text("listening").parse().unwrap();
        let mut stream = tunnel::open(STAFF, proxy, &format!("{PASSED}:443"));
        stream.write_all(&self.hello).unwrap();
        stream
    }
}

fn config(directory: &TempDir) -> PathBuf {
    directory.path().join("state/dataplane.toml")
}

/// Puts a file in another's place, as a package manager does.
pub(crate) fn put(path: &Path, content: &[u8], mode: u32) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, content).unwrap();
    fs::set_permissions(&fresh, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(fresh, path).unwrap();
}

/// A program that starts and runs, with one bit wrong in each of its tables of SHA-256 (FIPS 180-4 section 4.2.2): what a bad
/// disk or a bad copy may leave.
fn damaged(good: &[u8]) -> Vec<u8> {
    let begins: Vec<u8> = [0x428a_2f98_u32, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5].map(u32::to_le_bytes).concat();
    let tables: Vec<usize> = (0..good.len()).filter(|&index| good[index..].starts_with(&begins)).collect();
    assert!(!tables.is_empty());
    let mut damaged = good.to_vec();
    for table in tables {
        damaged[table] ^= 1;
    }
    damaged
}

#[test]
fn a_broken_binary_is_rolled_back_and_a_good_one_put_into_service() {
    let good = fs::read(place::binary("penstock-dataplane")).unwrap();
    let mut path = PathBuf::new();
    let alone = Alone::start_by(|directory| {
        path = directory.join("penstock-dataplane");
        put(&path, &good, 0o755);
        path.clone()
    });
    let hangs: &[u8] = b"#!/bin/sh\nexec sleep 600\n";
    let damaged = damaged(&good);
    let broken: [(&[u8], u32); 6] = [
        // Cut off within what is loaded; debug information comes last.
        (&good[..good.len() / 20], 0o755),
        (b"no program", 0o755),
        (b"#!/bin/sh\nexit 3\n", 0o755),
        (&good, 0o644),
        (&damaged, 0o755),
        // Rolled back after 30 seconds.
        (hangs, 0o755),
    ];
    let count = if place::quick() { 5 } else { 6 };
    for (index, (content, mode)) in broken.into_iter().enumerate().take(count) {
        put(&path, content, mode);
        let mut open = alone.flow();
        process::signal(alone.supervisor.id(), Signal::HUP);
        let failures = || alone.supervisor.log().matches("the upgrade has failed").count();
        wait::until("the upgrade to fail", || (failures() == index + 1).then_some(()));
        for stream in [&mut open, &mut alone.flow()] {
            let mut late = [0; 4];
            stream.read_exact(&mut late).expect("the old one goes on");
        }
        assert!(process::alive(alone.data_plane()), "{index}");
    }
    assert!(alone.supervisor.log().contains("the cryptography fails its trial"), "{}", alone.supervisor.log());
    put(&path, &good, 0o755);
    process::signal(alone.supervisor.id(), Signal::HUP);
    wait::until("the upgrade", || alone.supervisor.log().contains("upgraded;").then_some(()));
    wait::until("the old one to end", || (!process::alive(alone.data_plane())).then_some(()));
    alone.flow().read_exact(&mut [0; 4]).expect("the new one serves");
}

/// Where nobody would take its place, a hang-up is no reason to end.
#[test]
fn sighup_ends_no_data_plane_that_runs_alone() {
    let alone = Alone::start();
    let Alone { supervisor, directory, .. } = &alone;
    let listening = supervisor.text("listening").to_owned();
    supervisor.terminate();
    wait::until("the supervisor's end", || (!process::alive(supervisor.id())).then_some(()));
    let mut command = Command::new(place::binary("penstock-dataplane"));
    command.arg("--config").arg(config(directory));
    let single = Process::start("penstock-dataplane", &mut command, &directory.path().join("single.log"));
    assert_eq!(single.text("listening"), listening);
    process::signal(single.id(), Signal::HUP);
    wait::until("a word on it", || single.log().contains("SIGHUP").then_some(()));
    alone.flow().read_exact(&mut [0; 4]).expect("it serves");
}

#[test]
fn sigterm_lets_the_flows_finish_and_ends_well() {
    let mut alone = Alone::start();
    let mut flows: Vec<_> = (0..20).map(|_| alone.flow()).collect();
    alone.supervisor.terminate();
    for stream in &mut flows {
        let mut late = [0; 4];
        stream.read_exact(&mut late).expect("a flow that can finish is not cut");
        assert_eq!(&late, b"late");
    }
    drop(flows);
    let status = alone.supervisor.ended(wait::LIMIT).expect("the supervisor ends");
    assert_eq!(status.code(), Some(0));
    assert!(!process::alive(alone.data_plane()));
}

#[test]
fn a_killed_supervisor_leaves_no_orphan_and_no_stale_state() {
    let alone = Alone::start();
    let mut flow = alone.flow();
    process::signal(alone.supervisor.id(), Signal::KILL);
    let mut late = [0; 4];
    flow.read_exact(&mut late).expect("a flow that can finish is not cut");
    drop(flow);
    let orphan = alone.data_plane();
    wait::until("the data plane to end by itself", || (!process::alive(orphan)).then_some(()));
    let binary = place::binary("penstock-dataplane");
    let next = supervise(&binary, &config(&alone.directory), &alone.directory.path().join("next.log")).unwrap();
    assert_eq!(next.text("listening"), alone.supervisor.text("listening"));
}

#[test]
fn a_second_supervisor_or_data_plane_is_refused() {
    let alone = Alone::start();
    let path = config(&alone.directory);
    for arguments in [&["--supervise"][..], &[]] {
        let mut command = Command::new(place::binary("penstock-dataplane"));
        let output = command.args(arguments).arg("--config").arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("is held by another data plane"), "{said}");
    }
    let mut late = [0; 4];
    alone.flow().read_exact(&mut late).expect("the first is not disturbed");
}

penstock_tests::on_epoll! {
    upgrades_under_load_fail_no_connection_and_cut_no_request,
    an_upgrade_that_does_not_start_leaves_the_old_one_serving,
    a_killed_data_plane_refuses_nobody_even_without_control,
    a_data_plane_that_stands_still_is_replaced,
}
