//! What it costs to read a browser's header block, beside loona-hpack, and to write it anew.
//!
//! `first` is the block of a connection's first request, all literals; `later` is a request like it, mostly indices.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use penstock_core::http2::hpack::{Decoder, Encoder, Form};

/// A navigation to Entra by Chromium, in its order; what it does not index is said so.
const FIELDS: &[(&str, &str, Form)] = &[
    (":method", "GET", Form::Incremental),
    (":authority", "login.microsoftonline.com", Form::Incremental),
    (":scheme", "https", Form::Incremental),
    (
        ":path",
        "/common/oauth2/v2.0/authorize?client_id=aaaabbbb-0000-cccc-1111-dddd2222eeee&redirect_uri=https%3A%2F%2F\
         www.contoso.com%2Flanding&response_type=code%20id_token&scope=openid%20profile&nonce=638000000000000000.ZjQ",
        Form::Plain,
    ),
    ("sec-ch-ua", "\"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"", Form::Incremental),
    ("sec-ch-ua-mobile", "?0", Form::Incremental),
    ("sec-ch-ua-platform", "\"Windows\"", Form::Incremental),
    ("upgrade-insecure-requests", "1", Form::Incremental),
    (
        "user-agent",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
        Form::Incremental,
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
        Form::Incremental,
    ),
    ("sec-fetch-site", "same-site", Form::Incremental),
    ("sec-fetch-mode", "navigate", Form::Incremental),
    ("sec-fetch-dest", "document", Form::Incremental),
    ("accept-encoding", "gzip, deflate, br, zstd", Form::Incremental),
    ("accept-language", "en-US,en;q=0.9", Form::Incremental),
    ("cookie", "buid=0.AXoAbbbbccccddddeeeeffff.AQABGgEAAABVrSpeuWamRam2jAF1XRQE", Form::Incremental),
    ("priority", "u=0, i", Form::Incremental),
];

fn encode(encoder: &mut Encoder, block: &mut Vec<u8>) {
    block.clear();
    encoder.begin(block);
    for (name, value, form) in FIELDS {
        encoder.encode(name.as_bytes(), value.as_bytes(), *form, block);
    }
}

/// The two blocks, without the changes of the table's size at the start of the first.
fn blocks() -> [(&'static str, Vec<u8>); 2] {
    let (mut encoder, mut start, mut first, mut later) = (Encoder::new(4_096), vec![], vec![], vec![]);
    encoder.begin(&mut start);
    encode(&mut encoder, &mut first);
    encode(&mut encoder, &mut later);
    [("first", first), ("later", later)]
}

fn decode(criterion: &mut Criterion) {
    let blocks = blocks();
    let mut group = criterion.benchmark_group("hpack/decode");
    for (name, block) in &blocks {
        group.throughput(Throughput::Bytes(block.len() as u64));
        group.bench_function(format!("penstock/{name}"), |bencher| {
            let mut decoder = Decoder::new();
            let first = decoder.decode(&blocks[0].1, &mut |_| ());
            assert!(first.is_ok());
            bencher.iter(|| {
                let mut bytes = 0;
                let read = decoder.decode(black_box(block), &mut |field| bytes += field.value.len());
                (read.is_ok(), bytes)
            });
        });
        group.bench_function(format!("loona/{name}"), |bencher| {
            let mut decoder = loona_hpack::Decoder::new();
            assert!(decoder.decode(&blocks[0].1).is_ok());
            bencher.iter(|| {
                let mut bytes = 0;
                let read = decoder.decode_with_cb(black_box(block), |_, value| bytes += value.len());
                (read.is_ok(), bytes)
            });
        });
    }
}

fn write_anew(criterion: &mut Criterion) {
    let (mut encoder, mut block) = (Encoder::new(4_096), vec![]);
    encode(&mut encoder, &mut block);
    criterion.bench_function("hpack/encode/later", |bencher| {
        bencher.iter(|| {
            encode(&mut encoder, &mut block);
            block.len()
        });
    });
}

criterion_group!(benches, decode, write_anew);
criterion_main!(benches);
