//! More connections than the data plane may have descriptors: it neither spins nor forgets those that it has, and serves
//! again when some are free.

use std::thread;
use std::time::Duration;

use penstock_tests::appliance::Setup;
use penstock_tests::process::{descriptors, processor_seconds};
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::Upstream;
use penstock_tests::wait;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

const ENTRA: &str = "login.microsoftonline.com";
/// More than the data plane has at rest, fewer than the test asks for.
const DESCRIPTORS: u64 = 256;
const WINDOW: Duration = Duration::from_secs(4);

#[test]
fn descriptors_that_run_out_cost_no_flow_and_no_spin_uring() {
    exhaust("uring");
}

#[test]
fn descriptors_that_run_out_cost_no_flow_and_no_spin_epoll() {
    exhaust("epoll");
}

fn exhaust(engine: &str) {
    let upstream = Upstream::plan().start();
    let more = format!("io_engine = \"{engine}\"\n[deadlines]\nconnect_head_ms = 120000\n");
    let appliance = Setup::default().upstream(&upstream).shards(1).dataplane(&more).start();
    let pid = appliance.pid("dataplane");
    let mut open = appliance.client(ENTRA);
    assert_eq!(open.get(ENTRA, "/before").status, 200);
    let base = descriptors(pid);
    limit(pid, DESCRIPTORS);
    let starved =
        || appliance.admin().metrics().sum("penstock_faults_total", &["phase=\"accept\"", "kind=\"resource\""]);
    let held: Vec<_> = (0..DESCRIPTORS).map(|_| tunnel::dial(STAFF, appliance.proxy())).collect();
    let first = wait::until("descriptors to run out", || Some(starved()).filter(|count| *count > 0.0));
    let before = processor_seconds(pid);
    thread::sleep(WINDOW);
    let (used, tries) = (processor_seconds(pid) - before, starved() - first);
    // A spin would use what the machine has to give, and try some hundred thousand times.
    assert!(used < WINDOW.as_secs_f64() / 4.0, "{used} s of processor time in {WINDOW:?}");
    assert!(tries > 0.0 && tries < 10_000.0, "{tries} tries in {WINDOW:?}");
    assert_eq!(open.get(ENTRA, "/meanwhile").status, 200, "a flow that stands goes on");
    assert!(appliance.log().matches("cannot accept").count() <= 2, "{}", appliance.log());
    drop(held);
    wait::until("descriptors to be given back", || (descriptors(pid) <= base + 4).then_some(()));
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/after").status, 200);
    assert_eq!(open.get(ENTRA, "/after").status, 200);
}

fn limit(pid: u32, descriptors: u64) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let limit = Rlimit { current: Some(descriptors), maximum: Some(descriptors) };
    prlimit(Some(pid), Resource::Nofile, limit).unwrap();
}
