//! libFuzzer entry point of `quic_initial`.
#![no_main]

#[path = "../checks/quic_initial.rs"]
mod quic_initial;

libfuzzer_sys::fuzz_target!(|data: &[u8]| quic_initial::check(data));
