//! Exceptions: for whom, for which restrictions, and until when, by the clock of the decision.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::net::IpAddr;

use penstock_core::moment;
use penstock_core::policy::{Decision, FindingCode, FlowFacts, Reason, Snapshot, Verdict, compile, explain};
use penstock_core::sni::Sni;

const POLICY: &str = r#"
[[restriction]]
name = "claude"
connector = "anthropic-claude"
organization_ids = ["11111111-2222-3333-4444-555555555555"]

[[restriction]]
name = "workspace"
connector = "google-workspace"
allowed_domains = ["contoso.com"]

[[restriction]]
name = "cloud"
connector = "google-cloud"
organization_ids = ["123456789012"]

[[profile]]
name = "staff"
mode = "enforce"
restrictions = ["claude", "workspace", "cloud"]

[[assignment]]
profile = "staff"
sources = ["10.0.0.0/8"]

[[exception]]
who = ["alice", "group:auditors", "10.9.0.0/16"]
why = "support case 4711"
from = 2026-11-20
until = "2026-11-30"
restrictions = ["claude"]

[[exception]]
who = ["alice"]
why = "domain move"
until = 2026-12-24T18:00:00+01:00
restrictions = ["workspace"]
"#;

fn policy(text: &str) -> Snapshot {
    compile("p.toml", text, Some(7), 42).unwrap_or_else(|found| panic!("{found:#?}"))
}

fn decide(snapshot: &Snapshot, name: &str, user: Option<&str>, source: &str, at: Option<&str>) -> Decision {
    let sni: Sni = name.parse().unwrap();
    let source: IpAddr = source.parse().unwrap();
    let unix_ms = at.map(|at| moment::parse(at).unwrap());
    snapshot.decide(&FlowFacts { sni: Some(&sni), user, unix_ms, ..FlowFacts::of(source) })
}

fn outcome(decision: &Decision) -> (Verdict, Reason) {
    (decision.verdict, decision.reason)
}

const LIFTED: (Verdict, Reason) = (Verdict::Pass, Reason::Exception);
const KEPT: (Verdict, Reason) = (Verdict::Inspect, Reason::InspectedHost);

#[test]
fn it_holds_from_its_first_moment_to_its_last() {
    let snapshot = policy(POLICY);
    for (at, expected) in [
        ("2026-11-19T23:59:59.999Z", KEPT),
        ("2026-11-20", LIFTED),
        ("2026-11-30T23:59:59.999Z", LIFTED),
        ("2026-12-01", KEPT),
    ] {
        assert_eq!(outcome(&decide(&snapshot, "claude.ai", Some("Alice"), "10.1.2.3", Some(at))), expected, "{at}");
    }
    let google = |at| outcome(&decide(&snapshot, "mail.google.com", Some("alice"), "10.1.2.3", Some(at)));
    assert_eq!(
        (google("2026-12-24T16:59:59Z").0, google("2026-12-24T17:00:00Z").0),
        (Verdict::Inspect, Verdict::Inspect)
    );
}

#[test]
fn without_a_clock_nothing_is_lifted() {
    assert_eq!(outcome(&decide(&policy(POLICY), "claude.ai", Some("alice"), "10.9.0.1", None)), KEPT);
}

#[test]
fn it_holds_for_those_whom_it_names_alone() {
    let snapshot = policy(POLICY);
    let at = Some("2026-11-25");
    assert_eq!(outcome(&decide(&snapshot, "claude.ai", None, "10.9.255.255", at)), LIFTED);
    assert_eq!(outcome(&decide(&snapshot, "claude.ai", None, "10.10.0.0", at)), KEPT);
    assert_eq!(outcome(&decide(&snapshot, "claude.ai", Some("bob"), "10.1.2.3", at)), KEPT);
    assert_eq!(outcome(&decide(&snapshot, "claude.ai", Some("auditors"), "10.1.2.3", at)), KEPT);
    let (sni, groups): (Sni, _) = ("claude.ai".parse().unwrap(), [String::from("Auditors")]);
    let source: IpAddr = "10.1.2.3".parse().unwrap();
    let unix_ms = moment::parse("2026-11-25");
    let facts = FlowFacts { sni: Some(&sni), user: Some("bob"), groups: &groups, unix_ms, ..FlowFacts::of(source) };
    assert_eq!(outcome(&snapshot.decide(&facts)), LIFTED);
}

/// google.com is covered by two restrictions; the one that is not lifted stays, and other hosts are as they were.
#[test]
fn it_lifts_no_other_restriction() {
    let snapshot = policy(POLICY);
    let names = |user, at| -> Vec<String> {
        let decision = decide(&snapshot, "mail.google.com", user, "10.1.2.3", Some(at));
        assert_eq!(decision.verdict, Verdict::Inspect);
        assert_eq!(decision.profile(), Some("staff"));
        decision.edit.set().iter().map(|header| header.name.to_string()).collect()
    };
    assert_eq!(names(Some("alice"), "2026-12-01"), ["X-Goog-Allowed-Resources"]);
    assert_eq!(names(Some("alice"), "2026-12-25"), ["X-GoogApps-Allowed-Domains", "X-Goog-Allowed-Resources"]);
    assert_eq!(names(Some("bob"), "2026-12-01"), ["X-GoogApps-Allowed-Domains", "X-Goog-Allowed-Resources"]);
}

/// The name in CONNECT is the one that counts for what is not inspected; an exception for one name opens no other.
#[test]
fn it_opens_no_other_name() {
    let snapshot = policy(POLICY);
    let (sni, authority): (Sni, Sni) = ("claude.ai".parse().unwrap(), "www.google.com".parse().unwrap());
    let source: IpAddr = "10.1.2.3".parse().unwrap();
    let unix_ms = moment::parse("2026-11-25");
    let facts = FlowFacts {
        sni: Some(&sni),
        authority: Some(&authority),
        user: Some("alice"),
        unix_ms,
        ..FlowFacts::of(source)
    };
    assert_eq!(outcome(&snapshot.decide(&facts)), (Verdict::Deny, Reason::NameMismatch));
    let hosts = [sni.clone()];
    let www: Sni = "www.contoso.com".parse().unwrap();
    let hidden = FlowFacts { sni: Some(&www), authority: None, destination_hosts: &hosts, ..facts };
    assert_eq!(outcome(&snapshot.decide(&hidden)), (Verdict::Pass, Reason::ConnectorAddress));
}

#[test]
fn an_expired_one_is_a_finding_and_a_running_one_is_none() {
    let snapshot = policy(POLICY);
    let expired = |at: &str| -> Vec<String> {
        let mut all = snapshot.findings(moment::parse(at).unwrap());
        all.retain(|finding| finding.code == FindingCode::ExceptionExpired);
        all.iter().map(ToString::to_string).collect()
    };
    assert!(expired("2026-11-30").is_empty());
    let one = expired("2026-12-01");
    assert_eq!(one.len(), 1);
    assert!(
        one[0].starts_with("p.toml:26:1: warning: the exception ended at 2026-12-01T00:00:00.000Z (support case 4711)")
    );
    assert!(one[0].contains("[exception-expired]\n    help: remove it"), "{}", one[0]);
    assert_eq!(expired("2027-01-01").len(), 2);
}

#[test]
fn explain_names_it() {
    let snapshot = policy(POLICY);
    let sni: Sni = "claude.ai".parse().unwrap();
    let unix_ms = moment::parse("2026-11-25");
    let facts = FlowFacts { sni: Some(&sni), unix_ms, ..FlowFacts::of("10.9.0.1".parse().unwrap()) };
    let explanation = explain(&snapshot, &facts);
    assert_eq!((explanation.verdict, explanation.reason), ("pass", "exception"));
    let exception = explanation.exception.unwrap();
    assert_eq!((&*exception.why, &*exception.until), ("support case 4711", "2026-12-01T00:00:00.000Z"));
    assert_eq!(explain(&snapshot, &FlowFacts { unix_ms: None, ..facts }).exception, None);
}

#[test]
fn what_is_no_exception_is_refused_with_its_place() {
    let refused = |from: &str, to: &str| {
        assert!(POLICY.contains(from));
        let found = compile("p.toml", &POLICY.replacen(from, to, 1), None, 0).unwrap_err();
        let errors: Vec<_> = found.iter().filter(|found| found.severity.label() == "error").collect();
        assert!(errors.iter().all(|error| error.help.is_some() && error.line >= 26), "{errors:#?}");
        errors[0].clone()
    };
    for (from, to) in [
        ("why = \"support case 4711\"\n", ""),
        ("why = \"support case 4711\"", "why = \" \""),
        ("until = \"2026-11-30\"\n", ""),
        ("until = \"2026-11-30\"", "until = \"Friday\""),
        ("until = \"2026-11-30\"", "until = \"2026-11-01\""),
        ("who = [\"alice\"]", "who = []"),
        ("who = [\"alice\"]", "who = [\"10.0.0.1/8\"]"),
        ("who = [\"alice\"]\n", ""),
        ("restrictions = [\"claude\"]\n\n[[exc", "restrictions = []\n\n[[exc"),
    ] {
        refused(from, to);
    }
    let misspelt = refused("restrictions = [\"claude\"]\n\n[[exc", "restrictions = [\"cloude\"]\n\n[[exc");
    assert_eq!(misspelt.code, FindingCode::Unknown);
}
