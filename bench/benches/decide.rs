//! The policy decision at 100, 10,000 and 100,000 host rules, and what surrounds it: compiling a document of that size,
//! and asking for each header of a request whether it is a restriction header.
//!
//! The bar is 100 ns for a decision at 100,000 rules.
#![allow(clippy::expect_used, missing_docs, reason = "a bench may panic")]

use std::hint::black_box;
use std::net::IpAddr;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use penstock_bench::hot::document;
use penstock_core::catalogue::{ConnectorId, DenialScanner};
use penstock_core::policy::{FlowFacts, Snapshot, compile};
use penstock_core::sni::Sni;

const RULES: [usize; 3] = [100, 10_000, 100_000];

/// Names as they come: listed, not listed, deep, inspected, excluded.
const NAMES: [&str; 8] = [
    "www.blocked77.example.com",
    "www.example.org",
    "a.b.c.d.cdn.example.net",
    "login.microsoftonline.com",
    "device.login.microsoftonline.com",
    "mail.google.com",
    "edge.blocked12345.example.com",
    "telemetry.vendor.example.co.uk",
];

fn snapshot(rules: usize) -> Snapshot {
    compile("bench.toml", &document(rules), Some(1), 0x5eed).expect("the document is right")
}

fn decide(criterion: &mut Criterion) {
    let names: Vec<Sni> = NAMES.iter().map(|name| name.parse().expect("a host name")).collect();
    let source: IpAddr = "10.1.2.3".parse().expect("an address");
    let mut group = criterion.benchmark_group("decide");
    for rules in RULES {
        let snapshot = snapshot(rules);
        group.bench_function(BenchmarkId::from_parameter(rules), |bencher| {
            let mut turn = names.iter().cycle();
            bencher.iter(|| {
                let name = turn.next();
                let facts = FlowFacts { sni: name, authority: name, ..FlowFacts::of(source) };
                black_box(snapshot.decide(black_box(&facts)))
            });
        });
    }
    group.finish();
}

/// As above over 10,000 different names, so that the table's lines are not in the first cache.
fn decide_many_names(criterion: &mut Criterion) {
    let names: Vec<Sni> = (0..10_000)
        .map(|number| format!("www.blocked{}.example.com", number * 7 % 50_000).parse().expect("a host name"))
        .collect();
    let source: IpAddr = "10.1.2.3".parse().expect("an address");
    let mut group = criterion.benchmark_group("decide_many_names");
    for rules in RULES {
        let snapshot = snapshot(rules);
        group.bench_function(BenchmarkId::from_parameter(rules), |bencher| {
            let mut turn = names.iter().cycle();
            bencher.iter(|| {
                let facts = FlowFacts { sni: turn.next(), ..FlowFacts::of(source) };
                black_box(snapshot.decide(black_box(&facts)))
            });
        });
    }
    group.finish();
}

fn compile_document(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    for rules in RULES {
        let document = document(rules);
        group.throughput(Throughput::Elements(rules as u64));
        group.bench_function(BenchmarkId::from_parameter(rules), |bencher| {
            bencher.iter(|| compile("bench.toml", black_box(&document), None, 1));
        });
    }
    group.finish();
}

/// The headers of a browser's request: none is a restriction header, which is the common case.
fn strip(criterion: &mut Criterion) {
    const NAMES: [&[u8]; 12] = [
        b"Host",
        b"User-Agent",
        b"Accept",
        b"Accept-Language",
        b"Accept-Encoding",
        b"Referer",
        b"Cookie",
        b"Sec-Fetch-Dest",
        b"Sec-Fetch-Mode",
        b"Sec-Fetch-Site",
        b"Upgrade-Insecure-Requests",
        b"Connection",
    ];
    let snapshot = snapshot(100);
    let sni: Sni = "login.microsoftonline.com".parse().expect("a host name");
    let source: IpAddr = "10.1.2.3".parse().expect("an address");
    let facts = FlowFacts { sni: Some(&sni), ..FlowFacts::of(source) };
    let edit = snapshot.decide(&facts).edit;
    let mut group = criterion.benchmark_group("strip");
    group.throughput(Throughput::Elements(NAMES.len() as u64));
    group.bench_function("browser_request", |bencher| {
        bencher.iter(|| NAMES.iter().filter(|name| edit.strips(black_box(name))).count());
    });
    group.finish();
}

fn denial(criterion: &mut Criterion) {
    let page = b"<!DOCTYPE html><html><head><title>Sign in to your account</title></head>".repeat(100);
    let mut group = criterion.benchmark_group("denial");
    group.throughput(Throughput::Bytes(page.len() as u64));
    group.bench_function("sign_in_page", |bencher| {
        let mut scanner = DenialScanner::new(&[ConnectorId::MicrosoftEntra]);
        bencher.iter(|| {
            scanner.handle_head(200, std::iter::empty());
            scanner.handle_body(black_box(&page));
            black_box(scanner.found())
        });
    });
    group.finish();
}

criterion_group!(benches, decide, decide_many_names, compile_document, strip, denial);
criterion_main!(benches);
