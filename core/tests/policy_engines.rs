//! `[[engine]]`: which TLS engine a flow gets, first match first, and how it is shown.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::fmt::Write as _;

use penstock_core::limits::POLICY_ENGINE_HOSTS_MAX;
use penstock_core::policy::{EngineKind, Engines, Explanation, FlowFacts, Snapshot, Verdict, compile, explain};
use penstock_core::sni::Sni;
use serde_json::json;

const EXAMPLE: &str = include_str!("../../deploy/policies/example.toml");

fn policy(engines: &str) -> Snapshot {
    compile("p", &format!("{EXAMPLE}\n{engines}"), None, 3).unwrap_or_else(|found| panic!("{found:#?}"))
}

fn with_facts<T>(name: &str, read: impl FnOnce(&FlowFacts<'_>) -> T) -> T {
    let sni = Sni::parse(name.as_bytes()).unwrap();
    let source = "127.0.0.1".parse().unwrap();
    read(&FlowFacts { sni: Some(&sni), ..FlowFacts::of(source) })
}

fn engines(snapshot: &Snapshot, name: &str) -> Engines {
    with_facts(name, |facts| snapshot.decide(facts).engines)
}

fn explained(snapshot: &Snapshot, name: &str) -> Explanation {
    with_facts(name, |facts| explain(snapshot, facts))
}

const RUSTLS: Engines = Engines { upstream: EngineKind::Rustls, downstream: EngineKind::Rustls, legacy: false };
const LEGACY: Engines = Engines { upstream: EngineKind::Boring, downstream: EngineKind::Rustls, legacy: true };

#[test]
fn without_engines_every_leg_is_by_rustls() {
    let snapshot = policy("");
    for name in ["claude.ai", "login.microsoftonline.com", "www.example.com"] {
        assert_eq!(engines(&snapshot, name), RUSTLS, "{name}");
    }
}

#[test]
fn the_first_rule_that_covers_the_name_counts() {
    let snapshot = policy(
        r#"
[[engine]]
hosts = ["claude.ai", "*.google.com"]
upstream = "boring"
legacy = true

[[engine]]
hosts = ["*.live.com", "mail.google.com", "claude.ai", "mail*.google.com"]
downstream = "boring"
"#,
    );
    let second = Engines { downstream: EngineKind::Boring, ..RUSTLS };
    for (name, expected) in [
        ("claude.ai", LEGACY),
        ("CLAUDE.ai.", LEGACY),
        ("mail.google.com", LEGACY),
        ("accounts.google.com", LEGACY),
        ("login.live.com", second),
        ("api.anthropic.com", RUSTLS),
        // Passed: nothing is ended there.
        ("www.example.com", RUSTLS),
    ] {
        assert_eq!(engines(&snapshot, name), expected, "{name}");
    }
    // A host that no restriction inspects stays one that passes.
    let idle = policy("[[engine]]\nhosts = [\"www.example.com\"]\nupstream = \"boring\"");
    assert_eq!(explained(&idle, "www.example.com").verdict, Verdict::Pass.label());
    assert_eq!(engines(&idle, "www.example.com"), RUSTLS);
    let said: Vec<String> = idle.warnings().iter().map(ToString::to_string).collect();
    let line = format!("{EXAMPLE}\n").lines().count() + 2;
    let expected = format!(
        "p:{line}:10: warning: no restriction inspects \"www.example.com\": its engine is never used [unused]\n    help: remove the host from the engine, or inspect it"
    );
    assert!(said.contains(&expected), "{expected} is not among {said:#?}");
}

#[test]
fn an_explanation_shows_engines_that_the_policy_chose() {
    let snapshot = policy("[[engine]]\nhosts = [\"claude.ai\"]\nupstream = \"boring\"\nlegacy = true");
    let shown = |name| serde_json::to_value(explained(&snapshot, name)).unwrap().get("engines").cloned();
    assert_eq!(shown("claude.ai"), Some(json!({"upstream": "boring", "downstream": "rustls", "legacy": true})));
    assert_eq!(shown("login.microsoftonline.com"), None, "rustls on both legs goes without saying");
    assert_eq!(shown("www.example.com"), None);
}

#[test]
fn hosts_of_engines_are_bounded() {
    let text = |count| {
        (0..count).fold(format!("{EXAMPLE}\n[[engine]]\nhosts = ["), |mut text, number| {
            let _ = write!(text, "\"h{number}.google.com\",");
            text
        }) + "]\n"
    };
    assert!(compile("p", &text(POLICY_ENGINE_HOSTS_MAX), None, 1).is_ok());
    let refused = compile("p", &text(POLICY_ENGINE_HOSTS_MAX + 1), None, 1).unwrap_err();
    assert!(refused[0].message.contains("hosts of engines"), "{refused:#?}");
}
