//! libFuzzer entry point of `tls_client_hello`.
#![no_main]

#[path = "../checks/tls_client_hello.rs"]
mod tls_client_hello;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tls_client_hello::check(data));
