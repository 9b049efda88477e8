//! Host rules against the public suffix list itself: none may stand at a suffix.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "hello/corpora.rs"]
mod corpora;

use std::fs;
use std::io::Read as _;

use penstock_core::catalogue::is_public_suffix;
use penstock_core::policy::compile;

/// The ASCII rules of the list, without exceptions; a wildcard rule as the suffix under its asterisk.
fn rules() -> Option<Vec<String>> {
    let mut text = String::new();
    let packed = fs::File::open(corpora::file("psl/public_suffix_list.dat.gz")?).unwrap();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    let rules = text.lines().filter(|line| !line.is_empty() && !line.starts_with("//") && !line.starts_with('!'));
    Some(rules.filter(|rule| rule.is_ascii()).map(|rule| rule.trim_start_matches("*.").to_owned()).collect())
}

/// The list that is compiled in and the one in the corpus were made some weeks apart, so a few rules may differ.
const DIFFERENCE_MAX: usize = 60;

#[test]
fn every_suffix_of_the_list_is_one() {
    let Some(rules) = rules() else { return };
    assert!(rules.len() > 8_000, "{}", rules.len());
    let missed: Vec<_> = rules.iter().filter(|rule| !is_public_suffix(rule)).collect();
    assert!(missed.len() <= DIFFERENCE_MAX, "{} of {}: {missed:?}", missed.len(), rules.len());
}

#[test]
fn a_rule_at_a_suffix_does_not_compile() {
    let Some(rules) = rules() else { return };
    let suffixes: Vec<_> = rules.iter().filter(|rule| is_public_suffix(rule)).collect();
    for chunk in suffixes.chunks(500) {
        for (list, key) in [("exclude", "never_inspect"), ("deny", "hosts")] {
            let quoted = chunk.iter().map(|suffix| format!("\"*.{suffix}\"")).collect::<Vec<_>>().join(",");
            let found = compile("p", &format!("[{list}]\n{key} = [{quoted}]"), None, 0).unwrap_err();
            let refused = found.iter().filter(|found| found.message.contains("public suffix")).count();
            assert_eq!(refused, chunk.len(), "{list}");
        }
    }
}

/// The list's own tests: a name is a suffix when nothing below it is registered to anybody (`null`).
#[test]
fn the_lists_own_tests_agree() {
    let Some(path) = corpora::file("psl/tests.txt") else { return };
    let text = fs::read_to_string(path).unwrap();
    let mut count = 0;
    for line in text.lines().filter(|line| line.is_ascii() && !line.starts_with("//")) {
        let Some((name, registered)) = line.split_once(' ') else { continue };
        let name = name.to_ascii_lowercase();
        if name.starts_with('.') || name == "null" {
            continue;
        }
        // An unlisted top-level domain is the operator's own; a name under a wildcard's parent is not a suffix yet.
        let unlisted = name == "example";
        if registered != "null" {
            let below = format!("x.{name}");
            assert!(!is_public_suffix(&below), "{below}");
        } else if !unlisted {
            assert!(is_public_suffix(&name), "{name}");
        }
        count += 1;
    }
    assert!(count > 40, "{count}");
}
