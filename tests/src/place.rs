//! Where things are: the workspace, its binaries, the corpora, the Python interpreter with the clients' packages.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The policy that the quickstart and the bars of the product use.
pub fn example_policy() -> PathBuf {
    workspace().join("deploy/policies/example.toml")
}

/// One of the product's binaries: beside the test's own executable, or in `PENSTOCK_BIN_DIR`.
pub fn binary(name: &str) -> PathBuf {
    let directory = env::var_os("PENSTOCK_BIN_DIR").map_or_else(profile_directory, PathBuf::from);
    let path = directory.join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --workspace --bins` first", path.display());
    path
}

/// `target/debug` for a test that runs from `target/debug/deps`.
fn profile_directory() -> PathBuf {
    let executable = env::current_exe().unwrap();
    executable.parent().unwrap().parent().unwrap().to_path_buf()
}

/// A folder of the corpora, or `None` with a word on what is left out. In CI absence is a failure.
pub fn corpus(name: &str) -> Option<PathBuf> {
    let root = env::var_os("PENSTOCK_CORPORA")
        .map_or_else(|| workspace().parent().unwrap().join("shared/corpora"), PathBuf::from);
    present(root.join(name), &format!("the corpus {name}"))
}

/// The interpreter of the virtual environment that `tests/run` makes, with the real clients installed.
pub fn python() -> Option<PathBuf> {
    let made = env::var_os("PENSTOCK_TESTS_PYTHON")
        .map_or_else(|| profile_directory().parent().unwrap().join("tests-venv/bin/python"), PathBuf::from);
    present(made, "the Python clients (tests/run installs them)")
}

/// A program of the machine, found on the PATH.
pub fn program(name: &str) -> Option<PathBuf> {
    let found = env::var_os("PATH")
        .and_then(|paths| env::split_paths(&paths).map(|directory| directory.join(name)).find(|path| path.is_file()));
    found.or_else(|| present(Path::new("/usr/bin").join(name), &format!("what needs {name} (tests/run installs it)")))
}

/// A library of the machine, by its path below the folder of the machine's architecture.
pub fn library(name: &str) -> Option<PathBuf> {
    let folder = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
    present(Path::new(&folder).join(name), &format!("what needs {name} (tests/run installs it)"))
}

/// True when the run leaves out what takes minutes.
pub fn quick() -> bool {
    env::var_os("PENSTOCK_TESTS_QUICK").is_some()
}

/// True when absence of a means of testing is a failure.
pub fn strict() -> bool {
    env::var_os("CI").is_some()
}

fn present(path: PathBuf, what: &str) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    assert!(!strict(), "{} is missing, and CI must not leave out {what}", path.display());
    println!("left out: {what}: {} is missing", path.display());
    None
}

/// Reads a file that must be there.
pub fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}
