//! libFuzzer entry point of `http2_hpack`.
#![no_main]

#[path = "../checks/http2_hpack.rs"]
mod http2_hpack;

libfuzzer_sys::fuzz_target!(|data: &[u8]| http2_hpack::check(data));
