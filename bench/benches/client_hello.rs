//! What it costs to read a ClientHello: whole, fragmented, byte by byte, and its fingerprint.
//!
//! The hellos are real ones, captured from clients on loopback (`core/testdata/hello`).

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use penstock_core::bytes::Parsed;
use penstock_core::tls::ClientHelloReader;

const HELLOS: [(&str, &[u8]); 3] = [
    ("chromium", include_bytes!("../../core/testdata/hello/chromium.bin")),
    ("curl", include_bytes!("../../core/testdata/hello/curl-http2.bin")),
    ("openssl-fragmented", include_bytes!("../../core/testdata/hello/openssl-fragmented.bin")),
];

fn whole(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("client_hello/whole");
    for (name, hello) in HELLOS {
        group.throughput(Throughput::Bytes(hello.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), hello, |bencher, hello| {
            bencher.iter(|| {
                let mut reader = ClientHelloReader::new();
                matches!(black_box(reader.handle_bytes(black_box(hello))), Parsed::Complete { .. })
            });
        });
    }
}

/// As it arrives in two segments, which is how a post-quantum hello arrives.
fn in_two_segments(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("client_hello/two_segments");
    let (name, hello) = HELLOS[0];
    group.bench_with_input(BenchmarkId::from_parameter(name), hello, |bencher, hello| {
        bencher.iter(|| {
            let mut reader = ClientHelloReader::new();
            black_box(reader.handle_bytes(black_box(&hello[..1_400])).is_incomplete());
            matches!(black_box(reader.handle_bytes(black_box(hello))), Parsed::Complete { .. })
        });
    });
}

/// The slowest sender: linear over all, not each time from the start.
fn byte_by_byte(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("client_hello/byte_by_byte");
    for (name, hello) in HELLOS {
        group.bench_with_input(BenchmarkId::from_parameter(name), hello, |bencher, hello| {
            bencher.iter(|| {
                let mut reader = ClientHelloReader::new();
                (1..=hello.len()).filter(|end| reader.handle_bytes(black_box(&hello[..*end])).is_incomplete()).count()
            });
        });
    }
}

fn fingerprint(criterion: &mut Criterion) {
    let mut reader = ClientHelloReader::new();
    let Parsed::Complete { value: hello, .. } = reader.handle_bytes(HELLOS[0].1) else { return };
    criterion.bench_function("client_hello/ja4", |bencher| bencher.iter(|| black_box(&hello).ja4()));
}

criterion_group!(benches, whole, in_two_segments, byte_by_byte, fingerprint);
criterion_main!(benches);
