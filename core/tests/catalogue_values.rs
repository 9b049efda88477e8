//! What operators write, as the vendors take it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::net::IpAddr;

use penstock_core::catalogue::FieldKind;
use penstock_core::catalogue::value::canonical;
use penstock_core::policy::{FlowFacts, compile};
use penstock_core::sni::Sni;

/// The headers that a restriction with `fields` sets on `host`.
fn headers(connector: &str, fields: &str, host: &str) -> Vec<(String, String)> {
    let document = format!(
        "[[restriction]]\nname = \"r\"\nconnector = \"{connector}\"\n{fields}\n\
         [[profile]]\nname = \"p\"\nmode = \"enforce\"\nrestrictions = [\"r\"]\n\
         [[assignment]]\nprofile = \"p\"\nsources = [\"0.0.0.0/0\"]\n"
    );
    let snapshot = compile("p", &document, None, 0).unwrap_or_else(|found| panic!("{found:#?}"));
    let sni = Sni::parse(host.as_bytes()).unwrap();
    let source = IpAddr::from([192, 0, 2, 1]);
    let facts = FlowFacts { sni: Some(&sni), ..FlowFacts::of(source) };
    let edit = snapshot.decide(&facts).edit;
    edit.set().iter().map(|header| (header.name.to_string(), header.value.to_string())).collect()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Connector, its fields, a host, and the headers that this makes there, a line each.
const WRITTEN: &[[&str; 4]] = &[
    [
        "microsoft-entra-v2",
        "tenant_id = 'AAAABBBB-0000-cccc-1111-dddd2222eeee'\npolicy_id = '11111111-2222-3333-4444-555555555555'",
        "login.live.com",
        "sec-Restrict-Tenant-Access-Policy: aaaabbbb-0000-cccc-1111-dddd2222eeee:11111111-2222-3333-4444-555555555555",
    ],
    [
        "openai-api",
        "organization_ids = ['org-AbC1', 'org-2']",
        "api.openai.com",
        "OpenAI-Allowed-Organization-Ids: org-AbC1,org-2",
    ],
    [
        "google-workspace",
        "allowed_domains = ['Contoso.com', 'consumer_accounts']",
        "mail.google.com",
        "X-GoogApps-Allowed-Domains: contoso.com,consumer_accounts",
    ],
    [
        "google-cloud",
        "organization_ids = ['123456789012']",
        "storage.googleapis.com",
        "X-Goog-Allowed-Resources: eyJyZXNvdXJjZXMiOlsib3JnYW5pemF0aW9ucy8xMjM0NTY3ODkwMTIiXSwib3B0aW9ucyI6InN0cmljdCJ9",
    ],
    [
        "gemini-code-assist",
        "allowed_domains = ['contoso.com']",
        "cloudcode-pa.googleapis.com",
        "X-GeminiCodeAssist-Allowed-Domains: contoso.com",
    ],
    ["youtube", "level = 'Strict'", "www.youtube.com", "YouTube-Restrict: Strict"],
    ["github-enterprise", "enterprise_ids = ['12345']", "api.github.com", "sec-GitHub-allowed-enterprise: 12345"],
    [
        "slack",
        "requester = 'E0123ABCD'\nworkspace_ids = ['T0123ABCD', 'E0123ABCD']",
        "contoso.slack.com",
        "X-Slack-Allowed-Workspaces-Requester: E0123ABCD\nX-Slack-Allowed-Workspaces: T0123ABCD,E0123ABCD",
    ],
    ["dropbox", "team_ids = ['1', '2']", "www.dropbox.com", "X-Dropbox-allowed-Team-Ids: 1,2"],
    ["webex", "allowed_domains = ['contoso.com']", "idbroker.webex.com", "CiscoSpark-Allowed-Domains: contoso.com"],
    [
        "asana",
        "allow_unverified = true\nrequester_id = '1'\ndomain_ids = ['1', '2']",
        "app.asana.com",
        "Asana-Allowed-Domains-Requester-Id: 1\nAsana-Allowed-Domain-Ids: 1,2",
    ],
    [
        "notion",
        "workspace_ids = ['0f0f0f0f-1111']\nextra_hosts = ['notion.com']",
        "notion.com",
        "X-Notion-Allowed-Workspaces: 0f0f0f0f-1111",
    ],
    ["zoom", "allow_unverified = true\npolicy_label = 'label_1'", "zoom.us", "X-ZoomApps-Policy: label_1"],
    [
        "atlassian",
        "allow_unverified = true\nheader_name = 'X-Sites'\nheader_value = 'a=b; c/d+e'",
        "contoso.atlassian.net",
        "X-Sites: a=b; c/d+e",
    ],
    ["ibm-cloud", "account_ids = ['a1b2']", "cloud.ibm.com", "IBM-Cloud-Tenant: a1b2"],
    [
        "zoho",
        "allow_unverified = true\nheader_name = 'X-Zoho'\nzoho_ids = ['7']\nextra_hosts = ['accounts.zoho.example']",
        "accounts.zoho.example",
        "X-Zoho: 7",
    ],
    [
        "dx",
        "allow_unverified = true\ntenant = 'contoso'\nextra_hosts = ['dx.example.com']",
        "dx.example.com",
        "X-DX-Tenant: contoso",
    ],
];

#[test]
fn each_connector_writes_what_its_vendor_documents() {
    for [connector, fields, host, expected] in WRITTEN {
        let set = headers(connector, fields, host);
        let lines: Vec<_> = set.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(lines.join("\n"), *expected, "{connector}");
    }
}

#[test]
fn a_long_list_of_organizations_continues_in_numbered_headers() {
    let ids: Vec<_> = (0..500).map(|number| format!("11111111-2222-3333-4444-{number:012}")).collect();
    let set = |count: usize| {
        let quoted = ids[..count].iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(",");
        headers("anthropic-claude", &format!("organization_ids = [{quoted}]"), "claude.ai")
    };
    assert_eq!(set(50), [pair("anthropic-allowed-org-ids", &ids[..50].join(","))]);
    assert_eq!(
        set(51),
        [
            pair("anthropic-allowed-org-ids", &format!("{};n=2", ids[..50].join(","))),
            pair("anthropic-allowed-org-ids1", &ids[50]),
        ]
    );
    let most = set(500);
    assert_eq!(most.len(), 10);
    assert!(most[0].1.ends_with(";n=10") && most[9].0 == "anthropic-allowed-org-ids9");
    let total: usize = most.iter().map(|(_, value)| value.split(',').count()).sum();
    assert_eq!(total, 500);
}

#[test]
fn more_than_the_vendor_takes_is_refused() {
    let ids: Vec<_> = (0..501).map(|number| format!("\"11111111-2222-3333-4444-{number:012}\"")).collect();
    let document = format!(
        "[[restriction]]\nname = \"r\"\nconnector = \"anthropic-claude\"\norganization_ids = [{}]",
        ids.join(",")
    );
    let found = compile("p", &document, None, 0).unwrap_err();
    assert_eq!(found[0].message, "\"organization_ids\" has 501 values; the vendor takes 500");
}

#[test]
fn values_have_one_form_or_none() {
    let accepted = [
        (FieldKind::Guid, "11111111-2222-3333-4444-55555555AAAA", "11111111-2222-3333-4444-55555555aaaa"),
        (FieldKind::Tenant, "Contoso.OnMicrosoft.com", "contoso.onmicrosoft.com"),
        (FieldKind::Domain, "xn--mller-kva.example", "xn--mller-kva.example"),
        (FieldKind::GoogleAudience, "gserviceaccounts.com", "gserviceaccounts.com"),
        (FieldKind::Number, "007", "007"),
        (FieldKind::HeaderName, "X-Allowed_Sites", "X-Allowed_Sites"),
    ];
    for (kind, text, form) in accepted {
        assert_eq!(canonical(kind, text).as_deref(), Ok(form));
    }
    let refused = [
        (FieldKind::Guid, "11111111-2222-3333-4444-55555555555"),
        (FieldKind::Guid, "11111111222233334444555555555555"),
        (FieldKind::Guid, "g1111111-2222-3333-4444-555555555555"),
        (FieldKind::Directory, "9188040d-6c67-4c5b-b112-36a304b66dad"),
        (FieldKind::Domain, "127.0.0.1"),
        (FieldKind::Domain, "localhost"),
        (FieldKind::Domain, "consumer_accounts"),
        (FieldKind::Tenant, "common"),
        (FieldKind::Number, "12a"),
        (FieldKind::Number, "-1"),
        (FieldKind::SlackTeam, "C0123456789"),
        (FieldKind::SlackTeam, "T"),
        (FieldKind::Token, "a b"),
        (FieldKind::Token, "a,b"),
        (FieldKind::HeaderName, "X-GitHub-Allowed-Orgs"),
        (FieldKind::HeaderName, "x_slack.allowed-workspaces"),
        (FieldKind::HeaderName, "Host"),
    ];
    for (kind, text) in refused {
        assert!(canonical(kind, text).is_err(), "{kind:?} {text}");
    }
    for kind in [FieldKind::Domain, FieldKind::Guid, FieldKind::Text, FieldKind::Token, FieldKind::HeaderName] {
        for text in ["", "a\r\nb", "a\0", " a", "a\u{2028}", "a\u{7f}"] {
            assert!(canonical(kind, text).is_err(), "{kind:?} {text:?}");
        }
    }
}
