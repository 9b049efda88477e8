//! Dependencies: used where they are listed, named only by those that may, and none that the product must not have.

use std::collections::BTreeMap;

use crate::source;

/// Packages of the workspace and their folders.
pub(crate) const PACKAGES: &[(&str, &str)] = &[
    ("penstock-bench", "bench"),
    ("penstock-control", "control"),
    ("penstock-core", "core"),
    ("penstock-dataplane", "dataplane"),
    ("penstock-link", "control/link"),
    ("penstock-tests", "tests"),
];

/// Who alone may depend on a crate.
const WRAPPERS: &[(&str, &[&str])] = &[
    ("aho-corasick", &["penstock-core"]),
    ("axum", &["penstock-control"]),
    ("boring", &["penstock-dataplane"]),
    ("hickory-resolver", &["penstock-dataplane"]),
    ("io-uring", &["penstock-dataplane"]),
    ("prometheus", &["penstock-control"]),
    ("rusqlite", &["penstock-control"]),
    ("tokio-uring", &["penstock-dataplane"]),
];

/// Crates that must not be anywhere in the build: a second TLS library, or a decoder that panics on hostile input.
const BANNED: &[&str] = &["fluke-hpack", "hpack", "httlib-hpack", "native-tls", "openssl", "openssl-sys"];

/// Crates that the product stands on; each must do real work somewhere.
const FOUNDATIONS: &[&str] =
    &["aho-corasick", "boring", "bytes", "criterion", "crossbeam", "mimalloc", "prometheus", "rustls", "tokio-uring"];

/// A package's dependencies by table.
fn dependencies(folder: &str, table: &str) -> Vec<String> {
    let manifest = source::toml(&format!("{folder}/Cargo.toml"));
    manifest
        .get(table)
        .and_then(|value| value.as_table())
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default()
}

#[test]
fn who_may_depend_on_whom() {
    let allowed = BTreeMap::from([
        ("penstock-bench", vec!["penstock-core", "penstock-dataplane"]),
        ("penstock-control", vec!["penstock-core", "penstock-link"]),
        ("penstock-core", vec![]),
        ("penstock-dataplane", vec!["penstock-core", "penstock-link"]),
        ("penstock-link", vec![]),
        ("penstock-tests", vec!["penstock-core"]),
    ]);
    for (package, folder) in PACKAGES {
        for dependency in dependencies(folder, "dependencies").iter().filter(|name| name.starts_with("penstock-")) {
            assert!(allowed[package].contains(&dependency.as_str()), "{package} must not depend on {dependency}");
        }
    }
}

#[test]
fn wrapped_crates_have_one_user() {
    for (package, folder) in PACKAGES {
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for dependency in dependencies(folder, table) {
                let wrapper = WRAPPERS.iter().find(|(wrapped, _)| *wrapped == dependency);
                assert!(
                    wrapper.is_none_or(|(_, users)| users.contains(package)),
                    "{package} must not depend on {dependency}"
                );
            }
        }
    }
}

#[test]
fn banned_crates_are_absent() {
    let lock = locked();
    for banned in BANNED {
        assert!(!lock.iter().any(|(name, _)| name == banned), "{banned} is in Cargo.lock");
    }
    for single in
        ["rustls", "rustls-webpki", "aws-lc-rs", "aws-lc-sys", "boring", "boring-sys", "tokio-uring", "io-uring"]
    {
        let count = lock.iter().filter(|(name, _)| name == single).count();
        assert_eq!(count, 1, "{single} must be in the build once");
    }
}

#[test]
fn there_is_one_crypto_provider() {
    // Cargo.lock also holds what only switched-off features would bring, so the resolved graph is asked.
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["tree", "--offline", "--workspace", "--target", "all", "--invert", "ring"]);
    let output = cargo.current_dir(penstock_tests::place::workspace()).output().unwrap();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn what_a_manifest_lists_is_used() {
    let files = source::files();
    for (package, folder) in PACKAGES {
        let inner = PACKAGES.iter().filter(|(_, other)| other.starts_with(&format!("{folder}/")));
        let inner: Vec<&str> = inner.map(|(_, other)| *other).collect();
        let own: Vec<&source::File> = files
            .iter()
            .filter(|file| file.path.starts_with(&format!("{folder}/")))
            .filter(|file| !inner.iter().any(|other| file.path.starts_with(&format!("{other}/"))))
            .collect();
        for dependency in dependencies(folder, "dependencies").iter().chain(&dependencies(folder, "dev-dependencies")) {
            let word = identifier(dependency);
            let used = own.iter().any(|file| file.text.contains(&word));
            assert!(
                used || (*package == "penstock-link" && word == "prost"),
                "{package} lists {dependency} and never names it"
            );
        }
    }
}

#[test]
fn the_foundations_carry_weight() {
    let files = source::files();
    for crate_name in FOUNDATIONS {
        let word = identifier(crate_name);
        let used = files.iter().any(|file| {
            !file.path.starts_with("tests/") && file.code().any(|(_, line)| line.contains(&format!("{word}::")))
        });
        assert!(used, "{crate_name} is nowhere used");
    }
}

/// The name by which Rust code calls a package.
fn identifier(package: &str) -> String {
    match package {
        "rustls-webpki" => "webpki".to_owned(),
        other => other.replace('-', "_"),
    }
}

/// Every crate of Cargo.lock and its version.
pub(crate) fn locked() -> Vec<(String, String)> {
    let lock = source::toml("Cargo.lock");
    let packages = lock["package"].as_array().unwrap();
    packages
        .iter()
        .map(|package| (package["name"].as_str().unwrap().to_owned(), package["version"].as_str().unwrap().to_owned()))
        .collect()
}
