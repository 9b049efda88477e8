//! The load tool against the appliance: what it says it did is what the appliance says it served.

use std::path::Path;
use std::process::{Command, Output};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::place;
use penstock_tests::process::Process;
use penstock_tests::wait;
use serde_json::Value;
use tempfile::TempDir;

const PROFILE: &str = r#"
title = "Passed and inspected, over HTTP/1.1 and HTTP/2"
seconds = 2
ramp_seconds = 1

[[stream]]
name = "passed-1"
host = "www.example.com"
verdict = "pass"
operation = "request"
http = "1.1"
connection = "new"
bytes = [200, 30_000]
rate = 20

[[stream]]
name = "passed-2"
host = "www.example.com"
verdict = "pass"
operation = "request"
http = "2"
connection = "new"
requests = 2
bytes = 100
concurrency = 1

[[stream]]
name = "inspected-1"
host = "login.microsoftonline.com"
verdict = "inspect"
operation = "request"
http = "1.1"
connection = "kept"
bytes = 1_000
concurrency = 2

[[stream]]
name = "inspected-2"
host = "login.microsoftonline.com"
verdict = "inspect"
operation = "request"
http = "2"
connection = "new"
requests = [2, 3]
bytes = [0, 20_000]
rate = 10

[[stream]]
name = "denied"
host = "blocked.example.com"
verdict = "deny"
operation = "hello"
rate = 5
"#;

/// The tool's origin, and an appliance before it with the policy of the bench.
struct Bed {
    appliance: Appliance,
    _origin: Process,
    directory: TempDir,
}

impl Bed {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let ca = directory.path().join("origin.pem");
        let mut command = Command::new(place::binary("penstock-load"));
        command.arg("origin").arg("--ca-out").arg(&ca);
        let origin = Process::start("penstock-load origin", &mut command, &directory.path().join("origin.log"));
        let setup = Setup::default().policy(&place::read(place::workspace().join("bench/peers/penstock.toml")));
        let appliance = setup.host("*", origin.text("listen").parse().unwrap()).authority(ca).start();
        Self { appliance, _origin: origin, directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, profile: &str) -> Output {
        std::fs::write(self.path().join("profile.toml"), profile).unwrap();
        let mut command = Command::new(place::binary("penstock-load"));
        command.args(["run", "--json", "--quiet", "--proxy", &self.appliance.proxy().to_string(), "--profile"]);
        command.arg(self.path().join("profile.toml"));
        command.arg("--origin-ca").arg(self.path().join("origin.pem"));
        command.arg("--proxy-ca").arg(self.appliance.root());
        command.args(["--watch-pid", &self.appliance.pid("dataplane").to_string()]);
        command.env_remove("RUST_BACKTRACE").output().unwrap()
    }
}

fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap()
}

#[test]
fn what_the_load_tool_counted_is_what_the_appliance_served() {
    let bed = Bed::start();
    let output = bed.run(PROFILE);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(bed.path().join("result.json"), &output.stdout).unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["schema"], "penstock-load/1");
    assert_eq!(result.pointer("/total/whole/failures"), Some(&serde_json::json!({})), "{result}");
    let [passed_1, passed_2, inspected_1, inspected_2, denied] = [0, 1, 2, 3, 4].map(|index| &result["streams"][index]);
    let connections = |stream| number(stream, "/figures/whole/connections");
    let requests = |stream| number(stream, "/figures/whole/requests");
    let denials = number(denied, "/figures/whole/operations");

    let admin = bed.appliance.admin();
    let inspected = |http| vec!["connector=\"microsoft-entra\"", http];
    let expected = [
        ("penstock_requests_total", inspected("http=\"1.1\""), requests(inspected_1)),
        ("penstock_requests_total", inspected("http=\"2\""), requests(inspected_2)),
        ("penstock_flows_total", vec!["verdict=\"pass\""], connections(passed_1) + connections(passed_2)),
        ("penstock_flows_total", vec!["verdict=\"inspect\""], connections(inspected_1) + connections(inspected_2)),
        ("penstock_flows_total", vec!["verdict=\"deny\""], denials),
    ];
    let counted = wait::within(wait::LIMIT, || {
        let metrics = admin.metrics();
        let all = expected.iter().all(|(name, labels, value)| (metrics.sum(name, labels) - value).abs() < 0.5);
        all.then_some(())
    });
    let metrics = admin.metrics();
    for (name, labels, value) in &expected {
        assert!(counted.is_some(), "{name} {labels:?}: {} and not {value}", metrics.sum(name, labels));
        assert!(*value > 1.0, "{name} {labels:?}: nothing happened");
    }

    assert_eq!(number(passed_2, "/figures/whole/requests"), 2.0 * connections(passed_2));
    assert!(number(inspected_1, "/figures/whole/requests") > connections(inspected_1));
    for stream in [passed_1, passed_2, inspected_1, inspected_2] {
        assert!(number(stream, "/latency/first_byte/p50") <= number(stream, "/latency/last_byte/max"), "{stream}");
    }
    assert!(number(&result, "/cpu/us_per_operation") > 0.0 && number(&result, "/memory/end_bytes") > 1e6);

    let tool = |arguments: &[&str]| {
        let mut command = Command::new(place::binary("penstock-load"));
        command.args(arguments).current_dir(bed.path()).output().unwrap()
    };
    let report = tool(&["report", "result.json", "--html", "result.html"]);
    assert!(report.status.success(), "{report:?}");
    let page = place::read(bed.path().join("result.html"));
    assert!(page.contains("inspected-2") && page.contains("<svg") && !page.contains("<script"));
    let same = tool(&["compare", "result.json", "result.json"]);
    assert!(same.status.success(), "{same:?}");
}

#[test]
fn a_wrong_profile_is_refused_with_its_line() {
    let bed = Bed::start();
    let output = bed.run(&PROFILE.replace("connection = \"kept\"", "connection = \"for ever\""));
    let said = String::from_utf8_lossy(&output.stderr);
    let line = 1 + PROFILE.lines().position(|line| line.contains("kept")).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("profile.toml:{line}: unknown variant `for ever`")), "{said}");
}
