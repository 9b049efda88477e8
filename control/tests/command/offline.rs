//! What works without a daemon.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::{ends_with, penstock, stderr, stdout};

/// The document that bars and users start from.
fn example() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/policies/example.toml").to_owned()
}

fn written(text: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("policy.toml");
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

fn explain(more: &[&str]) -> Value {
    let example = example();
    let mut arguments = vec!["explain", "--policy", &example, "--json"];
    arguments.extend(more);
    let output = penstock(&arguments);
    ends_with(&output, 0);
    assert_eq!(stdout(&output).lines().count(), 1);
    serde_json::from_str(stdout(&output)).unwrap()
}

#[test]
fn explain_answers_as_the_contract_says() {
    for (name, verdict) in [
        ("login.microsoftonline.com", "inspect"),
        ("device.login.microsoftonline.com", "pass"),
        ("LOGIN.MicrosoftOnline.com.", "inspect"),
        ("notlogin.microsoftonline.com", "pass"),
        ("onedrive.live.com", "deny"),
        ("login.live.com", "inspect"),
        ("www.bank.example", "pass"),
        ("www.example.org", "pass"),
    ] {
        let answer = explain(&["--sni", name]);
        assert_eq!(answer["verdict"], verdict, "{name}: {answer}");
        assert!(answer["epoch"].is_null() && answer["reason"].is_string(), "{answer}");
    }
    let entra = explain(&["--sni", "login.microsoftonline.com"]);
    assert_eq!((&entra["profile"], &entra["mode"]), (&"staff".into(), &"enforce".into()));
    assert_eq!(entra["connectors"], serde_json::json!(["microsoft-entra"]));
    let set: Vec<&str> = entra["set"].as_array().unwrap().iter().map(|set| set["name"].as_str().unwrap()).collect();
    assert_eq!(set, ["Restrict-Access-To-Tenants", "Restrict-Access-Context"]);
    let consumer = explain(&["--sni", "login.live.com"]);
    assert_eq!(consumer["set"][0]["value"], "restrict-msa", "{consumer}");
    let pilot = explain(&["--sni", "login.microsoftonline.com", "--source", "10.20.0.1"]);
    assert_eq!((&pilot["mode"], &pilot["profile"]), (&"report-only".into(), &"pilot".into()));
    assert_eq!((&pilot["set"], &pilot["strip"]), (&serde_json::json!([]), &serde_json::json!([])));
    assert_eq!(pilot["would_set"].as_array().unwrap().len(), 2);
}

#[test]
fn explain_for_people_names_the_verdict_first() {
    let output = penstock(&["explain", "--policy", &example(), "--sni", "login.live.com"]);
    ends_with(&output, 0);
    let first = stdout(&output).lines().next().unwrap();
    assert_eq!(first, "login.live.com from 127.0.0.1: inspect (inspected_host)");
    assert!(stdout(&output).contains("sec-Restrict-Tenant-Access-Policy: restrict-msa"));
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let example = example();
    ends_with(&penstock(&["explain", "--policy", &example]), 2);
    ends_with(&penstock(&["explain", "--policy", &example, "--sni", "a.example", "--source", "here"]), 2);
    let output = penstock(&["explain", "--policy", &example, "--sni", "10.0.0.1"]);
    ends_with(&output, 1);
    assert!(stderr(&output).starts_with("error: sni:"), "{}", stderr(&output));
    let output = penstock(&["explain", "--policy", "/does/not/exist.toml", "--sni", "a.example"]);
    ends_with(&output, 1);
    assert!(stderr(&output).contains("/does/not/exist.toml"));
}

#[test]
fn a_good_policy_is_said_to_be_good() {
    let output = penstock(&["policy", "check", &example()]);
    ends_with(&output, 0);
    assert!(stdout(&output).contains(": ok: 2 profile(s)"), "{}", stdout(&output));
    let output = penstock(&["policy", "check", &example(), "--json"]);
    let answer: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(answer["valid"], true);
}

#[test]
fn a_migration_prints_the_policy_and_what_is_left_to_do() {
    let id = "aaaabbbb-0000-cccc-1111-dddd2222eeee";
    let output = penstock(&["policy", "migrate", "--to", "v2", "--policy-id", id, &example()]);
    ends_with(&output, 0);
    assert!(stdout(&output).contains(&format!("policy_id = \"{id}\"")), "{}", stdout(&output));
    assert!(stderr(&output).contains("\n2. Permit contoso.com"), "{}", stderr(&output));
    let (_directory, path) = written(stdout(&output));
    ends_with(&penstock(&["policy", "check", path.to_str().unwrap()]), 0);
    ends_with(&penstock(&["policy", "migrate", "--to", "v2", "--policy-id", "my-policy", &example()]), 1);
    ends_with(&penstock(&["policy", "migrate", "--to", "v3", "--policy-id", id, &example()]), 2);
}

#[test]
fn diagnostics_name_file_line_and_column() {
    let text =
        "[[restriction]]\nname = \"entra\"\nconnector = \"microsoft-entrance\"\n\n[deny]\nhost = [\"a.example\"]\n";
    let (_directory, path) = written(text);
    let output = penstock(&["policy", "check", path.to_str().unwrap()]);
    ends_with(&output, 1);
    assert_eq!(stdout(&output), "");
    let file = path.display();
    let said = stderr(&output);
    assert!(said.contains(&format!("{file}:3:13: error: ")), "{said}");
    assert!(said.contains(&format!("{file}:6:1: error: ")), "{said}");
    let output = penstock(&["policy", "check", path.to_str().unwrap(), "--json"]);
    ends_with(&output, 1);
    let answer: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!((&answer["valid"], &answer["diagnostics"][0]["line"]), (&false.into(), &3.into()), "{answer}");
    let output = penstock(&["explain", "--policy", path.to_str().unwrap(), "--sni", "a.example"]);
    ends_with(&output, 1);
    assert!(stderr(&output).contains(":3:13: error: "));
}

#[test]
fn the_catalogue_needs_no_daemon() {
    let output = penstock(&["catalogue", "list"]);
    ends_with(&output, 0);
    for id in ["microsoft-entra", "anthropic-claude", "zoho"] {
        assert!(stdout(&output).lines().any(|line| line.starts_with(&format!("{id} "))), "{id}");
    }
    let output = penstock(&["catalogue", "show", "microsoft-entra", "--json"]);
    let connector: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(connector["id"], "microsoft-entra");
    let output = penstock(&["catalogue", "show", "anthropic-claude"]);
    assert!(stdout(&output).contains("anthropic-allowed-org-ids"), "{}", stdout(&output));
    ends_with(&penstock(&["catalogue", "show", "unheard-of"]), 1);
}

#[test]
fn help_has_examples_and_misuse_ends_with_2() {
    for command in [
        vec![],
        vec!["up"],
        vec!["explain"],
        vec!["events"],
        vec!["doctor"],
        vec!["policy", "check"],
        vec!["policy", "apply"],
        vec!["policy", "diff"],
        vec!["policy", "forecast"],
        vec!["policy", "history"],
        vec!["report"],
        vec!["policy", "migrate"],
        vec!["policy", "rollback"],
        vec!["policy", "rollout"],
        vec!["catalogue", "list"],
        vec!["catalogue", "show"],
        vec!["ca", "show"],
        vec!["ca", "export"],
    ] {
        let mut arguments = command.clone();
        arguments.push("--help");
        let output = penstock(&arguments);
        ends_with(&output, 0);
        assert!(stdout(&output).contains("Examples:\n"), "{command:?}");
        let mut arguments = command;
        arguments.push("--unheard-of");
        ends_with(&penstock(&arguments), 2);
    }
    let output = penstock(&["--version"]);
    assert_eq!(stdout(&output), format!("penstock {}\n", env!("CARGO_PKG_VERSION")));
    ends_with(&penstock(&[]), 2);
}

#[test]
fn the_doctor_looks_at_the_authority_and_the_clock() {
    let directory = TempDir::new().unwrap();
    let state = directory.path().to_str().unwrap();
    let report = |fails: &[&str]| {
        let output = penstock(&["doctor", "--state", state, "--json"]);
        let report: Value = serde_json::from_str(stdout(&output)).unwrap();
        let checks = report["checks"].as_array().unwrap().clone();
        for name in fails {
            let check = checks.iter().find(|check| check["name"] == *name).unwrap();
            assert_eq!(check["state"], "failed", "{check}");
            assert!(check["fix"].is_string(), "{check}");
        }
        checks
    };
    let checks = report(&[]);
    for name in ["clock", "ca", "upstream roots", "link socket"] {
        assert!(checks.iter().any(|check| check["name"] == name), "{name}");
    }
    std::fs::create_dir(directory.path().join("ca")).unwrap();
    std::fs::write(directory.path().join("ca/root.pem"), "no certificate").unwrap();
    std::fs::write(directory.path().join("ca/root.key"), "no key").unwrap();
    report(&["ca"]);
}
