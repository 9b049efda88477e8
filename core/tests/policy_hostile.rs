//! Hostile cases as far as the policy decides them: which host is it, and which headers belong together.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::net::IpAddr;
use std::sync::Arc;

use penstock_core::policy::{Decision, FlowFacts, Reason, Snapshot, Verdict, compile};
use penstock_core::sni::Sni;

const POLICY: &str = r#"
[[restriction]]
name = "entra"
connector = "microsoft-entra"
permitted_tenants = ["contoso.com"]
context_tenant = "bbbbcccc-1111-dddd-2222-eeee3333ffff"

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
restrictions = ["entra", "workspace", "cloud"]

[[profile]]
name = "pilot"
mode = "report-only"
restrictions = ["entra"]

[[profile]]
name = "free"
mode = "off"
restrictions = ["entra"]

[[assignment]]
profile = "pilot"
users = ["pilot@contoso.com"]

[[assignment]]
profile = "free"
users = ["free@contoso.com"]

[[assignment]]
profile = "staff"
sources = ["0.0.0.0/0", "::/0"]

[exclude]
never_inspect = ["xn--bnk-qla.example"]

[deny]
hosts = ["onedrive.live.com", "games-*.example.com"]
"#;

fn policy() -> Snapshot {
    compile("p", POLICY, None, 42).unwrap_or_else(|found| panic!("{found:#?}"))
}

#[derive(Clone, Copy, Default)]
struct Flow<'name> {
    user: Option<&'name str>,
    authority: Option<&'name str>,
    sni: Option<&'name str>,
    not_tls: bool,
}

fn decide(snapshot: &Snapshot, flow: Flow<'_>) -> Decision {
    let name = |name: &str| Sni::parse(name.as_bytes()).unwrap();
    let (sni, authority) = (flow.sni.map(name), flow.authority.map(name));
    let source: IpAddr = "192.0.2.7".parse().unwrap();
    let facts = FlowFacts {
        user: flow.user,
        groups: &[],
        port: None,
        sni: sni.as_ref(),
        authority: authority.as_ref(),
        tls: !flow.not_tls,
        ..FlowFacts::of(source)
    };
    snapshot.decide(&facts)
}

fn by_names(snapshot: &Snapshot, authority: Option<&str>, sni: Option<&str>) -> (Verdict, Reason) {
    let decision = decide(snapshot, Flow { authority, sni, ..Flow::default() });
    (decision.verdict, decision.reason)
}

const INSPECTED: &str = "login.microsoftonline.com";
const OTHER: &str = "www.example.com";
const DENIED: &str = "onedrive.live.com";
const EXCLUDED: &str = "device.login.microsoftonline.com";

/// h010, h020: without a name in a ClientHello, what aims at an inspected host is refused and the rest follows the
/// policy's default.
#[test]
fn h010_h020_without_a_name_the_authority_decides() {
    let snapshot = policy();
    let strict = compile("p", &format!("{POLICY}[defaults]\nno_sni = \"deny\"\nnot_tls = \"deny\""), None, 1).unwrap();
    for (not_tls, reason) in [(false, Reason::NoSni), (true, Reason::NotTls)] {
        let decide = |snapshot, authority, user| {
            let decision = decide(snapshot, Flow { authority, user, not_tls, sni: None });
            (decision.verdict, decision.reason)
        };
        assert_eq!(decide(&snapshot, Some(INSPECTED), None), (Verdict::Deny, reason));
        assert_eq!(decide(&snapshot, Some(EXCLUDED), None), (Verdict::Pass, Reason::Excluded));
        assert_eq!(decide(&snapshot, Some(DENIED), None), (Verdict::Deny, Reason::DeniedHost));
        assert_eq!(decide(&snapshot, Some(OTHER), None), (Verdict::Pass, reason));
        assert_eq!(decide(&snapshot, None, None), (Verdict::Pass, reason));
        assert_eq!(decide(&strict, Some(OTHER), None), (Verdict::Deny, reason));
        assert_eq!(decide(&strict, None, None), (Verdict::Deny, reason));
        assert_eq!(decide(&strict, Some(EXCLUDED), None), (Verdict::Pass, Reason::Excluded));
        assert_eq!(decide(&strict, None, Some("pilot@contoso.com")), (Verdict::Pass, Reason::WouldDeny));
        assert_eq!(decide(&strict, None, Some("free@contoso.com")), (Verdict::Pass, Reason::ModeOff));
    }
}

/// h011: names are compared as bytes. A decoder would make `login` of `xn--login-`, and two names of one.
#[test]
fn h011_a_labels_are_never_decoded() {
    let snapshot = policy();
    for twin in
        ["xn--login-.microsoftonline.com", "login.xn--microsoftonline-.com", "xn--login-.xn--microsoftonline-.com"]
    {
        assert_eq!(by_names(&snapshot, None, Some(twin)), (Verdict::Pass, Reason::NotListed), "{twin}");
        assert_eq!(by_names(&snapshot, Some(INSPECTED), Some(twin)), (Verdict::Deny, Reason::NameMismatch), "{twin}");
    }
    assert_eq!(by_names(&snapshot, None, Some("XN--BNK-QLA.example")), (Verdict::Pass, Reason::Excluded));
    assert_eq!(by_names(&snapshot, None, Some("xn--bnk-qlb.example")), (Verdict::Pass, Reason::NotListed));
}

/// h028, and the fronting of a sign-in host through a host that is never inspected.
#[test]
fn h028_contradicting_names_are_refused_where_one_is_inspected() {
    let snapshot = policy();
    let mismatch = (Verdict::Deny, Reason::NameMismatch);
    let cases = [
        (INSPECTED, INSPECTED, (Verdict::Inspect, Reason::InspectedHost)),
        (INSPECTED, OTHER, mismatch),
        (OTHER, INSPECTED, mismatch),
        (INSPECTED, EXCLUDED, mismatch),
        (EXCLUDED, INSPECTED, mismatch),
        (INSPECTED, "accounts.google.com", mismatch),
        (INSPECTED, DENIED, (Verdict::Deny, Reason::DeniedHost)),
        (DENIED, OTHER, (Verdict::Deny, Reason::DeniedHost)),
        (OTHER, DENIED, (Verdict::Deny, Reason::DeniedHost)),
        (OTHER, "cdn.example.net", (Verdict::Pass, Reason::NotListed)),
        (OTHER, EXCLUDED, (Verdict::Pass, Reason::Excluded)),
        (EXCLUDED, OTHER, (Verdict::Pass, Reason::Excluded)),
    ];
    for (authority, sni, expected) in cases {
        assert_eq!(by_names(&snapshot, Some(authority), Some(sni)), expected, "CONNECT {authority}, SNI {sni}");
    }
    // An address in CONNECT contradicts nothing: the name in the ClientHello rules.
    assert_eq!(by_names(&snapshot, None, Some(INSPECTED)), (Verdict::Inspect, Reason::InspectedHost));
    let pilot = Flow { user: Some("PILOT@contoso.com"), authority: Some(OTHER), sni: Some(INSPECTED), not_tls: false };
    assert_eq!(decide(&snapshot, pilot).reason, Reason::WouldDeny);
}

#[test]
fn inner_wildcards_deny_within_their_label() {
    let snapshot = policy();
    let denied = (Verdict::Deny, Reason::DeniedHost);
    assert_eq!(by_names(&snapshot, None, Some("games-eu.example.com")), denied);
    assert_eq!(by_names(&snapshot, None, Some("games-.example.com")), denied);
    assert_eq!(by_names(&snapshot, None, Some("games.example.com")).1, Reason::NotListed);
    assert_eq!(by_names(&snapshot, None, Some("games-eu.west.example.com")).1, Reason::NotListed);
}

/// h054, the policy's part: an edit is one policy version's whole header set and outlives its snapshot unchanged.
#[test]
fn h054_a_flow_keeps_the_header_set_that_it_began_with() {
    let old = policy();
    let kept = decide(&old, Flow { sni: Some(INSPECTED), ..Flow::default() });
    let block = kept.edit.http1_block().clone();
    drop(old);
    let changed = POLICY.replace("contoso.com\"]\ncontext", "fabrikam.com\"]\ncontext");
    let new = compile("p", &changed, None, 42).unwrap();
    let fresh = decide(&new, Flow { sni: Some(INSPECTED), ..Flow::default() });
    assert_eq!(kept.edit.http1_block(), &block);
    assert_eq!(
        kept.edit.http1_block(),
        "Restrict-Access-To-Tenants: contoso.com\r\nRestrict-Access-Context: bbbbcccc-1111-dddd-2222-eeee3333ffff\r\n"
    );
    assert_eq!(
        fresh.edit.http1_block(),
        "Restrict-Access-To-Tenants: fabrikam.com\r\nRestrict-Access-Context: bbbbcccc-1111-dddd-2222-eeee3333ffff\r\n"
    );
}

/// h055: a host under two restrictions gets the headers of both, and two that contradict each other never compile.
#[test]
fn h055_all_header_families_of_a_host_are_set_together() {
    let snapshot = policy();
    let names = |host: &str| {
        let decision = decide(&snapshot, Flow { sni: Some(host), ..Flow::default() });
        assert!(!decision.connectors.spilled(), "a decision allocates nothing");
        let names: Vec<_> = decision.edit.set().iter().map(|header| header.name.to_string()).collect();
        (names, decision.connectors.len())
    };
    let both = ["X-GoogApps-Allowed-Domains".to_owned(), "X-Goog-Allowed-Resources".to_owned()];
    assert_eq!(names("accounts.google.com"), (both.to_vec(), 2));
    // The name itself is covered by the one, what is below by both.
    assert_eq!(names("google.com"), (both[..1].to_vec(), 1));
    assert_eq!(names("storage.googleapis.com"), (both[1..].to_vec(), 1));
    assert_eq!(names(INSPECTED).0, ["Restrict-Access-To-Tenants", "Restrict-Access-Context"]);

    let second = "\n[[restriction]]\nname = \"v2\"\nconnector = \"microsoft-entra-v2\"\n\
                  tenant_id = \"bbbbcccc-1111-dddd-2222-eeee3333ffff\"\n\
                  policy_id = \"aaaabbbb-0000-cccc-1111-dddd2222eeee\"\n";
    let document = format!("{}{second}", POLICY.replace("\"workspace\", \"cloud\"]", "\"v2\"]"));
    let found = compile("p", &document, None, 0).unwrap_err();
    assert!(found.iter().any(|found| found.message.contains("cannot stand in one profile")), "{found:#?}");
}

#[test]
fn one_edit_is_shared_by_the_hosts_of_a_restriction() {
    let snapshot = policy();
    let edit = |host| decide(&snapshot, Flow { sni: Some(host), ..Flow::default() }).edit;
    assert!(Arc::ptr_eq(&edit(INSPECTED), &edit("login.windows.net")));
    assert!(Arc::ptr_eq(&edit("a.google.com"), &edit("b.c.google.com")));
    assert!(!Arc::ptr_eq(&edit(INSPECTED), &edit("a.google.com")));
}

#[test]
fn the_edit_strips_every_connectors_headers_and_says_whose_they_are() {
    let snapshot = policy();
    let edit = decide(&snapshot, Flow { sni: Some(INSPECTED), ..Flow::default() }).edit;
    for name in ["restrict_access.to-tenants", "X-Slack-Allowed-Workspaces", "anthropic-allowed-org-ids9"] {
        assert!(edit.strips(name.as_bytes()), "{name}");
    }
    assert!(!edit.strips(b"User-Agent"));
    let pilot =
        decide(&snapshot, Flow { user: Some("pilot@contoso.com"), sni: Some(INSPECTED), ..Flow::default() }).edit;
    assert!(!pilot.strips(b"Restrict-Access-To-Tenants") && pilot.set().is_empty() && pilot.http1_block().is_empty());
    assert_eq!(pilot.connector_of(b"Restrict-Access-To-Tenants").map(|id| id.label()), Some("microsoft-entra"));
    assert_eq!(pilot.would_set().len(), 2);
}
