//! What it costs to edit a request, beside httparse's reading of the same bytes alone.
//!
//! The requests are real ones, captured from clients on loopback (`core/testdata/http1`). `edit` is one request on a new
//! connection; `exchange` is a request on a kept connection with its events and a minimal answer.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use penstock_core::catalogue::ConnectorId;
use penstock_core::http1::{Exchange, Gather};
use penstock_core::policy::{HeaderEdit, Mode, SetHeader};
use penstock_core::sni::Sni;

const REQUESTS: [(&str, &[u8]); 2] = [
    ("browser", include_bytes!("../../core/testdata/http1/chromium-post.http")),
    ("minimal", include_bytes!("../../core/testdata/http1/curl-get.http")),
];
const ANSWER: &[u8] = b"HTTP/1.1 304 Not Modified\r\n\r\n";

/// A connection under both of Entra's headers.
fn connections() -> impl Fn() -> Exchange {
    let header = |name: &str, value: &str| SetHeader { name: name.into(), value: value.into() };
    let headers = vec![
        header(
            "Restrict-Access-To-Tenants",
            "contoso.com,fabrikam.onmicrosoft.com,aaaabbbb-0000-cccc-1111-dddd2222eeee",
        ),
        header("Restrict-Access-Context", "bbbbcccc-1111-dddd-2222-eeee3333ffff"),
    ];
    let edit = Arc::new(HeaderEdit::new(Mode::Enforce, &[ConnectorId::MicrosoftEntra], headers));
    let host = "login.example".parse::<Sni>();
    move || Exchange::new(Arc::clone(&edit), host.clone().unwrap_or_else(|reject| unreachable!("{reject}")))
}

fn edit(criterion: &mut Criterion) {
    let connect = connections();
    let mut group = criterion.benchmark_group("http1/edit");
    for (name, request) in REQUESTS {
        group.throughput(Throughput::Bytes(request.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), request, |bencher, request| {
            let run = |exchange: &mut Exchange| {
                let mut gather = Gather::new();
                let taken = exchange.handle_egress(black_box(request), &mut gather);
                black_box(gather.pieces());
                taken
            };
            bencher.iter_batched_ref(&connect, run, BatchSize::SmallInput);
        });
    }
}

fn exchange(criterion: &mut Criterion) {
    let connect = connections();
    let mut group = criterion.benchmark_group("http1/exchange");
    for (name, request) in REQUESTS {
        group.bench_with_input(BenchmarkId::from_parameter(name), request, |bencher, request| {
            let mut exchange = connect();
            bencher.iter(|| {
                let mut gather = Gather::new();
                black_box(exchange.handle_egress(black_box(request), &mut gather)).ok();
                black_box(gather.pieces());
                drop(gather);
                let mut gather = Gather::new();
                black_box(exchange.handle_ingress(black_box(ANSWER), &mut gather)).ok();
                drop(gather);
                while let Some(event) = exchange.poll_event() {
                    black_box(event);
                }
            });
        });
    }
}

fn httparse_alone(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http1/httparse");
    for (name, request) in REQUESTS {
        group.throughput(Throughput::Bytes(request.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), request, |bencher, request| {
            bencher.iter(|| {
                let mut fields = [httparse::EMPTY_HEADER; 100];
                let mut parsed = httparse::Request::new(&mut fields);
                let outcome = parsed.parse(black_box(request)).is_ok();
                black_box(parsed.headers.len());
                outcome
            });
        });
    }
}

criterion_group!(benches, edit, exchange, httparse_alone);
criterion_main!(benches);
