//! Decisions on flows that could be ways around inspection: ECH, addresses of connectors' hosts, pinned clients.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use std::net::{IpAddr, Ipv4Addr};

use penstock_core::policy::{Decision, FlowFacts, Mode, Reason, Snapshot, Verdict, compile, explain};
use penstock_core::sni::Sni;

const STAFF: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const PILOT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const GUEST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const PUBLIC: &str = "cloudflare-ech.com";
const JA4: &str = "t13d1516h2_8daaf6152771_e5627efa2ab1";

const POLICY: &str = r#"
[[restriction]]
name = "claude"
connector = "anthropic-claude"
organization_ids = ["11111111-2222-3333-4444-555555555555"]

[[profile]]
name = "staff"
mode = "enforce"
restrictions = ["claude"]

[[profile]]
name = "pilot"
mode = "report-only"
restrictions = ["claude"]

[[assignment]]
profile = "pilot"
sources = ["127.0.0.2"]

[[assignment]]
profile = "staff"
sources = ["127.0.0.0/8"]
"#;

fn snapshot(more: &str) -> Snapshot {
    compile("policy.toml", &format!("{POLICY}{more}"), None, 7).unwrap_or_else(|found| panic!("{found:?}"))
}

fn refusals(more: &str) -> String {
    let found = compile("policy.toml", &format!("{POLICY}{more}"), None, 7).unwrap_err();
    found.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
}

fn sni(name: &str) -> Sni {
    Sni::parse(name.as_bytes()).unwrap()
}

fn verdict(decision: &Decision) -> (Verdict, Reason) {
    (decision.verdict, decision.reason)
}

fn hidden(snapshot: &Snapshot, source: IpAddr, outer: &str, authority: &str) -> (Verdict, Reason) {
    let (outer, authority) = (sni(outer), sni(authority));
    let facts = FlowFacts { sni: Some(&outer), authority: Some(&authority), ech: true, ..FlowFacts::of(source) };
    verdict(&snapshot.decide(&facts))
}

#[test]
fn h013_ech_under_a_public_name_is_rejected_wherever_the_tunnel_leads() {
    let snapshot = snapshot("[ech]\npublic_names = [\"Outer.Provider.example.\"]\n");
    for outer in [PUBLIC, "outer.provider.example"] {
        for authority in [outer, "claude.ai", "www.example.org"] {
            assert_eq!(hidden(&snapshot, STAFF, outer, authority), (Verdict::Deny, Reason::EchRejected));
            // To report what would happen the name must be seen, so report-only rejects ECH too.
            assert_eq!(hidden(&snapshot, PILOT, outer, authority), (Verdict::Deny, Reason::EchRejected));
            assert_eq!(hidden(&snapshot, GUEST, outer, authority), (Verdict::Pass, Reason::NoProfile));
        }
    }
    let minted: Vec<&str> = snapshot.minted_hosts().collect();
    assert!(minted.contains(&PUBLIC) && minted.contains(&"outer.provider.example") && minted.contains(&"claude.ai"));
    assert!(!snapshot.inspected_hosts().any(|host| host == PUBLIC));
}

#[test]
fn h012_ech_under_the_hosts_own_name_changes_nothing() {
    let snapshot = snapshot("");
    assert_eq!(hidden(&snapshot, STAFF, "claude.ai", "claude.ai"), (Verdict::Inspect, Reason::InspectedHost));
    assert_eq!(hidden(&snapshot, STAFF, "www.example.org", "www.example.org"), (Verdict::Pass, Reason::NotListed));
}

#[test]
fn h013_an_unknown_outer_name_in_a_tunnel_to_an_inspected_host_is_refused() {
    let snapshot = snapshot("");
    assert_eq!(hidden(&snapshot, STAFF, "outer.example", "claude.ai"), (Verdict::Deny, Reason::EchDenied));
    assert_eq!(hidden(&snapshot, PILOT, "outer.example", "claude.ai"), (Verdict::Pass, Reason::WouldDeny));
}

#[test]
fn the_public_name_without_ech_is_a_host_like_any_other() {
    let name = sni(PUBLIC);
    let facts = FlowFacts { sni: Some(&name), ..FlowFacts::of(STAFF) };
    assert_eq!(verdict(&snapshot("").decide(&facts)), (Verdict::Pass, Reason::NotListed));
}

#[test]
fn the_mode_of_ech_is_the_operators() {
    let denying = snapshot("[ech]\nmode = \"deny\"\n");
    assert_eq!(hidden(&denying, STAFF, PUBLIC, "www.example.org"), (Verdict::Deny, Reason::EchDenied));
    assert_eq!(hidden(&denying, PILOT, PUBLIC, "www.example.org"), (Verdict::Pass, Reason::WouldDeny));
    assert!(!denying.minted_hosts().any(|host| host == PUBLIC), "nothing is minted that is not needed");
    let passing = snapshot("[ech]\nmode = \"pass\"\n");
    assert_eq!(hidden(&passing, STAFF, PUBLIC, "www.example.org"), (Verdict::Pass, Reason::NotListed));
    assert_eq!(hidden(&passing, STAFF, PUBLIC, "claude.ai"), (Verdict::Deny, Reason::NameMismatch));
}

/// A flow to an address of `host`.
fn to_address(snapshot: &Snapshot, source: IpAddr, name: Option<&str>, tls: bool, host: &str) -> (Verdict, Reason) {
    let (name, host) = (name.map(sni), sni(host));
    let hosts = std::slice::from_ref(&host);
    let facts = FlowFacts { sni: name.as_ref(), destination_hosts: hosts, tls, ..FlowFacts::of(source) };
    verdict(&snapshot.decide(&facts))
}

#[test]
fn h010_h030_without_a_name_an_address_of_an_inspected_host_is_refused() {
    let snapshot = snapshot("");
    for tls in [true, false] {
        let found = to_address(&snapshot, STAFF, None, tls, "claude.ai");
        assert_eq!(found, (Verdict::Deny, Reason::ConnectorAddress));
        assert_eq!(to_address(&snapshot, PILOT, None, tls, "claude.ai"), (Verdict::Pass, Reason::WouldDeny));
        assert_eq!(to_address(&snapshot, STAFF, None, tls, "www.example.org").0, Verdict::Pass);
    }
}

#[test]
fn h030_an_innocent_name_at_an_inspected_address_is_told_or_refused() {
    let fronted = |snapshot: &Snapshot| to_address(snapshot, STAFF, Some("www.example.org"), true, "claude.ai");
    assert_eq!(fronted(&snapshot("")), (Verdict::Pass, Reason::ConnectorAddress));
    let strict = snapshot("[evasion]\nconnector_addresses = \"deny\"\n");
    assert_eq!(fronted(&strict), (Verdict::Deny, Reason::ConnectorAddress));
    let found = to_address(&strict, PILOT, Some("www.example.org"), true, "claude.ai");
    assert_eq!(found, (Verdict::Pass, Reason::WouldDeny));
    let off = snapshot("[evasion]\nconnector_addresses = \"pass\"\n");
    assert_eq!(fronted(&off), (Verdict::Pass, Reason::NotListed));
    assert_eq!(to_address(&off, STAFF, None, true, "claude.ai"), (Verdict::Pass, Reason::NoSni));
    // A host that is inspected is, whatever else has its address; one that nobody inspects has no say.
    let found = to_address(&strict, STAFF, Some("claude.ai"), true, "www.example.org");
    assert_eq!(found, (Verdict::Inspect, Reason::InspectedHost));
    assert_eq!(to_address(&strict, STAFF, Some("a.example"), true, "b.example").0, Verdict::Pass);
}

#[test]
fn h034_a_name_of_an_inspected_hosts_site_at_its_address_gets_no_connection_to_share() {
    let ask = |snapshot: &Snapshot, source: IpAddr, change: &dyn Fn(&mut FlowFacts<'_>)| {
        let (name, host) = (sni("www.claude.ai"), sni("claude.ai"));
        let hosts = std::slice::from_ref(&host);
        let mut facts = FlowFacts { sni: Some(&name), destination_hosts: hosts, ..FlowFacts::of(source) };
        change(&mut facts);
        verdict(&snapshot.decide(&facts))
    };
    let snapshot = |more: &str| {
        let text = POLICY.replace("organization_ids", "only_hosts = [\"claude.ai\"]\norganization_ids") + more;
        compile("policy.toml", &text, None, 7).unwrap_or_else(|found| panic!("{found:?}"))
    };
    let default = snapshot("");
    assert_eq!(ask(&default, STAFF, &|_| {}), (Verdict::Inspect, Reason::SharedConnection));
    assert_eq!(ask(&default, PILOT, &|_| {}), (Verdict::Inspect, Reason::SharedConnection));
    // Neither a client of HTTP/1.1 nor one that asked the proxy for the name shares connections.
    let told = (Verdict::Pass, Reason::ConnectorAddress);
    assert_eq!(ask(&default, STAFF, &|facts| facts.multiplexed = false), told);
    assert_eq!(ask(&default, STAFF, &|facts| facts.authority = facts.sni), told);
    assert_eq!(ask(&default, STAFF, &|facts| facts.destination_hosts = &[]), (Verdict::Pass, Reason::NotListed));
    let mode = |mode: &str| snapshot(&format!("[evasion]\nconnector_addresses = \"{mode}\"\n"));
    assert_eq!(ask(&mode("report"), STAFF, &|_| {}), (Verdict::Pass, Reason::SharedConnection));
    assert_eq!(ask(&mode("pass"), STAFF, &|_| {}), (Verdict::Pass, Reason::NotListed));
    assert_eq!(ask(&mode("deny"), STAFF, &|_| {}), (Verdict::Deny, Reason::ConnectorAddress));
    // What is excluded passes all the same, and is told.
    let exclusion = "[exclude]\nnever_inspect = [\"www.claude.ai\"]\n";
    assert_eq!(ask(&snapshot(exclusion), STAFF, &|_| {}), (Verdict::Pass, Reason::SharedConnection));
    let off = snapshot(&format!("{exclusion}[evasion]\nconnector_addresses = \"pass\"\n"));
    assert_eq!(ask(&off, STAFF, &|_| {}), (Verdict::Pass, Reason::Excluded));
}

#[test]
fn a_bypass_is_for_named_machines_clients_and_hosts_alone() {
    let policy = format!(
        "[[bypass]]\nsources = [\"127.0.0.1\"]\nja4 = [\"{JA4}\"]\nhosts = [\"claude.ai\"]\nfor = \"30m\"\n\
         [[bypass]]\nsources = [\"127.0.0.0/8\"]\nja4 = [\"{JA4}\"]\nhosts = [\"*.claude.ai\"]\n"
    );
    let snapshot = snapshot(&policy);
    assert_eq!(snapshot.bypass_seconds(STAFF, JA4, &sni("claude.ai")), Some(1_800));
    assert_eq!(snapshot.bypass_seconds(PILOT, JA4, &sni("claude.ai")), None);
    assert_eq!(snapshot.bypass_seconds(PILOT, JA4, &sni("a.claude.ai")), Some(86_400));
    assert_eq!(snapshot.bypass_seconds(STAFF, "t13d1516h2_8daaf6152771_000000000000", &sni("claude.ai")), None);
    assert_eq!(snapshot.bypass_seconds(GUEST, JA4, &sni("claude.ai")), None);

    let name = sni("claude.ai");
    let facts = FlowFacts { sni: Some(&name), ..FlowFacts::of(STAFF) };
    let bypassed = snapshot.decide(&facts).bypassed();
    assert_eq!(
        (bypassed.verdict, bypassed.reason, bypassed.mode),
        (Verdict::Pass, Reason::PinnedClient, Mode::Enforce)
    );
    let told = explain(&snapshot, &facts).with_client(&snapshot, &facts, JA4);
    assert_eq!((told.verdict, told.bypass_seconds), ("inspect", Some(1_800)));
}

#[test]
fn what_is_wrong_with_the_sections_is_said() {
    let found = refusals("[ech]\nmode = \"rejcet\"\npublic_names = [\"*.example.org\", \"a b\"]\nnames = []\n");
    assert!(found.contains("\"mode\" of [ech] is one of deny, pass, reject, not \"rejcet\""), "{found}");
    assert!(found.contains("a public name of ECH is one name"), "{found}");
    assert!(found.contains("\"a b\" is no host rule"), "{found}");
    assert!(found.contains("[ech] has no key \"names\""), "{found}");
    let found = refusals("[evasion]\nconnector_addresses = \"inspect\"\n");
    assert!(found.contains("is one of deny, pass, report"), "{found}");
    let found = refusals("[[bypass]]\nsources = []\nja4 = [\"chrome\"]\nfor = \"8d\"\n");
    assert!(found.contains("[[bypass]] has no \"hosts\""), "{found}");
    assert!(found.contains("\"sources\" is empty"), "{found}");
    assert!(found.contains("\"chrome\" is no JA4 fingerprint"), "{found}");
    assert!(found.contains("which is the most; not \"8d\""), "{found}");
}
