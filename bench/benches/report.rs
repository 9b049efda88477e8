//! Queries of the report and of events while 100,000 events a minute are recorded.
//!
//! `PENSTOCK_BENCH_EVENTS` says how many events are stored before (default 1,000,000; ten million need 15 GB), and
//! `PENSTOCK_BENCH_STORE` names a folder in which the store is kept for the next run. The bar is a second for every query, with
//! what is recorded keeping its pace, which is printed at the end.
#![allow(clippy::expect_used, clippy::print_stdout, missing_docs, reason = "a bench may panic and says what it did")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use penstock_control::bench_support::{EventStore, Filter};
use penstock_core::audit::{Event, timestamp};
use tokio::runtime::Runtime;

const START_MS: u64 = 1_795_000_000_000;
/// Stored events come four a second.
const PACE_MS: u64 = 250;
const BATCH: u64 = 500;
const RECORDED_A_MINUTE: u64 = 100_000;

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

fn fill(runtime: &Runtime, store: &EventStore, from: u64, until: u64) {
    let begin = Instant::now();
    for first in (from..until).step_by(BATCH as usize * 20) {
        let last = until.min(first + BATCH * 20);
        runtime.block_on(store.record(first, (first..last).map(event).collect())).expect("the store records");
    }
    println!("{} events stored in {:.0?}", until - from, begin.elapsed());
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
        let batch = (first + recorded..first + recorded + BATCH).map(event).collect();
        runtime.block_on(store.record(first + recorded, batch)).expect("the store records");
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
    let store = Arc::new(EventStore::open(&folder.join("control.db")).expect("the store opens"));
    let marker = folder.join("events");
    let stored = std::fs::read_to_string(&marker).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    if stored < count {
        fill(&runtime, &store, stored, count);
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
