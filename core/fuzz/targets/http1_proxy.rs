//! libFuzzer entry point of `http1_proxy`.
#![no_main]

#[path = "../checks/http1_proxy.rs"]
mod http1_proxy;

libfuzzer_sys::fuzz_target!(|data: &[u8]| http1_proxy::check(data));
