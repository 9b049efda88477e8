//! libFuzzer entry point of `http1_ingress`.
#![no_main]

#[path = "../checks/http1_ingress.rs"]
mod http1_ingress;

libfuzzer_sys::fuzz_target!(|data: &[u8]| http1_ingress::check(data));
