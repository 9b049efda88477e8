//! libFuzzer entry point of `tls_retry`.
#![no_main]

#[path = "../checks/tls_retry.rs"]
mod tls_retry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tls_retry::check(data));
