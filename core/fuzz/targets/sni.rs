//! libFuzzer entry point of `sni`.
#![no_main]

#[path = "../checks/sni.rs"]
mod sni;

libfuzzer_sys::fuzz_target!(|data: &[u8]| sni::check(data));
