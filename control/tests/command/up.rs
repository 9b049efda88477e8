//! `penstock up`, as far as it can be seen without a data plane; the rest is in the end-to-end tests.

use tempfile::TempDir;

use crate::{ends_with, penstock, stderr, stdout};

#[test]
fn a_policy_that_does_not_compile_starts_nothing() {
    let directory = TempDir::new().unwrap();
    let (policy, state) = (directory.path().join("policy.toml"), directory.path().join("state"));
    std::fs::write(&policy, "[deny]\nhosts = [\"*\"]\n").unwrap();
    let output = penstock(&["up", "--state", state.to_str().unwrap(), "--policy", policy.to_str().unwrap()]);
    ends_with(&output, 1);
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("policy.toml:2:"), "{}", stderr(&output));
    assert!(!state.exists());
}

#[test]
fn arguments_are_checked_before_anything_starts() {
    for (option, value) in [
        ("--host", "login.live.com"),
        ("--host", "login.live.com=here"),
        ("--host", "10.0.0.1=127.0.0.1:1"),
        ("--listen", "localhost"),
        ("--shards", "0"),
        ("--log", "penstock=loud"),
    ] {
        ends_with(&penstock(&["up", "--state", "/does/not/exist", "--policy", "x.toml", option, value]), 2);
    }
}
