//! Reads the corpora that stand beside the repository. Where they are absent the test says what it left out; continuous
//! integration (the variable `CI`) takes absence for a failure.
#![allow(clippy::print_stdout, dead_code, reason = "a test says what it leaves out; each test file uses its part")]

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use flate2::read::GzDecoder;

/// A file of the corpora; `None`, said aloud, when it is absent.
pub(crate) fn file(path: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpora");
    let root = std::env::var_os("PENSTOCK_CORPORA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let file = root.join(path);
    if file.exists() {
        return Some(file);
    }
    assert!(std::env::var_os("CI").is_none(), "the corpus {path} is absent");
    println!("left out: the corpus {path} is absent");
    None
}

/// Lines of JSON in a file, which may be compressed.
pub(crate) fn json_lines(path: &str) -> Vec<serde_json::Value> {
    let Some(file) = file(path) else { return vec![] };
    let mut text = String::new();
    let mut raw = File::open(&file).unwrap();
    if path.ends_with(".gz") {
        GzDecoder::new(raw).read_to_string(&mut text).unwrap();
    } else {
        raw.read_to_string(&mut text).unwrap();
    }
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Names and contents of the files in an archive.
pub(crate) fn archive(path: &str) -> Vec<(String, Vec<u8>)> {
    let Some(file) = file(path) else { return vec![] };
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(file).unwrap()));
    let mut files = vec![];
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type().is_file() {
            let mut bytes = vec![];
            entry.read_to_end(&mut bytes).unwrap();
            files.push((entry.path().unwrap().display().to_string(), bytes));
        }
    }
    files
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|index| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap()).collect()
}
