//! libFuzzer entry point of `proxy_connect`.
#![no_main]

#[path = "../checks/proxy_connect.rs"]
mod proxy_connect;

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxy_connect::check(data));
