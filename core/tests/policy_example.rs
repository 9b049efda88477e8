//! The example policy: it loads as it stands, and every flow of the contract is explained as the contract says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::{env, fs};

use penstock_core::policy::{Explanation, FlowFacts, Snapshot, compile, explain};
use penstock_core::sni::Sni;
use serde_json::json;

const EXAMPLE: &str = include_str!("../../deploy/policies/example.toml");
const SHARED_CONTRACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/contracts");

const TENANTS: &str = "contoso.com,fabrikam.onmicrosoft.com,aaaabbbb-0000-cccc-1111-dddd2222eeee";

fn example() -> Snapshot {
    compile("example.toml", EXAMPLE, None, 7).unwrap_or_else(|found| panic!("{found:#?}"))
}

/// As the command line would ask: any spelling of the name.
fn explained(snapshot: &Snapshot, name: &str, source: &str) -> Explanation {
    let sni = Sni::parse(name.as_bytes()).unwrap();
    let source: IpAddr = source.parse().unwrap();
    let facts = FlowFacts { sni: Some(&sni), authority: Some(&sni), ..FlowFacts::of(source) };
    explain(snapshot, &facts)
}

fn set(explanation: &Explanation) -> Vec<(&str, &str)> {
    explanation.set.iter().map(|header| (&*header.name, &*header.value)).collect()
}

#[test]
fn the_contract_loads_and_the_copy_is_the_same() {
    let path: PathBuf = Path::new(SHARED_CONTRACTS).join("policy.toml");
    let Ok(contract) = fs::read_to_string(&path) else {
        assert!(env::var_os("CI").is_none(), "{} is missing", path.display());
        println!("left out: {} is not here, so the copy was not compared with it", path.display());
        return;
    };
    assert_eq!(contract, EXAMPLE, "deploy/policies/example.toml is not the contract's policy.toml");
    let snapshot = compile("policy.toml", &contract, Some(3), 1).unwrap_or_else(|found| panic!("{found:#?}"));
    assert_eq!(snapshot.epoch(), Some(3));
}

#[test]
fn entra_is_inspected_with_both_headers() {
    let snapshot = example();
    for name in ["login.microsoftonline.com", "LOGIN.MicrosoftOnline.com.", "login.windows.net", "login.microsoft.com"]
    {
        let explanation = explained(&snapshot, name, "127.0.0.1");
        assert_eq!((explanation.verdict, explanation.reason), ("inspect", "inspected_host"), "{name}");
        let context = "bbbbcccc-1111-dddd-2222-eeee3333ffff";
        let both = [("Restrict-Access-To-Tenants", TENANTS), ("Restrict-Access-Context", context)];
        assert_eq!(set(&explanation), both, "{name}");
        assert_eq!(explanation.connectors, ["microsoft-entra"]);
    }
}

#[test]
fn the_consumer_sign_in_gets_restrict_msa_and_nothing_of_entra() {
    let explanation = explained(&example(), "login.live.com", "10.0.0.9");
    assert_eq!(explanation.verdict, "inspect");
    assert_eq!(set(&explanation), [("sec-Restrict-Tenant-Access-Policy", "restrict-msa")]);
    assert_eq!(explanation.connectors, ["microsoft-consumer"]);
}

#[test]
fn other_hosts_pass_are_excluded_or_denied() {
    let snapshot = example();
    let cases = [
        ("device.login.microsoftonline.com", "pass", "excluded"),
        ("DEVICE.login.microsoftonline.com.", "pass", "excluded"),
        ("certauth.login.microsoftonline.com", "pass", "excluded"),
        ("x.certauth.login.microsoftonline.com", "pass", "excluded"),
        ("enterpriseregistration.windows.net", "pass", "excluded"),
        ("notlogin.microsoftonline.com", "pass", "not_listed"),
        ("login.microsoftonline.com.evil.example", "pass", "not_listed"),
        ("www.bank.example", "pass", "excluded"),
        ("bank.example", "pass", "not_listed"),
        ("onedrive.live.com", "deny", "denied_host"),
        ("OneDrive.Live.com.", "deny", "denied_host"),
        ("claude.ai", "inspect", "inspected_host"),
        ("notclaude.ai", "pass", "not_listed"),
        ("api.anthropic.com", "inspect", "inspected_host"),
        ("chatgpt.com", "inspect", "inspected_host"),
        ("desktop.chatgpt.com", "pass", "excluded"),
        ("accounts.google.com", "inspect", "inspected_host"),
        ("google.com", "inspect", "inspected_host"),
        ("google.com.evil.example", "pass", "not_listed"),
        ("storage.googleapis.com", "pass", "not_listed"),
    ];
    for (name, verdict, reason) in cases {
        let explanation = explained(&snapshot, name, "fd12::1");
        assert_eq!((explanation.verdict, explanation.reason), (verdict, reason), "{name}");
        assert_eq!(explanation.set.is_empty(), verdict != "inspect", "{name}");
        assert_eq!(explanation.strip.is_empty(), verdict != "inspect", "{name}");
        assert_eq!((explanation.mode, explanation.profile.as_deref()), ("enforce", Some("staff")));
    }
}

#[test]
fn the_pilot_only_reports() {
    let snapshot = example();
    for source in ["10.20.0.1", "127.0.0.2", "::ffff:10.20.255.254"] {
        let explanation = explained(&snapshot, "login.microsoftonline.com", source);
        assert_eq!((explanation.verdict, explanation.mode), ("inspect", "report-only"));
        assert_eq!(explanation.profile.as_deref(), Some("pilot"));
        assert!(explanation.set.is_empty() && explanation.strip.is_empty());
        assert_eq!(explanation.would_set.len(), 2);
        assert!(explanation.would_strip.iter().any(|name| name == "Restrict-Access-To-Tenants"));
        // The pilot has no consumer restriction, and would deny what staff is denied.
        assert_eq!(explained(&snapshot, "login.live.com", source).reason, "not_listed");
        assert_eq!(explained(&snapshot, "onedrive.live.com", source).reason, "would_deny");
    }
}

#[test]
fn whoever_is_not_assigned_passes() {
    let explanation = explained(&example(), "login.microsoftonline.com", "192.0.2.1");
    assert_eq!((explanation.verdict, explanation.reason), ("pass", "no_profile"));
    assert_eq!((explanation.profile, explanation.mode), (None, "off"));
}

#[test]
fn the_json_is_the_contracts() {
    let explanation = explained(&example(), "claude.ai", "127.0.0.1");
    let json = serde_json::to_value(&explanation).unwrap();
    let strip = json["strip"].as_array().unwrap().clone();
    for name in ["Restrict-Access-To-Tenants", "sec-Restrict-Tenant-Access-Policy", "anthropic-allowed-org-ids"] {
        assert!(strip.contains(&json!(name)), "{name}");
    }
    let organizations = "11111111-2222-3333-4444-555555555555,66666666-7777-8888-9999-aaaaaaaaaaaa";
    assert_eq!(
        json,
        json!({
            "verdict": "inspect", "reason": "inspected_host", "profile": "staff", "mode": "enforce", "epoch": null,
            "connectors": ["anthropic-claude"],
            "set": [{"name": "anthropic-allowed-org-ids", "value": organizations}],
            "strip": strip,
        })
    );
}

#[test]
fn a_private_destination_is_shown_as_refused() {
    let snapshot = example();
    let source: IpAddr = "127.0.0.1".parse().unwrap();
    let facts =
        |destination: &str| FlowFacts { destination: Some(destination.parse().unwrap()), ..FlowFacts::of(source) };
    assert_eq!(explain(&snapshot, &facts("169.254.169.254")).destination_refused, Some("link_local"));
    assert_eq!(explain(&snapshot, &facts("20.190.151.7")).destination_refused, None);
}

#[test]
fn the_snapshot_tells_what_the_daemons_ask() {
    let snapshot = example();
    assert_eq!(snapshot.connect_ports(), [443]);
    assert_eq!(snapshot.digest().len(), 64);
    assert_eq!(
        snapshot.profiles().map(|(name, mode)| (name, mode.label())).collect::<Vec<_>>(),
        [("staff", "enforce"), ("pilot", "report-only")]
    );
    let hosts: Vec<_> = snapshot.inspected_hosts().collect();
    for host in ["login.live.com", "*.google.com", "login.microsoftonline.com", "claude.ai", "*.anthropic.com"] {
        assert!(hosts.contains(&host), "{host}");
    }
    // The pinned ChatGPT applications can walk around the restriction, and nobody has a bank under .example.
    let warnings: Vec<_> = snapshot.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert!(warnings[0].starts_with("example.toml:20:8: warning: restriction \"chatgpt\""), "{}", warnings[0]);
    assert!(
        warnings[1].starts_with("example.toml:50:18: warning: \"*.bank.example\" looks invented"),
        "{}",
        warnings[1]
    );
}

/// They ask each device for its certificate, which the appliance cannot show.
#[test]
fn h044_hosts_that_ask_for_a_devices_certificate_are_never_inspected() {
    let hosts = [
        "device.login.microsoftonline.com",
        "certauth.login.microsoftonline.com",
        "enterpriseregistration.windows.net",
    ];
    let snapshot = example();
    for host in hosts {
        let explanation = explained(&snapshot, host, "127.0.0.1");
        assert_eq!((explanation.verdict, explanation.reason), ("pass", "excluded"), "{host}");
    }
}
