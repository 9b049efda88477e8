//! Tables in documents and example files agree with the code.

use std::collections::BTreeSet;
use std::process::Command;

use penstock_core::metrics::{CATALOGUE, Kind};
use penstock_tests::place;

use crate::source;

/// Cases of the hostile list.
const CASES: usize = 120;

#[test]
fn the_metrics_table_is_the_catalogue() {
    let document = place::read(place::workspace().join("deploy/metrics.md"));
    let expected: Vec<String> = CATALOGUE
        .iter()
        .map(|metric| {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            format!("| `{}` | {kind} | {} | {} |", metric.name, metric.labels.join(", "), metric.help)
        })
        .collect();
    let found: Vec<&str> = document.lines().filter(|line| line.starts_with("| `penstock_")).collect();
    assert_eq!(found, expected, "deploy/metrics.md must read:\n{}", expected.join("\n"));
}

/// Each of the 120 cases stands in the table; a case that is marked as tested names tests that exist, and each test
/// that carries a case's number is named in its row.
#[test]
fn the_table_of_hostile_cases_is_true() {
    let path = place::workspace().join("tests/HOSTILE.md");
    let tests = case_tests();
    if std::env::var_os("PENSTOCK_BLESS").is_some() {
        let lines: Vec<String> = place::read(&path).lines().map(|line| with_tests(line, &tests)).collect();
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
    let document = place::read(path);
    let mut rows = BTreeSet::new();
    for line in document.lines().filter(|line| line.starts_with("| h")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (case, state) = (cells[1], cells[3]);
        assert!(rows.insert(case.to_owned()), "{case} stands twice");
        let named: BTreeSet<&str> = cells[4].split('`').filter(|word| word.starts_with(case)).collect();
        let actual: BTreeSet<&str> = tests.iter().map(String::as_str).filter(|test| test.starts_with(case)).collect();
        assert_eq!(named, actual, "{case}: the row and the tests differ");
        assert!(["tested", "part", "waits"].contains(&state), "{case}: `{state}` is no state");
        assert_eq!(state == "waits", actual.is_empty(), "{case}: `{state}` with {} tests", actual.len());
        assert!(state == "tested" || cells[5].len() > 10, "{case}: say what waits, and why");
    }
    let all: BTreeSet<String> = (1..=CASES).map(|number| format!("h{number:03}")).collect();
    assert_eq!(rows, all);
}

/// Each row of the table of faults names tests, and each of them exists.
#[test]
fn the_table_of_faults_names_tests_that_exist() {
    let tests = all_tests();
    let document = place::read(place::workspace().join("deploy/faults.md"));
    let rows: Vec<Vec<&str>> = document.lines().filter(|line| line.starts_with("| ")).map(cells).collect();
    let (header, rows) = rows.split_first().unwrap();
    assert_eq!(header.last(), Some(&"shown by"));
    assert!(rows.len() >= 10, "{} rows", rows.len());
    for row in rows {
        assert_eq!(row.len(), header.len(), "{row:?}");
        let named: Vec<&str> = row[row.len() - 1].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test shows what happens when {}", row[0]);
        for name in named {
            assert!(tests.contains(name), "{}: there is no test {name}", row[0]);
        }
    }
}

#[test]
fn the_example_policy_is_accepted() {
    let mut command = Command::new(place::binary("penstock"));
    let output = command.args(["policy", "check"]).arg(place::example_policy()).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_example_policy_is_the_contracts() {
    let Some(corpora) = place::corpus("psl") else { return };
    let contract =
        corpora.parent().and_then(|corpora| corpora.parent()).map(|shared| shared.join("contracts/policy.toml"));
    if let Some(contract) = contract.filter(|path| path.exists()) {
        assert_eq!(place::read(place::example_policy()), place::read(contract));
    }
}

#[test]
fn the_readme_opens_with_what_it_is_and_the_diagram() {
    let readme = place::read(place::workspace().join("README.md"));
    let head: String = readme.lines().take(45).collect::<Vec<_>>().join("\n");
    for word in [
        "downstream host",
        "core::tls::ClientHelloReader",
        "Verdict::Inspect",
        "flow/close",
        "deploy/quickstart",
        "tests/run",
    ] {
        assert!(head.contains(word), "README.md does not open with {word}");
    }
}

/// A row with the names of its tests as the tree has them; any other line as it is.
fn with_tests(line: &str, tests: &BTreeSet<String>) -> String {
    let Some(case) = line.strip_prefix("| ").and_then(|rest| rest.get(..4)).filter(|case| is_case(case)) else {
        return line.to_owned();
    };
    let mut cells: Vec<String> = line.split('|').map(str::to_owned).collect();
    let named: Vec<String> =
        tests.iter().filter(|test| test.starts_with(case)).map(|test| format!("`{test}`")).collect();
    cells[4] = format!(" {} ", named.join(", "));
    cells.join("|")
}

/// The cells of a row.
fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// `h` and three digits, maybe more behind.
fn is_case(name: &str) -> bool {
    name.len() >= 4 && name.starts_with('h') && name.as_bytes()[1..4].iter().all(u8::is_ascii_digit)
}

/// Tests called `hNNN_…`.
fn case_tests() -> BTreeSet<String> {
    all_tests().into_iter().filter(|name| is_case(name)).collect()
}

/// Functions that are tests, over the whole tree.
fn all_tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in source::files() {
        let mut marked = false;
        for line in file.text.lines().map(str::trim) {
            if line == "#[test]" || line == "#[tokio::test]" {
                marked = true;
            } else if marked && let Some((_, rest)) = line.split_once("fn ") {
                found.insert(rest.split('(').next().unwrap_or("").to_owned());
                marked = false;
            }
        }
    }
    found
}
