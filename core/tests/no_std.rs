//! core touches no world: it is `no_std`, and so is everything that it is built from.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

#[test]
fn the_crate_is_no_std_and_names_std_in_tests_alone() {
    let root = include_str!("../src/lib.rs");
    assert!(root.lines().any(|line| line == "#![no_std]"));
    assert_eq!(root.matches("extern crate std").count(), 1);
    assert!(root.contains("#[cfg(test)]\nextern crate std;"));
}

#[test]
fn no_dependency_is_asked_for_std() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "penstock-core", "--edges", "normal,features", "--prefix", "none"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .unwrap();
    let text = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.status.success() && text.starts_with("penstock-core "), "{}", String::from_utf8_lossy(&tree.stderr));
    // Procedural macros run in the compiler; their world is not ours.
    let asked: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("feature \"std\"") && !["proc-macro2", "quote", "syn"].contains(&first_word(line)))
        .collect();
    assert!(asked.is_empty(), "{asked:?}");
}

fn first_word(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}
