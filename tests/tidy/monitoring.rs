//! Rules and dashboards under `deploy` ask for metrics and labels that exist, and the rules do what they are for.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use penstock_core::flow::{Direction, FaultKind, Leg, Phase, RelayPath};
use penstock_core::metrics::{CATALOGUE, Kind};
use penstock_core::policy::{Mode, Reason, Verdict};
use penstock_tests::place;
use serde_json::Value;

use crate::source;

/// Metrics of the scrape itself and of the process, beside the catalogue.
const OTHERS: &[&str] = &[
    "ALERTS",
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "up",
];
/// Labels that every series has, or that Prometheus adds.
const COMMON_LABELS: &[&str] = &["instance", "job", "le", "node"];

/// A metric as an expression asks for it, with its matchers.
#[derive(Debug)]
struct Asked {
    name: String,
    matchers: Vec<(String, String)>,
}

#[test]
fn rules_ask_for_what_exists() {
    let rules: Vec<String> = ["recording.yml", "alerts.yml"].iter().map(|name| rules(name)).collect();
    let recorded = recorded(&rules.join("\n"));
    assert!(recorded.len() > 5, "{recorded:?}");
    let mut seen = BTreeSet::new();
    for text in &rules {
        for asked in asked(&expressions(text)) {
            check(&asked, &recorded);
            seen.insert(asked.name);
        }
    }
    assert!(seen.len() > 10, "{seen:?}");
    for metric in ["penstock_link_up", "penstock_audit_dropped_total", "penstock_policy_epoch", "penstock_faults_total"]
    {
        assert!(seen.contains(metric), "nothing watches {metric}");
    }
}

#[test]
fn dashboards_ask_for_what_exists() {
    let recorded = recorded(&rules("recording.yml"));
    let mut seen = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for path in source::paths(&place::workspace().join("deploy/grafana")) {
        let dashboard: Value = serde_json::from_str(&place::read(&path)).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert_eq!(dashboard["uid"], name);
        assert!(ids.insert(dashboard["title"].as_str().unwrap().to_owned()), "{name}: its title stands twice");
        let mut panels = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            assert!(panels.insert(panel["id"].as_i64().unwrap()), "{name}: an id stands twice");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}: {panel}");
            assert!(!panel["description"].as_str().unwrap().is_empty(), "{name}: {} says nothing", panel["title"]);
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{name}: {} asks nothing", panel["title"]);
            for target in targets {
                let asked = asked(target["expr"].as_str().unwrap());
                assert!(!asked.is_empty(), "{name}: {target}");
                for asked in asked {
                    check(&asked, &recorded);
                    assert!(
                        asked.matchers.iter().any(|(label, _)| label == "job"),
                        "{name}: {asked:?} is of every job"
                    );
                    seen.insert(asked.name.split("_bucket").next().unwrap().to_owned());
                }
            }
        }
    }
    assert!(ids.len() >= 4, "{ids:?}");
    assert!(seen.len() > 20, "{seen:?}");
}

#[test]
fn the_rules_pass_promtool_and_every_alert_is_tested() {
    let folder = place::workspace().join("deploy/prometheus");
    let alerts: BTreeSet<String> = marked(&rules("alerts.yml"), "- alert: ");
    let tests = rules("tests.yml");
    let readme = place::read(place::workspace().join("deploy/README.md"));
    for alert in &alerts {
        assert!(readme.contains(&format!("`{alert}`")), "deploy/README.md does not say what to do about {alert}");
        for end in ["exp_samples:\n", "exp_samples: []\n"] {
            let tested =
                tests.split("- expr: ").any(|test| test.contains(&format!("\"{alert}\"")) && test.contains(end));
            assert!(tested, "{alert} has no test with {end}");
        }
    }
    let Some(promtool) = place::program("promtool") else { return };
    for arguments in [
        &["check", "rules", "recording.yml", "alerts.yml"][..],
        &["check", "config", "prometheus.yml"],
        &["test", "rules", "tests.yml"],
    ] {
        let output = Command::new(&promtool).args(arguments).current_dir(&folder).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !said.contains("FAILED"), "promtool {arguments:?}: {said}");
    }
}

fn rules(name: &str) -> String {
    place::read(place::workspace().join("deploy/prometheus").join(name))
}

fn recorded(text: &str) -> BTreeSet<String> {
    marked(text, "- record: ")
}

/// What stands behind `mark` on its lines.
fn marked(text: &str, mark: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.trim().strip_prefix(mark)).map(str::to_owned).collect()
}

/// The `expr` values of a rule file: on the same line, or as the block below it.
fn expressions(text: &str) -> String {
    let mut found = String::new();
    let mut block = false;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if let Some(expression) = line.trim_start().strip_prefix("expr: ") {
            block = expression == "|";
            if !block {
                found.push_str(expression);
            }
        } else if block && indent >= 10 {
            found.push_str(line);
        } else {
            block = false;
        }
        found.push('\n');
    }
    found
}

/// The metrics of a PromQL expression: words that stand before `{` or `[`, or that have the product's prefix. A word after
/// which `(` comes is a function.
fn asked(expression: &str) -> Vec<Asked> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(|character: char| character.is_ascii_alphabetic() || character == '_') {
        rest = &rest[start..];
        let end = rest.find(|character: char| !is_word(character)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let is_metric = name.starts_with("penstock") || OTHERS.contains(&name);
        rest = after;
        if !is_metric {
            continue;
        }
        let mut matchers = Vec::new();
        if let Some(inner) = after.strip_prefix('{') {
            let (inner, behind) = inner.split_once('}').unwrap();
            for matcher in inner.split(',').filter(|matcher| !matcher.trim().is_empty()) {
                let (label, value) = matcher.split_once('=').unwrap();
                let value = value.trim_start_matches('~').trim_matches('"');
                matchers.push((label.trim_end_matches('!').trim().to_owned(), value.to_owned()));
            }
            rest = behind;
        }
        found.push(Asked { name: name.to_owned(), matchers });
    }
    found
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | ':')
}

/// The name is in the catalogue or recorded; each label is one of its own, and each value of a closed set is in the set.
fn check(asked: &Asked, recorded: &BTreeSet<String>) {
    let sets = closed_sets();
    let metric = CATALOGUE.iter().find(|metric| match metric.kind {
        Kind::Histogram(_) => {
            ["_bucket", "_sum", "_count"].iter().any(|end| asked.name == format!("{}{end}", metric.name))
        }
        Kind::Counter | Kind::Gauge => asked.name == metric.name,
    });
    let known = metric.is_some() || recorded.contains(&asked.name) || OTHERS.contains(&asked.name.as_str());
    assert!(known, "{} is in no catalogue and no rule records it", asked.name);
    for (label, value) in &asked.matchers {
        if let Some(metric) = metric {
            let fits = metric.labels.contains(&label.as_str()) || COMMON_LABELS.contains(&label.as_str());
            assert!(fits, "{} has no label {label}", asked.name);
        }
        let Some(set) = sets.get(label.as_str()) else { continue };
        for value in value.split('|') {
            let prefix = value.strip_suffix(".*");
            let fits = set.iter().any(|word| *word == value || prefix.is_some_and(|prefix| word.starts_with(prefix)));
            assert!(fits, "{}: {label} is never {value}", asked.name);
        }
    }
}

/// What labels may say. `kind` is that of faults and that of certificates.
fn closed_sets() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut kinds: Vec<&str> = FaultKind::ALL.iter().map(|kind| kind.label()).collect();
    kinds.extend(["root", "next_root", "old_root", "issuer"]);
    BTreeMap::from([
        ("direction", Direction::ALL.iter().map(|value| value.label()).collect()),
        ("kind", kinds),
        ("leg", Leg::ALL.iter().map(|value| value.label()).collect()),
        ("mode", Mode::ALL.iter().map(|value| value.label()).collect()),
        ("path", RelayPath::ALL.iter().map(|value| value.label()).collect()),
        ("phase", Phase::ALL.iter().map(|value| value.label()).collect()),
        ("reason", Reason::ALL.iter().map(|value| value.label()).collect()),
        ("verdict", Verdict::ALL.iter().map(|value| value.label()).collect()),
    ])
}

#[test]
fn the_reading_of_expressions_finds_what_is_wrong() {
    let recorded = BTreeSet::from(["penstock:known".to_owned()]);
    let wrong = |expression: &str| {
        std::panic::catch_unwind(|| asked(expression).iter().for_each(|asked| check(asked, &recorded))).is_err()
    };
    for fine in [
        "sum by (leg) (rate(penstock_faults_total{leg=\"upstream\",kind=~\"certificate.*|tls\"}[5m])) > 0",
        "penstock:known and on (job) penstock_link_up == 0",
        "histogram_quantile(0.9, rate(penstock_sniff_seconds_bucket[5m]))",
    ] {
        assert!(!wrong(fine), "{fine}");
        assert!(!asked(fine).is_empty(), "{fine}");
    }
    for bad in [
        "penstock_unheard_of_total",
        "penstock:unknown > 0",
        "penstock_sniff_seconds",
        "penstock_link_up{shard=\"0\"}",
        "rate(penstock_faults_total{kind=\"surprise\"}[5m])",
        "1 + penstock_faults_total{leg=\"left\"}",
    ] {
        assert!(wrong(bad), "{bad}");
    }
}
