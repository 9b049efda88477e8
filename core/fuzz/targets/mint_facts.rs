//! libFuzzer entry point of `mint_facts`.
#![no_main]

#[path = "../checks/mint_facts.rs"]
mod mint_facts;

libfuzzer_sys::fuzz_target!(|data: &[u8]| mint_facts::check(data));
