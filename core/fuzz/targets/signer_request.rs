//! libFuzzer entry point of `signer_request`.
#![no_main]

#[path = "../checks/signer_request.rs"]
mod signer_request;

libfuzzer_sys::fuzz_target!(|data: &[u8]| signer_request::check(data));
