//! What the policy says of the explicit proxy beside TLS on 443: ports that rules open, plain HTTP, users and groups.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use std::net::IpAddr;

use penstock_core::policy::{Decision, FlowFacts, Mode, Reason, Snapshot, Verdict, compile};
use penstock_core::sni::Sni;

fn snapshot(mode: &str, more: &str) -> Snapshot {
    let text = format!(
        "[[restriction]]\nname = \"claude\"\nconnector = \"anthropic-claude\"\n\
         organization_ids = [\"11111111-2222-3333-4444-555555555555\"]\n\
         [[profile]]\nname = \"staff\"\nmode = \"{mode}\"\nrestrictions = [\"claude\"]\n\
         [[profile]]\nname = \"free\"\nmode = \"off\"\nrestrictions = []\n\
         [[assignment]]\nprofile = \"free\"\nusers = [\"root\", \"group:Lab\"]\n\
         [[assignment]]\nprofile = \"staff\"\nsources = [\"10.0.0.0/8\"]\n\
         [deny]\nhosts = [\"bad.example\"]\n{more}"
    );
    compile("p", &text, None, 0).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn facts<'a>(authority: Option<&'a Sni>, port: u16) -> FlowFacts<'a> {
    let source = IpAddr::from([10, 0, 0, 1]);
    FlowFacts { port: Some(port), authority, tls: false, ..FlowFacts::of(source) }
}

fn outcome(decision: &Decision) -> (Verdict, Reason) {
    (decision.verdict, decision.reason)
}

fn plain(snapshot: &Snapshot, name: &str) -> (Verdict, Reason) {
    outcome(&snapshot.decide_plain(&facts(Some(&name.parse().unwrap()), 80)))
}

#[test]
fn h042_plain_http_to_an_inspected_host_is_edited_or_refused() {
    let edited = snapshot("enforce", "");
    assert_eq!(plain(&edited, "claude.ai"), (Verdict::Inspect, Reason::InspectedHost));
    assert_eq!(plain(&edited, "www.example.org"), (Verdict::Pass, Reason::NotListed));
    assert_eq!(plain(&edited, "bad.example"), (Verdict::Deny, Reason::DeniedHost));
    assert_eq!(outcome(&edited.decide_plain(&facts(None, 80))), (Verdict::Pass, Reason::NotListed));
    assert!(edited.opens_plain_port(80) && !edited.opens_plain_port(8080));
    let refused = snapshot("enforce", "[plain_http]\ninspected = \"deny\"\nports = [80, 8080]\n");
    assert_eq!(plain(&refused, "claude.ai"), (Verdict::Deny, Reason::PlainHttp));
    assert_eq!(plain(&refused, "www.example.org"), (Verdict::Pass, Reason::NotListed));
    assert!(refused.opens_plain_port(8080));
    let closed = snapshot("enforce", "[plain_http]\ndefault = \"deny\"\n");
    assert_eq!(plain(&closed, "claude.ai"), (Verdict::Inspect, Reason::InspectedHost));
    assert_eq!(plain(&closed, "www.example.org"), (Verdict::Deny, Reason::PlainHttp));
    let reported = snapshot("report-only", "[plain_http]\ndefault = \"deny\"\ninspected = \"deny\"\n");
    let decision = reported.decide_plain(&facts(Some(&"claude.ai".parse().unwrap()), 80));
    assert_eq!((decision.verdict, decision.mode), (Verdict::Inspect, Mode::ReportOnly));
    assert_eq!(plain(&reported, "www.example.org"), (Verdict::Pass, Reason::WouldDeny));
}

#[test]
fn a_connect_rule_opens_a_port_to_its_hosts_for_any_protocol() {
    let rules = "[[connect]]\nhosts = [\"git.example\", \"*.ssh.example\", \"claude.ai\"]\nports = [22, 2222]\n\
                 [defaults]\nnot_tls = \"deny\"\nno_sni = \"deny\"\n";
    let snapshot = snapshot("enforce", rules);
    let name = |name: &str| name.parse::<Sni>().unwrap();
    for (host, port, open) in [
        ("git.example", 22, true),
        ("a.b.ssh.example", 2222, true),
        ("git.example", 443, true),
        ("git.example", 23, false),
        ("ssh.example", 22, false),
        ("other.example", 22, false),
    ] {
        assert_eq!(snapshot.refuse_port(Some(&name(host)), port).is_none(), open, "{host}:{port}");
    }
    assert_eq!(snapshot.refuse_port(None, 22), Some(Reason::Port));
    let decide = |host: &str, port| outcome(&snapshot.decide(&facts(Some(&name(host)), port)));
    assert_eq!(decide("git.example", 22), (Verdict::Pass, Reason::ConnectRule));
    assert_eq!(decide("git.example", 443), (Verdict::Deny, Reason::NotTls));
    assert_eq!(
        decide("claude.ai", 22),
        (Verdict::Deny, Reason::ConnectRule),
        "an inspected host is never passed unread"
    );
    assert_eq!(decide("bad.example", 22), (Verdict::Deny, Reason::DeniedHost));
    // TLS behind the rule is decided by its name.
    let git = name("git.example");
    let tls = FlowFacts { sni: Some(&git), tls: true, ..facts(Some(&git), 22) };
    assert_eq!(outcome(&snapshot.decide(&tls)), (Verdict::Pass, Reason::NotListed));
    let nameless = FlowFacts { tls: true, ..facts(Some(&git), 22) };
    assert_eq!(outcome(&snapshot.decide(&nameless)), (Verdict::Deny, Reason::NoSni));
}

#[test]
fn groups_assign_profiles_to_their_members() {
    let snapshot = snapshot("enforce", "");
    let claude: Sni = "claude.ai".parse().unwrap();
    let decide = |user, groups: &[String]| {
        let facts = FlowFacts { user, groups, sni: Some(&claude), tls: true, ..facts(None, 443) };
        snapshot.decide(&facts).profile().map(str::to_owned)
    };
    let lab = ["LAB".to_owned()];
    assert_eq!(decide(Some("alice"), &lab).as_deref(), Some("free"));
    assert_eq!(decide(Some("alice"), &["staff".to_owned()]).as_deref(), Some("staff"));
    assert_eq!(decide(Some("Root"), &[]).as_deref(), Some("free"));
    assert_eq!(decide(None, &[]).as_deref(), Some("staff"));
    assert_eq!(decide(None, &lab).as_deref(), Some("staff"), "a group without a user is nobody's");
}

#[test]
fn wrong_keys_are_told_with_their_place() {
    let told = |text: &str| {
        let errors = compile("p", text, None, 0).unwrap_err();
        errors.into_iter().map(|error| format!("{error}\n")).collect::<String>()
    };
    assert!(told("[[connect]]\nhosts = [\"a.example\"]\n").starts_with("p:1:1: error: [[connect]] has no \"ports\""));
    assert!(
        told("[[connect]]\nhosts = [\"a.example\"]\nports = [25]\n").contains("p:3:10: error: port 25 is for mail")
    );
    assert!(
        told("[[connect]]\nhost = [\"a.example\"]\nports = [22]\n")
            .contains("p:2:1: error: [[connect]] has no key \"host\"")
    );
    assert!(
        told("[plain_http]\ninspected = \"pass\"\n")
            .starts_with("p:2:13: error: \"inspected\" is \"edit\" or \"deny\"")
    );
    assert!(
        told("[plain_http]\ndefault = \"edit\"\n").starts_with("p:2:11: error: \"default\" is \"pass\" or \"deny\"")
    );
    assert!(told("[plain_http]\nports = []\n").starts_with("p:2:9: error: without a port in \"ports\""));
    assert!(told("[plain]\n").contains("did you mean \"plain_http\"?"));
    assert!(
        told("[[assignment]]\nprofile = \"x\"\nusers = [\"group:\", \"a:b\"]\n")
            .contains("p:3:10: error: \"group:\" is no user")
    );
}
