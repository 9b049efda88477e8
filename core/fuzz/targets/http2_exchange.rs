//! libFuzzer entry point of `http2_exchange`.
#![no_main]

#[path = "../checks/http2_exchange.rs"]
mod http2_exchange;

libfuzzer_sys::fuzz_target!(|data: &[u8]| http2_exchange::check(data));
