//! libFuzzer entry point of `mint_node_request`.
#![no_main]

#[path = "../checks/mint_node_request.rs"]
mod mint_node_request;

libfuzzer_sys::fuzz_target!(|data: &[u8]| mint_node_request::check(data));
