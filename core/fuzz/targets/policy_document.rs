//! libFuzzer entry point of `policy_document`.
#![no_main]

#[path = "../checks/policy_document.rs"]
mod policy_document;

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy_document::check(data));
