//! `penstock explain` on the example policy answers as the contract says.

use std::process::Command;

use penstock_tests::place;
use serde_json::{Value, json};

/// Runs the command; `arguments` beside the policy.
fn explain(arguments: &[&str]) -> Value {
    let mut command = Command::new(place::binary("penstock"));
    command.args(["explain", "--json", "--policy"]).arg(place::example_policy()).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn for_staff(name: &str) -> Value {
    explain(&["--sni", name, "--source", "10.1.2.3"])
}

fn names_set(answer: &Value) -> Vec<&str> {
    answer["set"].as_array().unwrap().iter().map(|header| header["name"].as_str().unwrap()).collect()
}

#[test]
fn the_sign_in_host_is_inspected_with_both_headers() {
    for answer in [for_staff("login.microsoftonline.com"), explain(&["--sni", "login.microsoftonline.com"])] {
        assert_eq!(answer["verdict"], "inspect", "{answer}");
        assert_eq!(answer["profile"], "staff");
        assert_eq!(answer["mode"], "enforce");
        assert_eq!(answer["epoch"], Value::Null);
        assert_eq!(answer["connectors"], json!(["microsoft-entra"]));
        assert_eq!(
            answer["set"],
            json!([
                {"name": "Restrict-Access-To-Tenants", "value": "contoso.com,fabrikam.onmicrosoft.com,aaaabbbb-0000-cccc-1111-dddd2222eeee"},
                {"name": "Restrict-Access-Context", "value": "bbbbcccc-1111-dddd-2222-eeee3333ffff"},
            ])
        );
        let strip = answer["strip"].to_string();
        assert!(
            strip.contains("Restrict-Access-To-Tenants") && strip.contains("sec-Restrict-Tenant-Access-Policy"),
            "{strip}"
        );
        assert!(answer["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    }
}

#[test]
fn names_are_normalised_before_they_are_compared() {
    assert_eq!(for_staff("LOGIN.MicrosoftOnline.com.")["verdict"], "inspect");
    assert_eq!(for_staff("notlogin.microsoftonline.com")["verdict"], "pass");
}

#[test]
fn exclusions_beat_inclusions() {
    assert_eq!(for_staff("device.login.microsoftonline.com")["verdict"], "pass");
    assert_eq!(for_staff("www.bank.example")["verdict"], "pass");
}

#[test]
fn denied_and_consumer_hosts() {
    assert_eq!(for_staff("onedrive.live.com")["verdict"], "deny");
    let consumer = for_staff("login.live.com");
    assert_eq!(consumer["verdict"], "inspect");
    assert_eq!(consumer["set"], json!([{"name": "sec-Restrict-Tenant-Access-Policy", "value": "restrict-msa"}]));
}

#[test]
fn a_pilot_source_is_report_only() {
    let answer = explain(&["--sni", "login.microsoftonline.com", "--source", "10.20.0.1"]);
    assert_eq!((answer["mode"].as_str(), answer["profile"].as_str()), (Some("report-only"), Some("pilot")));
    assert_eq!(answer["verdict"], "inspect");
    assert!(names_set(&answer).is_empty(), "{answer}");
}

#[test]
fn engines_are_shown_where_the_policy_chose_them() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("policy.toml");
    let engines = "[[engine]]\nhosts = [\"claude.ai\"]\nupstream = \"boring\"\nlegacy = true\n";
    std::fs::write(&file, format!("{}\n{engines}", place::read(place::example_policy()))).unwrap();
    let ask = |name: &str, form: &[&str]| {
        let mut command = Command::new(place::binary("penstock"));
        command.args(["explain", "--policy"]).arg(&file).args(["--sni", name]).args(form);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let json: Value = serde_json::from_str(&ask("claude.ai", &["--json"])).unwrap();
    assert_eq!(json["engines"], json!({"upstream": "boring", "downstream": "rustls", "legacy": true}));
    let said = ask("claude.ai", &[]);
    assert!(said.contains("engines     boring upstream (legacy), rustls downstream"), "{said}");
    assert!(!ask("login.live.com", &[]).contains("engines"));
}

#[test]
fn a_source_without_a_profile_passes() {
    let answer = explain(&["--sni", "login.microsoftonline.com", "--source", "192.0.2.1"]);
    assert_eq!((answer["verdict"].as_str(), &answer["profile"]), (Some("pass"), &Value::Null));
}

#[test]
fn every_connector_of_the_contract_is_in_the_catalogue() {
    let output = Command::new(place::binary("penstock")).args(["catalogue", "list", "--json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let list = String::from_utf8(output.stdout).unwrap();
    let connectors = "microsoft-entra microsoft-entra-v2 microsoft-consumer anthropic-claude openai-chatgpt openai-api google-workspace \
                      google-cloud gemini-code-assist youtube github-enterprise slack dropbox webex asana notion zoom atlassian ibm-cloud zoho dx";
    for connector in connectors.split_whitespace() {
        assert!(list.contains(&format!("\"{connector}\"")), "{connector} is missing in {list}");
        let shown = Command::new(place::binary("penstock")).args(["catalogue", "show", connector]).output().unwrap();
        assert!(shown.status.success(), "{shown:?}");
    }
    let unknown = Command::new(place::binary("penstock")).args(["catalogue", "show", "box"]).output().unwrap();
    assert!(!unknown.status.success() && !unknown.stderr.is_empty());
}

#[test]
fn every_binary_has_help_with_examples_and_a_version() {
    for name in ["penstock", "penstock-control", "penstock-dataplane", "penstock-saas", "penstock-load"] {
        let help = Command::new(place::binary(name)).arg("--help").output().unwrap();
        let text = String::from_utf8_lossy(&help.stdout).to_lowercase();
        assert!(help.status.success() && text.contains("example"), "{name} --help: {text}");
        let version = Command::new(place::binary(name)).arg("--version").output().unwrap();
        assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")), "{name} --version");
        let misuse = Command::new(place::binary(name)).arg("--no-such-flag").output().unwrap();
        assert_eq!(misuse.status.code(), Some(2), "{name}");
    }
}
