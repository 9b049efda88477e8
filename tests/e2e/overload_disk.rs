//! A full disk under the audit spool: flows go on, what is lost is counted to the event, and records go on when there is
//! room, without a torn line.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use penstock_core::limits::AUDIT_RING_EVENTS_MAX;
use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::upstream::{Then, Upstream};
use penstock_tests::{place, process, wait};
use serde_json::Value;

use super::upgrade::{serving, upgrade};

const ENTRA: &str = "login.microsoftonline.com";
const WORKERS: usize = 4;
/// Requests whose records take more than the page that a full disk may have left.
const HELD: usize = 40;

#[test]
fn a_full_disk_stops_no_flow_and_each_lost_event_is_counted() {
    if !rustix::process::geteuid().is_root() {
        assert!(!place::strict(), "CI has root");
        println!("left out: a disk of the test's own needs root");
        return;
    }
    let upstream = Upstream::plan().start();
    let mut appliance = Setup::default().upstream(&upstream).shards(1).spool_disk("1m").start();
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/before").status, 200);
    appliance.admin().await_events("", 1);
    let spool = spool(&mut appliance);
    let filler = spool.join("filler");
    fill(&filler);
    let asked = 1 + ask(&appliance, AUDIT_RING_EVENTS_MAX + 3_000);
    let dropped = |appliance: &Appliance| appliance.admin().metrics().sum("penstock_audit_dropped_total", &[]);
    wait::until("events to be lost", || (dropped(&appliance) > 0.0).then_some(()));
    fs::remove_file(&filler).unwrap();
    // What waits in memory is several times the disk: it goes through as control takes it.
    let written = wait::until("each event to be written or counted as lost", || {
        let written = appliance.admin().metrics().sum("penstock_audit_events_total", &[]);
        (written + dropped(&appliance) == asked as f64).then_some(written)
    });
    assert!(written >= AUDIT_RING_EVENTS_MAX as f64, "what has room in memory is kept: {written}");
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/after").status, 200);
    wait::until("records to go on", || {
        (appliance.admin().events("limit=1000").iter().any(|event| event["path"] == "/after")).then_some(())
    });
    for file in fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "jsonl") {
            let text = place::read(&file);
            assert!(text.is_empty() || text.ends_with('\n'), "a torn line in {}", file.display());
            assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{}", file.display());
        }
    }
}

#[test]
fn a_data_plane_that_ends_on_a_full_disk_waits_for_room() {
    if !rustix::process::geteuid().is_root() {
        assert!(!place::strict(), "CI has root");
        println!("left out: a disk of the test's own needs root");
        return;
    }
    let (finish, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (finished, arrived) = (Arc::clone(&finish), Arc::clone(&asked));
    let upstream = Upstream::plan().answering(move |_request, out| {
        arrived.fetch_add(1, Ordering::Relaxed);
        wait::until("the end", || finished.load(Ordering::Relaxed).then_some(()));
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = upstream.start();
    let mut appliance = Setup::default().upstream(&upstream).spool_disk("1m").start();
    let mut clients: Vec<_> = (0..HELD).map(|_| appliance.client(ENTRA)).collect();
    for client in &mut clients {
        client.send(format!("GET /contoso.com/held HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n"));
    }
    wait::until("the requests", || (asked.load(Ordering::Relaxed) == HELD).then_some(()));
    let (old, filler) = (serving(&appliance), spool(&mut appliance).join("filler"));
    upgrade(&mut appliance);
    fill(&filler);
    let more = filler.with_extension("more");
    let is_full = Arc::new(());
    // Again and again: what is delivered makes room.
    let filling = thread::spawn({
        let (is_full, more) = (Arc::downgrade(&is_full), more.clone());
        move || {
            while is_full.upgrade().is_some() {
                fill(&more);
            }
        }
    });
    finish.store(true, Ordering::Relaxed);
    assert!(clients.iter_mut().all(|client| client.next_answer(false).is_some_and(|answer| answer.status == 200)));
    drop(clients);
    wait::until("the disk to refuse", || appliance.log().contains("cannot be written").then_some(()));
    // All that the old one had to do is done but for this.
    thread::sleep(Duration::from_secs(1));
    drop(is_full);
    filling.join().unwrap();
    fs::remove_file(more).unwrap();
    fs::remove_file(filler).unwrap();
    wait::until("its end", || (!process::alive(old)).then_some(()));
    appliance.admin().await_events("status=allowed&limit=1000", HELD);
}

/// The appliance's spool, as the processes in its mount namespace see it.
fn spool(appliance: &mut Appliance) -> PathBuf {
    let root = format!("/proc/{}/root", appliance.process().id());
    Path::new(&root).join(appliance.state().join("dataplane/spool").strip_prefix("/").unwrap())
}

/// Takes all the room that is left.
fn fill(path: &Path) {
    let mut file = File::options().append(true).create(true).open(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

/// Asks so many times, over connections that stay open, and is always served; how many that were.
fn ask(appliance: &Appliance, count: usize) -> usize {
    let each = count / WORKERS;
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let mut client = appliance.client(ENTRA);
                for _ in 0..each {
                    assert_eq!(client.get(ENTRA, "/contoso.com/full").status, 200);
                }
            });
        }
    });
    each * WORKERS
}
