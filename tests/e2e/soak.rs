//! The soak: flows of every kind at once while faults come and go. At its end nothing is left of them: memory is flat,
//! descriptors, pipes and operations are given back, each decision has its record, and no header was missing.
//!
//! Half a minute among the other tests; `tests/soak --minutes N` makes it as long as one likes.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::process::{self, descriptors, resident_bytes};
use penstock_tests::upstream::{self, Then, Upstream};
use penstock_tests::wait;
use rustix::process::{Signal, geteuid};

use super::soak_load::{ENTRA, Load, PASSED};
use super::soak_record::Record;
use super::upgrade::{serving, upgrade};

/// MiB that a data plane may gain while the load stays the same, in a soak that was asked for. In half a minute it only warms up.
const GROWTH_MIB_MAX: f64 = 16.0;
/// MiB an hour, in a soak of an hour or more.
const SLOPE_MAX: f64 = 1.0;
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// How long the soak is asked to be.
fn minutes() -> Option<f64> {
    std::env::var("PENSTOCK_SOAK_MINUTES").ok().map(|text| text.parse().unwrap())
}

/// Time with faults, then as long without.
fn half() -> Duration {
    minutes().map_or(Duration::from_secs(10), |minutes| Duration::from_secs_f64(minutes * 30.0))
}

/// The appliance's own disk for the spool, where there may be one.
struct Bed {
    appliance: Appliance,
    spool: Option<PathBuf>,
}

impl Bed {
    fn start(upstream: &Upstream) -> Self {
        let mut setup = Setup::default().upstream(upstream).host(PASSED, upstream::echo());
        setup = setup.dataplane("[deadlines]\ndrain_ms = 60000\n");
        // Below the ports that connections get: control is away for seconds, and finds it free again.
        let port = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
        setup = setup.admin(([127, 0, 0, 1], port).into());
        let has_disk = geteuid().is_root();
        let mut appliance = if has_disk { setup.spool_disk("32m") } else { setup }.start();
        // As the processes in the mount namespace see it.
        let root = PathBuf::from(format!("/proc/{}/root", appliance.process().id()));
        let folder = appliance.state().join("dataplane/spool");
        let spool = has_disk.then(|| root.join(folder.strip_prefix("/").unwrap()));
        Self { appliance, spool }
    }

    /// Upgrades, a full disk under the audit, control's death, another upgrade; which began at which request.
    fn faults(&mut self, load: &Load) -> String {
        let mut begun = Vec::new();
        let mut told = |what: &str| begun.push(format!("{what} {}", load.asked()));
        told("upgrade");
        upgrade(&mut self.appliance);
        if let Some(spool) = &self.spool {
            told("full disk");
            let filler = spool.join("filler");
            let mut file = File::create(&filler).unwrap();
            while file.write_all(&[0; 64 * 1024]).is_ok() {}
            thread::sleep(Duration::from_secs(1));
            fs::remove_file(filler).unwrap();
        }
        told("control's death");
        process::signal(self.appliance.running("control").unwrap(), Signal::KILL);
        thread::sleep(Duration::from_millis(500));
        wait::until("control", || (self.appliance.admin().try_status("/readyz") == Some(200)).then_some(()));
        told("upgrade");
        upgrade(&mut self.appliance);
        begun.join(", ")
    }

    fn gauge(&self, name: &str) -> f64 {
        self.appliance.admin().metrics().sum(name, &[])
    }

    /// A gauge of all shards once nothing is open: those of a process that has just started are heard one by one.
    fn rest(&self, name: &str) -> f64 {
        let mut last = f64::NAN;
        wait::until("rest", || {
            thread::sleep(Duration::from_secs(2));
            let now = self.gauge(name);
            let is_settled = now.to_bits() == last.to_bits() && self.gauge("penstock_flows_active") == 0.0;
            last = now;
            is_settled.then_some(now)
        })
    }

    /// Waits until a gauge of all shards is down to what it was at rest.
    fn await_rest(&self, name: &str, rest: f64) {
        let is_at_rest = wait::within(wait::LIMIT, || (self.gauge(name) <= rest).then_some(())).is_some();
        assert!(is_at_rest, "{name} is {}, and was {rest} at rest", self.gauge(name));
    }
}

/// Descriptors that are no pipes: of those a shard keeps empty ones for as long as it lives.
fn kept(pid: u32) -> usize {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| fs::read_link(entry.unwrap().path()));
    links.filter(|link| link.as_ref().is_ok_and(|to| !to.to_string_lossy().starts_with("pipe:"))).count()
}

/// Resident bytes twice a second, with the second.
fn sample(pid: u32, span: Duration) -> Vec<(f64, f64)> {
    let started = Instant::now();
    let mut samples = Vec::new();
    while started.elapsed() < span {
        samples.push((started.elapsed().as_secs_f64(), resident_bytes(pid) as f64));
        thread::sleep(Duration::from_millis(500));
    }
    samples
}

/// Bytes a second, by least squares.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (at, bytes) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let products: f64 = samples.iter().map(|sample| (sample.0 - at) * (sample.1 - bytes)).sum();
    products / samples.iter().map(|sample| (sample.0 - at).powi(2)).sum::<f64>()
}

#[test]
fn a_soak_with_faults_leaves_nothing_behind() {
    let upstream = Upstream::plan().answering(|request, out| {
        if request.target().ends_with("/reset") {
            return Then::Reset;
        }
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = upstream.start();
    let mut bed = Bed::start(&upstream);
    assert_eq!(bed.appliance.client(ENTRA).get(ENTRA, "/contoso.com/rest").status, 200);
    let rest = bed.rest("penstock_ring_operations_in_flight");
    let base = kept(serving(&bed.appliance));
    let load = Load::of(&bed.appliance);
    let half = half();
    let mut memory = Vec::new();
    thread::scope(|scope| {
        let _stops = load.stops_when_dropped();
        load.start(scope);
        let started = Instant::now();
        while started.elapsed() < half {
            println!("faults at requests: {}", bed.faults(&load));
            // Who dies too often is started again more and more slowly.
            thread::sleep(half / 10);
        }
        // What the last upgrade has left drains, and caches fill.
        thread::sleep(half / 4);
        memory = sample(serving(&bed.appliance), half * 3 / 4);
    });
    let third = memory.len() / 3;
    let mean = |samples: &[(f64, f64)]| samples.iter().map(|sample| sample.1).sum::<f64>() / samples.len() as f64;
    let (first, last) = (mean(&memory[..third]), mean(&memory[memory.len() - third..]));
    println!("{}", load.told());
    let hourly = slope(&memory) * 3600.0;
    let [first, last, hourly] = [first, last, hourly].map(|bytes| bytes / MEBIBYTE);
    println!("data plane: {first:.1} MiB, then {last:.1} MiB; slope {hourly:.2} MiB an hour");
    bed.await_rest("penstock_flows_active", 0.0);
    bed.await_rest("penstock_pipes_in_use", 0.0);
    bed.await_rest("penstock_ring_operations_in_flight", rest);
    let pid = serving(&bed.appliance);
    wait::until("descriptors to be given back", || (kept(pid) <= base).then_some(()));
    let (kept, pipes) = (kept(pid), descriptors(pid) - kept(pid));
    println!(
        "at rest: {kept} descriptors ({base} before) and {pipes} of empty pipes, {rest} operations in flight as before"
    );

    upstream.verify();
    let mut record = Record::default();
    record.await_all(&bed.appliance, &upstream.requests(), load.denied.load(Ordering::Relaxed));
    println!("{}", record.told());
    assert!(!bed.appliance.log().contains("panicked"), "{}", bed.appliance.log());
    // Last, so that all else is told before.
    if let Some(minutes) = minutes() {
        assert!(last - first < GROWTH_MIB_MAX, "memory grows");
        assert!(minutes < 60.0 || hourly < SLOPE_MAX, "memory grows");
    }
}
