//! What the lint knows of vendors: each finding once where it must stand and once where it must not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use penstock_core::policy::{Diagnostic, FindingCode, Severity, compile};

const ENTRA: &str = r#"
[[restriction]]
name = "entra"
connector = "microsoft-entra"
permitted_tenants = ["contoso.com"]
context_tenant = "bbbbcccc-1111-dddd-2222-eeee3333ffff"
"#;
const ENTRA_V2: &str = r#"
[[restriction]]
name = "second"
connector = "microsoft-entra-v2"
tenant_id = "bbbbcccc-1111-dddd-2222-eeee3333ffff"
policy_id = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
"#;
const CLAUDE: &str = r#"
[[restriction]]
name = "claude"
connector = "anthropic-claude"
organization_ids = ["11111111-2222-3333-4444-555555555555"]
"#;
const CHATGPT: &str = r#"
[[restriction]]
name = "chatgpt"
connector = "openai-chatgpt"
workspace_ids = ["0f0f0f0f-1111-2222-3333-444444444444"]
"#;
const GOOGLE: &str = r#"
[[restriction]]
name = "google"
connector = "google-workspace"
only_hosts = ["accounts.google.com"]
allowed_domains = ["contoso.com"]
"#;
const ASSIGNED: &str = "[[assignment]]\nprofile = \"staff\"\nsources = [\"10.0.0.0/8\"]\n";

fn found(text: &str) -> Vec<Diagnostic> {
    compile("p.toml", text, None, 0).map_or_else(|errors| errors, |snapshot| snapshot.warnings().to_vec())
}

/// A document whose profile `staff` enforces these restrictions.
fn document(parts: &[&str], restrictions: &str) -> String {
    let profile = format!("[[profile]]\nname = \"staff\"\nmode = \"enforce\"\nrestrictions = [{restrictions}]\n");
    format!("{}{profile}{ASSIGNED}", parts.concat())
}

/// The one finding with this code.
fn only(text: &str, code: FindingCode) -> Diagnostic {
    let with_code: Vec<_> = found(text).into_iter().filter(|finding| finding.code == code).collect();
    assert_eq!(with_code.len(), 1, "{code}: {:#?}", found(text));
    with_code.into_iter().next().unwrap()
}

#[track_caller]
fn none(text: &str, code: FindingCode) {
    let all = found(text);
    assert!(all.iter().all(|finding| finding.code != code), "{code}: {all:#?}");
}

/// The line of the document at which the finding stands.
fn line<'text>(text: &'text str, finding: &Diagnostic) -> &'text str {
    text.lines().nth(finding.line - 1).unwrap()
}

#[test]
fn every_lint_says_what_to_write_instead() {
    let deny = "[deny]\nhosts = [\"*.login.microsoftonline.com\", \"*.chatgpt.com\", \"chatgpt.com\", \"a.invalid\"]\n";
    let bypass = "[[bypass]]\nsources = [\"10.1.1.1\"]\nja4 = [\"t13d1516h2_8daaf6152771_e5627efa2ab1\"]\nhosts = [\"claude.ai\"]\n";
    let text = format!(
        "{}{ASSIGNED}{deny}{bypass}[exclude]\nnever_inspect = [\"login.live.com\"]\n",
        document(&[ENTRA_V2, CLAUDE, CHATGPT], "\"second\", \"claude\", \"chatgpt\"")
    );
    let all = found(&text);
    assert!(all.len() >= 8, "{all:#?}");
    for finding in all {
        assert!(finding.help.is_some() && finding.code != FindingCode::Doubtful, "{finding}");
        assert!(finding.to_string().starts_with(&format!("p.toml:{}:{}: warning: ", finding.line, finding.column)));
    }
}

#[test]
fn a_requester_that_is_missing() {
    let text =
        document(&[&ENTRA.replace("context_tenant = \"bbbbcccc-1111-dddd-2222-eeee3333ffff\"\n", "")], "\"entra\"");
    let finding = only(&text, FindingCode::RequesterMissing);
    assert_eq!(finding.severity, Severity::Error);
    assert!(finding.help.unwrap().contains("directory id"));
    let slack = "[[restriction]]\nname = \"s\"\nconnector = \"slack\"\nworkspace_ids = [\"T0000AAAA\"]\n";
    only(slack, FindingCode::RequesterMissing);
    none(&document(&[ENTRA], "\"entra\""), FindingCode::RequesterMissing);
    none(&format!("{slack}requester = \"T0000AAAA\"\n"), FindingCode::RequesterMissing);
}

#[test]
fn a_value_that_the_vendor_would_not_understand() {
    let text = document(&[&CLAUDE.replace("11111111-2222-3333-4444-555555555555", "my-company")], "\"claude\"");
    let finding = only(&text, FindingCode::ValueMalformed);
    assert_eq!(finding.severity, Severity::Error);
    assert!(line(&text, &finding).contains("my-company"));
    none(&document(&[CLAUDE], "\"claude\""), FindingCode::ValueMalformed);
}

#[test]
fn a_list_longer_than_the_vendor_takes() {
    let workspaces = |count: usize| {
        let ids: Vec<_> = (0..count).map(|number| format!("\"0f0f0f0f-1111-2222-3333-{number:012}\"")).collect();
        let all = CHATGPT.replace("\"0f0f0f0f-1111-2222-3333-444444444444\"", &ids.join(", "));
        document(&[&all], "\"chatgpt\"")
    };
    let finding = only(&workspaces(17), FindingCode::ListTooLong);
    assert_eq!(finding.severity, Severity::Warning);
    none(&workspaces(16), FindingCode::ListTooLong);
    let enterprises = |count: usize| {
        let ids: Vec<_> = (0..count).map(|number| format!("\"{number}\"")).collect();
        format!(
            "[[restriction]]\nname = \"g\"\nconnector = \"github-enterprise\"\nenterprise_ids = [{}]\n",
            ids.join(", ")
        )
    };
    assert_eq!(only(&enterprises(21), FindingCode::ListTooLong).severity, Severity::Error);
    none(&enterprises(20), FindingCode::ListTooLong);
}

#[test]
fn a_header_longer_than_others_take() {
    let entra = |count: usize| {
        let ids: Vec<_> = (0..count).map(|number| format!("\"11111111-2222-3333-4444-{number:012}\"")).collect();
        document(&[&ENTRA.replace("\"contoso.com\"", &ids.join(", "))], "\"entra\"")
    };
    only(&entra(222), FindingCode::HeaderOversize);
    none(&entra(221), FindingCode::HeaderOversize);
}

#[test]
fn both_versions_of_microsofts_restrictions() {
    let one = document(&[ENTRA, ENTRA_V2], "\"entra\", \"second\"");
    assert_eq!(only(&one, FindingCode::EntraVersionsMixed).severity, Severity::Error);
    let pilot = "[[profile]]\nname = \"pilot\"\nmode = \"MODE\"\nrestrictions = [\"second\"]\n\
                 [[assignment]]\nprofile = \"pilot\"\nsources = [\"192.0.2.0/24\"]\n";
    let two = |mode: &str| format!("{}{}", document(&[ENTRA, ENTRA_V2], "\"entra\""), pilot.replace("MODE", mode));
    let finding = only(&two("enforce"), FindingCode::EntraVersionsMixed);
    assert_eq!(finding.severity, Severity::Warning);
    assert!(line(&two("enforce"), &finding).contains("pilot") && finding.help.unwrap().contains("policy migrate"));
    none(&two("off"), FindingCode::EntraVersionsMixed);
    none(&document(&[ENTRA_V2], "\"second\""), FindingCode::EntraVersionsMixed);
}

#[test]
fn a_wildcard_over_the_sign_in_hosts_in_any_list() {
    let rule = "\"*.login.microsoftonline.com\"";
    let base = document(&[ENTRA], "\"entra\"");
    for list in [
        format!("[exclude]\nnever_inspect = [{rule}]\n"),
        format!("[deny]\nhosts = [{rule}]\n"),
        "[deny]\nhosts = [\"*.microsoftonline.com\"]\n".to_owned(),
        format!("[[connect]]\nhosts = [{rule}]\nports = [22]\n"),
        format!("[[engine]]\nhosts = [{rule}]\nupstream = \"boring\"\n"),
        format!("[pac]\nbypass = [{rule}]\n"),
    ] {
        let text = format!("{base}{list}");
        let finding = only(&text, FindingCode::LoginWildcard);
        assert!(finding.message.contains("device.login.microsoftonline.com"), "{finding}");
        assert!(finding.help.unwrap().contains("login.windows.net"));
        none(&text.replace("*.login.", "login.").replace("*.microsoft", "www.microsoft"), FindingCode::LoginWildcard);
    }
    let extra = document(&[&format!("{ENTRA}extra_hosts = [{rule}]\n")], "\"entra\"");
    assert_eq!(only(&extra, FindingCode::LoginWildcard).severity, Severity::Error);
}

#[test]
fn a_restriction_that_an_exclusion_a_denial_or_a_bypass_keeps_from_working() {
    let base = document(&[CLAUDE, GOOGLE], "\"claude\", \"google\"");
    let excluded = format!("{base}[exclude]\nnever_inspect = [\"*.claude.ai\"]\n");
    assert!(only(&excluded, FindingCode::HostExcluded).message.contains("claude"));
    none(&format!("{base}[exclude]\nnever_inspect = [\"status.claude.ai\"]\n"), FindingCode::HostExcluded);

    let denied = format!("{base}[deny]\nhosts = [\"accounts.google.com\"]\n");
    let finding = only(&denied, FindingCode::HostDenied);
    assert!(line(&denied, &finding).contains("accounts.google.com") && finding.message.contains("\"google\""));
    none(&format!("{base}[deny]\nhosts = [\"mail.google.com\"]\n"), FindingCode::HostDenied);

    let bypass = |host: &str| {
        format!(
            "{base}[[bypass]]\nsources = [\"10.1.1.1\"]\nja4 = [\"t13d1516h2_8daaf6152771_e5627efa2ab1\"]\nhosts = [\"{host}\"]\n"
        )
    };
    only(&bypass("api.claude.ai"), FindingCode::HostBypassed);
    none(&bypass("api.contoso.com"), FindingCode::HostBypassed);
}

#[test]
fn an_assignment_that_nobody_reaches() {
    let base = document(&[CLAUDE, GOOGLE], "\"claude\", \"google\"");
    let later = |more: &str| format!("{base}[[assignment]]\nprofile = \"staff\"\n{more}\n");
    let finding = only(&later("sources = [\"10.2.0.0/16\"]"), FindingCode::AssignmentShadowed);
    assert_eq!(line(&later("sources = [\"10.2.0.0/16\"]"), &finding), "[[assignment]]");
    none(&later("sources = [\"10.2.0.0/16\", \"192.0.2.0/24\"]"), FindingCode::AssignmentShadowed);
    none(&later("users = [\"alice\"]"), FindingCode::AssignmentShadowed);
    let partial =
        later("sources = [\"10.2.0.0/16\"]").replace("[\"10.0.0.0/8\"]\n", "[\"10.0.0.0/8\"]\nrollout_percent = 50\n");
    none(&partial, FindingCode::AssignmentShadowed);
}

#[test]
fn names_that_are_reserved_for_examples() {
    let base = document(&[ENTRA], "\"entra\"");
    for name in ["www.example", "*.shop.test", "portal.invalid"] {
        let text = format!("{base}[exclude]\nnever_inspect = [\"{name}\"]\n");
        only(&text, FindingCode::InventedName);
        only(&base.replace("contoso.com", name.trim_start_matches("*.")), FindingCode::InventedName);
    }
    for name in ["www.contoso.com", "example.contoso.com", "*.test.contoso.com"] {
        none(&format!("{base}[exclude]\nnever_inspect = [\"{name}\"]\n"), FindingCode::InventedName);
    }
    let zeros = base.replace("bbbbcccc-1111-dddd-2222-eeee3333ffff", "00000000-0000-0000-0000-000000000000");
    assert_eq!(only(&zeros, FindingCode::InventedName).severity, Severity::Error);
    none(&base, FindingCode::InventedName);
}

#[test]
fn the_second_version_is_not_taken_to_cover_the_ai_vendors() {
    let finding = only(&document(&[ENTRA_V2], "\"second\""), FindingCode::Trv2LeavesAiOpen);
    assert!(finding.message.contains("Anthropic and OpenAI"), "{finding}");
    let half = document(&[ENTRA_V2, CLAUDE], "\"second\", \"claude\"");
    let finding = only(&half, FindingCode::Trv2LeavesAiOpen);
    assert!(!finding.message.contains("Anthropic") && finding.help.unwrap().contains("openai-chatgpt"));
    none(&format!("{half}[deny]\nhosts = [\"chatgpt.com\", \"*.chatgpt.com\"]\n"), FindingCode::Trv2LeavesAiOpen);
    none(&document(&[ENTRA_V2, CLAUDE, CHATGPT], "\"second\", \"claude\", \"chatgpt\""), FindingCode::Trv2LeavesAiOpen);
    none(&document(&[ENTRA], "\"entra\""), FindingCode::Trv2LeavesAiOpen);
}

#[test]
fn google_sign_in_is_not_left_open_beside_a_restricted_application() {
    let alone = document(&[CLAUDE], "\"claude\"");
    assert!(only(&alone, FindingCode::GoogleLoginOpen).help.unwrap().contains("accounts.google.com"));
    none(&document(&[CLAUDE, GOOGLE], "\"claude\", \"google\""), FindingCode::GoogleLoginOpen);
    none(&format!("{alone}[deny]\nhosts = [\"accounts.google.com\"]\n"), FindingCode::GoogleLoginOpen);
    none(&document(&[ENTRA], "\"entra\""), FindingCode::GoogleLoginOpen);
}

#[test]
fn the_own_tenant_is_among_the_permitted_ones() {
    let entra = |tenants: &str| document(&[&ENTRA.replace("\"contoso.com\"", tenants)], "\"entra\"");
    let finding = only(&entra("\"aaaabbbb-0000-cccc-1111-dddd2222eeee\""), FindingCode::OwnTenantMissing);
    assert!(finding.help.unwrap().contains("bbbbcccc-1111-dddd-2222-eeee3333ffff"));
    none(&entra("\"BBBBCCCC-1111-dddd-2222-eeee3333ffff\""), FindingCode::OwnTenantMissing);
    none(&entra("\"aaaabbbb-0000-cccc-1111-dddd2222eeee\", \"contoso.com\""), FindingCode::OwnTenantMissing);
}

#[test]
fn consumer_tenants_are_pointed_out() {
    let entra = |tenant: &str| document(&[&ENTRA.replace("contoso.com", tenant)], "\"entra\"");
    only(&entra("f8cdef31-a31e-4b4a-93e4-5f571e91255a"), FindingCode::TenantOfConsumers);
    none(&entra("contoso.com"), FindingCode::TenantOfConsumers);
}

#[test]
fn h034_a_host_that_passes_beside_inspected_ones_of_its_site() {
    let base = document(&[CLAUDE, GOOGLE], "\"claude\", \"google\"");
    let excluding = |rule: &str| format!("{base}[exclude]\nnever_inspect = [\"{rule}\"]\n");
    let text = excluding("status.claude.ai");
    let finding = only(&text, FindingCode::CoalescingPossible);
    assert_eq!(finding.severity, Severity::Warning);
    assert!(line(&text, &finding).contains("status.claude.ai") && finding.column == 18, "{finding}");
    assert!(finding.message.contains("\"claude.ai\" of restriction \"claude\""), "{finding}");
    assert!(finding.help.unwrap().starts_with("remove the exclusion"));
    // The connector does not cover this one by itself: only the operator can have it inspected.
    let help = only(&excluding("mail.google.com"), FindingCode::CoalescingPossible).help.unwrap();
    assert!(help.contains("extra_hosts = [\"mail.google.com\"] in restriction \"google\""), "{help}");
    only(&excluding("mail-*.google.com"), FindingCode::CoalescingPossible);
    // Another site, a neighbour below a public suffix, a whole host that is told of as such, a profile that only reports.
    none(&excluding("www.contoso.com"), FindingCode::CoalescingPossible);
    none(&excluding("claude.co.uk"), FindingCode::CoalescingPossible);
    none(&excluding("*.claude.ai"), FindingCode::CoalescingPossible);
    none(&text.replace("\"enforce\"", "\"report-only\""), FindingCode::CoalescingPossible);

    let mode = |mode: &str| format!("{base}[evasion]\nconnector_addresses = \"{mode}\"\n");
    for word in ["report", "pass"] {
        let finding = only(&mode(word), FindingCode::CoalescingPossible);
        assert!(line(&mode(word), &finding).starts_with("connector_addresses"), "{finding}");
        assert!(finding.help.unwrap().contains("\"separate\""));
    }
    none(&mode("deny"), FindingCode::CoalescingPossible);
    none(&mode("separate"), FindingCode::CoalescingPossible);
    none(&base, FindingCode::CoalescingPossible);
}
