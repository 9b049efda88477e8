//! A full disk under the audit spool: flows go on, what is lost is counted to the event, and records go on when there is
//! room, without a torn line.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::thread;

use penstock_core::limits::AUDIT_RING_EVENTS_MAX;
use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::upstream::Upstream;
use penstock_tests::{place, wait};
use serde_json::Value;

const ENTRA: &str = "login.microsoftonline.com";
const WORKERS: usize = 4;

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
    // As the processes in the mount namespace see it.
    let root = format!("/proc/{}/root", appliance.process().id());
    let spool = Path::new(&root).join(appliance.state().join("dataplane/spool").strip_prefix("/").unwrap());
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

/// Takes all the room that is left.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
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
