//! Queries of the report and of events while 100,000 events a minute are recorded.
//!
//! `PENSTOCK_BENCH_EVENTS` says how many events are stored before (default 1,000,000; ten million need 9 GB), and
//! `PENSTOCK_BENCH_STORE` names a folder in which the store is kept for the next run. The bar is a second for every query, with
//! what is recorded keeping its pace, which is printed at the end. Before anything else it prints what recording costs: the CPU of
//! a batch from its message to the disk, divided by its events, and the room that these take.
#![allow(clippy::expect_used, clippy::print_stdout, missing_docs, reason = "a bench may panic and says what it did")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use penstock_control::bench_support::{EventStore, Filter};
use penstock_core::audit::{Event, timestamp};
use penstock_link::{AuditBatch, AuditEvent};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

/// As in the daemon.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const START_MS: u64 = 1_795_000_000_000;
/// Stored events come four a second.
const PACE_MS: u64 = 250;
const BATCH: u64 = 500;
const RECORDED_A_MINUTE: u64 = 100_000;
/// Events of each measurement of what recording costs.
const MEASURED: u64 = 200_000;

fn dice(number: u64, sides: u64) -> u64 {
    let mixed = (number ^ (number >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) % sides
}

/// 20,000 users, 300 tenants, a refusal in twenty; a flow makes four requests.
fn event(number: u64) -> Event {
    let side = |kind: u64, sides: u64| dice(number / 4 * 8 + kind, sides);
    let status = match side(1, 40) {
        0 => "denied",
        1 => "would_deny",
        2 => "fault",
        _ => "allowed",
    };
    Event {
        time: timestamp(START_MS + number * PACE_MS),
        node: "bench".to_owned(),
        site: Some(format!("Site {}", side(2, 12))),
        flow: format!("1-{:x}-0", number / 4),
        source: format!("10.{}.{}.{}", side(3, 4), side(4, 80), side(5, 64)),
        user: Some(format!("user{}@contoso.com", side(6, 20_000))),
        username: Some("u***".to_owned()),
        application: Some(format!("0f0f0f0f-1111-2222-3333-{:012}", side(7, 60))),
        client: Some(["Firefox", "Chrome", "curl", "Teams"][side(8, 4) as usize].to_owned()),
        connector: Some(["microsoft-entra", "anthropic-claude", "google-workspace"][side(9, 3) as usize].to_owned()),
        profile: Some("staff".to_owned()),
        mode: Some("enforce".to_owned()),
        epoch: Some(7),
        sni: Some("login.microsoftonline.com".to_owned()),
        http: Some("2".to_owned()),
        method: Some("POST".to_owned()),
        path: Some(format!("/tenant{}.com/oauth2/v2.0/token", side(10, 300))),
        target_tenant: Some(format!("tenant{}.com", side(10, 300))),
        status: status.to_owned(),
        code: (status == "denied").then(|| "AADSTS500021".to_owned()),
        vendor_request_id: Some("66666666-7777-8888-9999-aaaaaaaaaaaa".to_owned()),
        headers_set: vec!["Restrict-Access-To-Tenants".to_owned(), "Restrict-Access-Context".to_owned()],
        ..Event::default()
    }
}

/// What a load tool makes: one source, no user, one tenant.
fn plain_event(number: u64) -> Event {
    Event {
        source: "10.0.0.1".to_owned(),
        user: None,
        username: None,
        application: None,
        client: Some("penstock-load".to_owned()),
        connector: Some("microsoft-entra".to_owned()),
        path: Some("/common/oauth2/v2.0/authorize".to_owned()),
        target_tenant: Some("contoso.com".to_owned()),
        status: "allowed".to_owned(),
        code: None,
        ..event(number)
    }
}

fn batch(first: u64, make: fn(u64) -> Event) -> AuditBatch {
    let event = |number| AuditEvent {
        sequence: number,
        json: serde_json::to_string(&make(number)).expect("an event is written"),
    };
    AuditBatch {
        node: "bench".to_owned(),
        boot: "boot".to_owned(),
        events: (first..first + BATCH).map(event).collect(),
    }
}

/// CPU of this process, all threads, user and system.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Stores events in batches as a node sends them; answers the CPU that this took beyond making them.
fn fill(runtime: &Runtime, store: &EventStore, from: u64, until: u64, make: fn(u64) -> Event) -> Duration {
    let mut spent = Duration::ZERO;
    for first in (from..until).step_by(BATCH as usize) {
        let batch = batch(first, make);
        let before = cpu();
        runtime.block_on(store.receive(batch)).expect("the store records");
        spent += cpu() - before;
    }
    spent
}

/// Prints what recording costs.
fn measure(runtime: &Runtime, folder: &Path) {
    for (name, make) in [("20,000 users", event as fn(u64) -> Event), ("one source, no user", plain_event)] {
        let path = folder.join("measured.db");
        let store = EventStore::open(&path).expect("the store opens");
        let begin = Instant::now();
        let spent = fill(runtime, &store, 0, MEASURED, make);
        let bytes = std::fs::metadata(&path).expect("a file").len();
        println!(
            "recording {name}: {:.2} us of CPU and {} bytes an event, {:.0?} in all",
            spent.as_secs_f64() * 1e6 / MEASURED as f64,
            bytes / MEASURED,
            begin.elapsed()
        );
        drop(store);
        std::fs::remove_file(&path).expect("the file goes");
        for suffix in ["-wal", "-shm"] {
            drop(std::fs::remove_file(folder.join(format!("measured.db{suffix}"))));
        }
    }
}

/// Records at its pace until told to stop; prints what it reached.
fn record(store: &EventStore, stop: &AtomicBool, first: u64, slowest_us: &AtomicU64) {
    let runtime = Runtime::new().expect("a runtime");
    let begin = Instant::now();
    let mut recorded = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = Duration::from_millis(recorded * 60_000 / RECORDED_A_MINUTE);
        thread::sleep(due.saturating_sub(begin.elapsed()));
        let started = Instant::now();
        runtime.block_on(store.receive(batch(first + recorded, event))).expect("the store records");
        slowest_us.fetch_max(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        recorded += BATCH;
    }
    let minutes = begin.elapsed().as_secs_f64() / 60.0;
    let slowest = Duration::from_micros(slowest_us.load(Ordering::Relaxed));
    println!(
        "recorded meanwhile: {:.0} events a minute, slowest batch of {BATCH}: {slowest:.0?}",
        recorded as f64 / minutes
    );
}

fn report(criterion: &mut Criterion) {
    let count = std::env::var("PENSTOCK_BENCH_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let kept = std::env::var_os("PENSTOCK_BENCH_STORE").map(PathBuf::from);
    let temporary = std::env::temp_dir().join(format!("penstock-bench-report-{}", std::process::id()));
    let folder = kept.clone().unwrap_or_else(|| temporary.clone());
    std::fs::create_dir_all(&folder).expect("a folder");
    let runtime = Runtime::new().expect("a runtime");
    measure(&runtime, &folder);
    let store = Arc::new(EventStore::open(&folder.join("control.db")).expect("the store opens"));
    let marker = folder.join("events");
    let stored = std::fs::read_to_string(&marker).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    if stored < count {
        let spent = fill(&runtime, &store, stored, count, event);
        println!(
            "{} events stored, {:.2} us of CPU each",
            count - stored,
            spent.as_secs_f64() * 1e6 / (count - stored) as f64
        );
    }
    let first = stored.max(count);
    let (stop, slowest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let recorder = {
        let (store, stop, slowest) = (Arc::clone(&store), Arc::clone(&stop), Arc::clone(&slowest));
        thread::spawn(move || record(&store, &stop, first, &slowest))
    };

    let day_ms = 86_400_000;
    let middle = START_MS + count / 2 * PACE_MS;
    let queries: [(&str, Option<u64>, &[Filter], bool); 8] = [
        ("newest_sign_ins", None, &[], true),
        ("sign_ins_of_a_day", Some(middle), &[], true),
        ("denied_of_a_day", Some(middle), &[("status", "denied")], true),
        ("user", None, &[("user", "user4711@contoso.com")], true),
        ("user_and_status", None, &[("user", "user4711@contoso.com"), ("status", "denied")], true),
        ("tenant_and_client", None, &[("target_tenant", "tenant7.com"), ("client", "curl")], true),
        ("nobody", None, &[("user", "nobody"), ("status", "allowed")], true),
        ("events_of_an_application", Some(middle), &[("application", "0f0f0f0f-1111-2222-3333-000000000007")], false),
    ];
    let mut group = criterion.benchmark_group(format!("report_{count}"));
    group.sample_size(20);
    for (name, since, filters, sign_ins) in queries {
        let until = since.map(|since| since + day_ms);
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(store.page(since, until, filters, sign_ins)).expect("an answer"));
        });
    }
    group.sample_size(10);
    for (name, since, until) in
        [("denials_of_a_day", middle, middle + day_ms), ("denials_of_all", START_MS, START_MS + 1_000 * day_ms)]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(store.denials(since, until)).expect("an answer"));
        });
    }
    group.finish();
    stop.store(true, Ordering::Relaxed);
    recorder.join().expect("the recorder ends");
    match kept {
        // What was recorded meanwhile has numbers beyond; the next run goes on behind them.
        Some(_) => {
            std::fs::write(&marker, (first + 10 * RECORDED_A_MINUTE).to_string()).expect("the marker is written")
        }
        None => std::fs::remove_dir_all(&temporary).expect("the folder goes"),
    }
}

criterion_group!(benches, report);
criterion_main!(benches);
