//! Reads the tree: every Rust file with its path, and its lines without comments and test modules.

use std::fs;
use std::path::{Path, PathBuf};

use penstock_tests::place;

/// Folders that hold the product's Rust files.
const FOLDERS: &[&str] = &["core", "dataplane", "control", "bench", "tests"];

/// One Rust file.
pub(crate) struct File {
    /// Path from the workspace's root, with `/`.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

impl File {
    /// Numbered lines of code: comments and string contents cut, everything from `#[cfg(test)]` on left out.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, String)> + '_ {
        let product = self.text.split("\n#[cfg(test)]\nmod ").next().unwrap_or("");
        product.lines().enumerate().map(|(index, line)| (index + 1, bare(line)))
    }

    /// True for files that only tests and benches compile.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests") || self.path.contains("/benches/")
    }
}

/// A line without its comment and without what stands between quotes.
pub(crate) fn bare(line: &str) -> String {
    let (mut bare, mut quoted, mut escaped) = (String::new(), false, false);
    let mut rest = line.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '/' if !quoted && rest.peek() == Some(&'/') => break,
            _ if !quoted => bare.push(character),
            _ => {}
        }
    }
    bare
}

/// Every Rust file of the workspace.
pub(crate) fn files() -> Vec<File> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        collect(&place::workspace().join(folder), &mut found);
    }
    assert!(found.len() > 20, "the tree was not found: {}", found.len());
    found
}

/// Every file of any kind below a folder.
pub(crate) fn paths(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(paths(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A manifest or another TOML file of the tree.
pub(crate) fn toml(path: &str) -> toml::Table {
    let path = place::workspace().join(path);
    place::read(&path).parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn collect(folder: &Path, found: &mut Vec<File>) {
    for path in paths(folder) {
        let relative = path.strip_prefix(place::workspace()).unwrap().to_str().unwrap().to_owned();
        let kept = !relative.contains("/target/") && !relative.contains("/corpus/");
        if kept && path.extension().is_some_and(|extension| extension == "rs") {
            found.push(File { path: relative, text: place::read(&path) });
        }
    }
}
