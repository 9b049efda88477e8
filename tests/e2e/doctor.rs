//! `penstock doctor` on a host that lacks what the configuration asks for: what it names as the remedy is run as it stands, and
//! then it is content.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use penstock_tests::appliance::Setup;
use penstock_tests::network::{Network, Place, penstock_nft};
use penstock_tests::place;
use penstock_tests::saas::Saas;
use serde_json::Value;
use tempfile::TempDir;

/// The finding of that name.
fn finding<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    assert!(found.is_some(), "no {name} in {report}");
    found.unwrap()
}

#[test]
fn the_doctors_remedies_lead_connections_to_the_listener() {
    let Some(network) = Network::start() else { return };
    let saas = Saas::start_outside(&network);
    let appliance = crate::transparent::setup(&network, "tproxy", &[]).authority(saas.ca()).shards(1).start();
    let (state, config) = (appliance.state(), appliance.state().join("dataplane.toml"));
    let doctor = || {
        let arguments = ["doctor", "--json", "--state", state.to_str().unwrap(), "--config", config.to_str().unwrap()];
        let output = network.run(Place::Gate, place::binary("penstock").to_str().unwrap(), &arguments);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(report["ok"] == false)), "{report}");
        report
    };
    let mend = |check: &Value| {
        let command = check["fix"].as_str().unwrap().replace("--interface NAME", "--interface in0");
        let path = format!("PATH={}:/usr/sbin:/usr/bin:/sbin:/bin", penstock_nft().parent().unwrap().display());
        network.must(Place::Gate, "env", &[&path, "sh", "-ec", &command]);
    };
    let before = doctor();
    assert_eq!(finding(&before, "rules")["state"], "failed", "{before}");
    assert!(finding(&before, "data plane")["found"].as_str().unwrap().contains("process"), "{before}");
    for name in ["capabilities", "control", "issuer", "upstream roots", "versions"] {
        assert_eq!(finding(&before, name)["state"], "good", "{}", finding(&before, name));
    }
    mend(finding(&before, "rules"));
    let applied = doctor();
    assert!(finding(&applied, "rules")["state"] == "good" && applied["ok"] == true, "{applied}");
    network.must(Place::Gate, "ip", &["-4", "rule", "del", "fwmark", "0x50", "lookup", "80"]);
    let lost = doctor();
    assert_eq!(finding(&lost, "routes")["state"], "failed");
    mend(finding(&lost, "routes"));
    assert_eq!(finding(&doctor(), "routes")["state"], "good");
}

#[test]
fn what_is_wrong_in_the_state_folder_is_found_and_mended() {
    let appliance = Setup::default().start();
    let state = TempDir::new().unwrap();
    let folder = state.path().join("ca");
    fs::create_dir(&folder).unwrap();
    for file in ["root.pem", "root.key"] {
        fs::copy(appliance.state().join("ca").join(file), folder.join(file)).unwrap();
    }
    let doctor = |more: &[&str]| {
        let mut command = Command::new(place::binary("penstock"));
        let folder: &[&str] =
            if more.contains(&"--state") { &[] } else { &["--state", state.path().to_str().unwrap()] };
        let output = command.args(["doctor", "--json"]).args(folder).args(more).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let failed = |report: &Value, name: &str, words: &str| {
        let check = finding(report, name);
        assert!(check["state"] == "failed" && check["found"].as_str().unwrap().contains(words), "{check}");
        assert_eq!(report["ok"], false);
        check["fix"].as_str().unwrap().trim_start_matches("run: ").to_owned()
    };
    let (key, certificate) = (folder.join("root.key"), folder.join("root.pem"));
    assert_eq!(finding(&doctor(&[]), "ca")["state"], "good");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let fix = failed(&doctor(&[]), "ca", "other users may read it (mode 644)");
    assert!(Command::new("sh").args(["-ec", &fix]).status().unwrap().success());
    assert_eq!(finding(&doctor(&[]), "ca")["state"], "good");
    let nothing = state.path().join("nothing.pem");
    fs::write(&nothing, "").unwrap();
    let said = failed(&doctor(&["--upstream-ca", nothing.to_str().unwrap()]), "upstream roots", "holds no certificate");
    assert!(said.contains("PEM"), "{said}");
    let trusted = doctor(&["--upstream-ca", certificate.to_str().unwrap()]);
    assert_eq!(finding(&trusted, "upstream roots")["state"], "good");
    fs::rename(&key, state.path().join("kept")).unwrap();
    assert!(failed(&doctor(&[]), "ca", "root.key").contains("restore it from the backup"));
    fs::rename(state.path().join("kept"), &key).unwrap();
    fs::write(&certificate, "garbage").unwrap();
    failed(&doctor(&[]), "ca", "is no certificate");
    let deep = format!("{}/{}", state.path().display(), "deep".repeat(30));
    failed(&doctor(&["--state", &deep]), "link socket", "");
}

#[test]
fn a_configuration_that_is_wrong_is_the_first_finding() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("dataplane.toml");
    fs::write(&config, "shards = 0\n").unwrap();
    let mut command = Command::new(place::binary("penstock"));
    let output = command.args(["doctor", "--state"]).arg(folder.path()).arg("--config").arg(&config).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("FAILED   data plane") && said.contains("dataplane.toml:1"), "{said}");
    assert!(said.contains(&format!("-> penstock-dataplane --config {} --check", config.display())), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
