//! libFuzzer entry point of `http1_egress`.
#![no_main]

#[path = "../checks/http1_egress.rs"]
mod http1_egress;

libfuzzer_sys::fuzz_target!(|data: &[u8]| http1_egress::check(data));
