//! Top level, file names, lengths and headings.

use std::fs;

use penstock_tests::place;

use crate::source;

const FILE_LINES_MAX: usize = 600;
const MODULE_TABLE_LINES_MAX: usize = 80;
/// Words that say nothing about what a file owns.
const EMPTY_WORDS: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "types", "manager"];
/// What stands at the top beside dot-files.
const TOP_LEVEL: &[&str] =
    &["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "bench", "control", "core", "dataplane", "deploy", "tests"];

#[test]
fn the_top_level_is_fixed() {
    let mut found: Vec<String> = fs::read_dir(place::workspace())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && name != "target")
        .collect();
    found.sort();
    assert_eq!(found, TOP_LEVEL);
}

#[test]
fn every_file_opens_with_its_purpose() {
    for file in source::files() {
        let opens = file.text.starts_with("//!") || file.text.starts_with("#![no_main]\n//!");
        assert!(opens, "{}: the first line must be `//!`: what the file owns, and who calls it", file.path);
    }
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for file in source::files() {
        let (lines, table) = (file.text.lines().count(), file.path.ends_with("/mod.rs"));
        let max = if table { MODULE_TABLE_LINES_MAX } else { FILE_LINES_MAX };
        if lines > max {
            long.push(format!("{}: {lines} lines, {max} are allowed: split it by noun", file.path));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn names_say_what_a_file_owns() {
    for file in source::files() {
        let words = file.path.split(['/', '_', '.', '-']);
        for word in words {
            assert!(!EMPTY_WORDS.contains(&word), "{}: `{word}` says nothing", file.path);
        }
    }
}

#[test]
fn nothing_unfinished_is_on_the_main_branch() {
    // Written in two halves, so that this file does not find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("db", "g!("),
    ];
    for file in source::files() {
        for (index, line) in file.text.lines().enumerate() {
            for mark in marks {
                assert!(!line.contains(mark), "{}:{}: {mark}", file.path, index + 1);
            }
        }
    }
}

#[test]
fn unsafe_stays_under_the_ring() {
    for file in source::files() {
        if file.path.starts_with("dataplane/src/ring/") {
            continue;
        }
        for (number, line) in file.code() {
            let found = line
                .split(|character: char| !character.is_alphanumeric() && character != '_')
                .any(|word| word == "unsafe");
            assert!(!found, "{}:{number}: unsafe outside dataplane/src/ring", file.path);
        }
    }
    for root in ["core/src/lib.rs", "control/src/lib.rs", "bench/src/lib.rs", "tests/src/lib.rs"] {
        let text = place::read(place::workspace().join(root));
        assert!(text.contains("#![forbid(unsafe_code)]"), "{root} does not forbid unsafe code");
    }
}

#[test]
fn network_input_cannot_reach_a_panic() {
    for file in source::files() {
        let path = file.path.as_str();
        let product =
            path.starts_with("core/src/") || path.starts_with("dataplane/src/") || path.starts_with("control/");
        if !product || file.is_test() || path.contains("/fuzz/") {
            continue;
        }
        for (number, line) in file.code() {
            for call in [".unwrap()", ".expect(", "panic!("] {
                assert!(!line.contains(call), "{path}:{number}: {call} outside tests");
            }
        }
    }
}

#[test]
fn mutexes_of_std_stay_out_of_the_data_plane() {
    for file in source::files().iter().filter(|file| file.path.starts_with("dataplane/src/")) {
        for (number, line) in file.code() {
            let found = line.contains("std::sync::") && (line.contains("Mutex") || line.contains("RwLock"));
            assert!(!found, "{}:{number}: a lock of std in the data plane", file.path);
        }
    }
}
