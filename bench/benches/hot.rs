//! The hot functions of core by time: HTTP/2 frames edited, QUIC's Initial packets read, and what `bench/ratchet` counts
//! beside them. `quic_initial/with_cryptography` is the whole of it, by aws-lc as in the data plane.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench may panic")]

#[path = "../../core/tests/quic/cipher.rs"]
mod cipher;
#[path = "../../core/tests/quic/wire.rs"]
mod wire;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use penstock_bench::hot::OPERATIONS;
use penstock_core::quic::{InitialReader, Opening};

const HELLO: &[u8] = include_bytes!("../../core/testdata/hello/chromium.bin");

fn pure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hot");
    for operation in OPERATIONS {
        group.throughput(Throughput::Bytes(operation.bytes as u64));
        let mut run = (operation.make)().unwrap();
        group.bench_function(operation.name, |bencher| bencher.iter(|| assert!(run())));
    }
}

fn quic(criterion: &mut Criterion) {
    let datagrams = wire::flight(&HELLO[5..]);
    let mut group = criterion.benchmark_group("quic_initial");
    group.throughput(Throughput::Bytes(datagrams.iter().map(Vec::len).sum::<usize>() as u64));
    group.bench_function("with_cryptography", |bencher| {
        bencher.iter(|| {
            let mut reader = InitialReader::new();
            let opens = |datagram: &Vec<u8>| {
                matches!(reader.handle_datagram(&cipher::Cipher, black_box(datagram)), Opening::Opens { .. })
            };
            datagrams.iter().map(opens).last()
        });
    });
}

criterion_group!(benches, pure, quic);
criterion_main!(benches);
