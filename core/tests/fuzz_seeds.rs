//! Replays the seeds of every fuzz target, and the fuzzing corpora of other TLS libraries, through the checks that the targets
//! run: what fuzzing once found stays found, without a fuzzer.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::duplicate_mod, reason = "each check stands alone as a target")]

#[path = "hello/corpora.rs"]
mod corpora;
#[path = "../fuzz/checks/http1_egress.rs"]
mod http1_egress;
#[path = "../fuzz/checks/http1_ingress.rs"]
mod http1_ingress;
#[path = "../fuzz/checks/http1_proxy.rs"]
mod http1_proxy;
#[path = "../fuzz/checks/http2_exchange.rs"]
mod http2_exchange;
#[path = "../fuzz/checks/http2_hpack.rs"]
mod http2_hpack;
#[path = "../fuzz/checks/mint_facts.rs"]
mod mint_facts;
#[path = "../fuzz/checks/mint_node_request.rs"]
mod mint_node_request;
#[path = "../fuzz/checks/policy_document.rs"]
mod policy_document;
#[path = "../fuzz/checks/proxy_connect.rs"]
mod proxy_connect;
#[path = "../fuzz/checks/proxy_protocol.rs"]
mod proxy_protocol;
#[path = "../fuzz/checks/quic_initial.rs"]
mod quic_initial;
#[path = "../fuzz/checks/signer_request.rs"]
mod signer_request;
#[path = "../fuzz/checks/sni.rs"]
mod sni;
#[path = "../fuzz/checks/tls_client_hello.rs"]
mod tls_client_hello;
#[path = "../fuzz/checks/tls_retry.rs"]
mod tls_retry;

use std::fs;
use std::path::Path;

type Check = fn(&[u8]);

const TARGETS: &[(&str, Check)] = &[
    ("http1_egress", http1_egress::check),
    ("http1_ingress", http1_ingress::check),
    ("http1_proxy", http1_proxy::check),
    ("http2_exchange", http2_exchange::check),
    ("http2_hpack", http2_hpack::check),
    ("mint_facts", mint_facts::check),
    ("mint_node_request", mint_node_request::check),
    ("policy_document", policy_document::check),
    ("proxy_connect", proxy_connect::check),
    ("proxy_protocol", proxy_protocol::check),
    ("quic_initial", quic_initial::check),
    ("signer_request", signer_request::check),
    ("sni", sni::check),
    ("tls_client_hello", tls_client_hello::check),
    ("tls_retry", tls_retry::check),
];

fn fuzz_directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz"))
}

/// Names of the entries of a folder below the fuzz workspace, without extension, sorted.
fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(fuzz_directory().join(folder)).unwrap();
    let name = |entry: fs::DirEntry| entry.path().file_stem().unwrap().to_str().unwrap().to_owned();
    let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

#[test]
fn seeds_hold() {
    for (target, check) in TARGETS {
        let folder = fuzz_directory().join("seeds").join(target);
        let mut seeds = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            check(&fs::read(path).unwrap());
            seeds += 1;
        }
        assert!(seeds > 0, "{target} has no seeds");
    }
}

#[test]
fn every_target_has_its_check_its_seeds_and_its_line_here() {
    let listed: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert!(listed.is_sorted());
    let manifest = fs::read_to_string(fuzz_directory().join("Cargo.toml")).unwrap();
    for folder in ["checks", "seeds", "targets"] {
        assert_eq!(names(folder), listed, "{folder}");
    }
    for name in listed {
        assert!(manifest.contains(&format!("[[bin]]\nname = \"{name}\"\npath = \"targets/{name}.rs\"")), "{name}");
    }
}

#[test]
fn hellos_that_fuzzed_other_libraries_hold() {
    for path in ["openssl-fuzz-server/openssl-fuzz-server.tar.gz", "rustls-fuzz/rustls-fuzz.tar.gz"] {
        let files = corpora::archive(path);
        println!("{path}: {} files", files.len());
        for (name, bytes) in files {
            let held = std::panic::catch_unwind(|| tls_client_hello::check(&bytes));
            assert!(held.is_ok(), "{name}");
        }
    }
}
