//! The connectors' data: complete, well-formed, and free of the mistakes that other products' lists have.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::HashSet;

use penstock_core::catalogue::{
    Confidence, ConnectorId, DenialCode, Encoding, FieldKind, StripNames, connector, connectors, invented_header,
    is_public_suffix, never_inspect,
};
use penstock_core::sni::Sni;

/// The ids of the contract, word for word.
const IDS: [&str; 21] = [
    "microsoft-entra",
    "microsoft-entra-v2",
    "microsoft-consumer",
    "anthropic-claude",
    "openai-chatgpt",
    "openai-api",
    "google-workspace",
    "google-cloud",
    "gemini-code-assist",
    "youtube",
    "github-enterprise",
    "slack",
    "dropbox",
    "webex",
    "asana",
    "notion",
    "zoom",
    "atlassian",
    "ibm-cloud",
    "zoho",
    "dx",
];

fn is_pattern(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    name.contains('.') && Sni::parse(name.as_bytes()).is_ok_and(|sni| sni.as_str() == name)
}

/// Whether some name is covered by both patterns.
fn overlap(left: &str, right: &str) -> bool {
    let covers = |wide: &str, narrow: &str| {
        wide == narrow
            || wide
                .strip_prefix('*')
                .is_some_and(|suffix| narrow.trim_start_matches('*').ends_with(suffix) && narrow != &suffix[1..])
    };
    covers(left, right) || covers(right, left)
}

#[test]
fn every_id_of_the_contract_has_a_connector() {
    let known: HashSet<_> = ConnectorId::ALL.iter().map(|id| id.label()).collect();
    assert_eq!(known, HashSet::from(IDS));
    for id in IDS {
        let id = ConnectorId::parse(id).unwrap();
        assert_eq!(connector(id).id, id);
    }
    assert!(ConnectorId::ALL.windows(2).all(|pair| pair[0].label() < pair[1].label()), "ids are in order");
    assert_eq!(ConnectorId::parse("Slack"), None);
}

#[test]
fn every_connector_says_where_it_comes_from() {
    for connector in connectors() {
        let id = connector.id;
        for text in [connector.title, connector.vendor, connector.plan, connector.effect, connector.source] {
            assert!(!text.is_empty() && text.trim() == text, "{id}");
        }
        let date = connector.checked.split('-').map(str::len).collect::<Vec<_>>();
        assert!(date == [4, 2] || date == [4, 2, 2], "{id}: {}", connector.checked);
        assert!(!connector.headers.is_empty(), "{id}");
        // A weak source is never enough.
        assert!(connector.confidence != Confidence::C || connector.unverified.is_some(), "{id}");
        assert!(!connector.hosts.is_empty() || connector.unverified.is_some(), "{id}");
    }
}

#[test]
fn hosts_are_normalised_patterns_that_reach_no_public_suffix() {
    for connector in connectors() {
        let notes = [
            connector.optional_hosts,
            connector.never_inspect,
            connector.deny_advice,
            connector.refused_rules,
            connector.siblings,
        ];
        for host in connector.hosts.iter().copied().chain(notes.concat().iter().map(|note| note.host)) {
            assert!(is_pattern(host), "{}: {host}", connector.id);
        }
        for host in connector.hosts.iter().filter_map(|host| host.strip_prefix("*.")) {
            // Listed as a suffix, yet all below it is Google's own.
            let is_vendors_own = host == "googleapis.com";
            assert!(is_vendors_own || !is_public_suffix(host), "{}: *.{host}", connector.id);
        }
        for note in notes.concat() {
            assert!(!note.reason.is_empty(), "{}: {}", connector.id, note.host);
        }
    }
    assert!(never_inspect().all(|note| is_pattern(note.host)));
}

#[test]
fn the_exclusions_that_must_not_be_missing_are_there() {
    let known: HashSet<_> = never_inspect().map(|note| note.host).collect();
    for host in [
        "device.login.microsoftonline.com",
        "enterpriseregistration.windows.net",
        "certauth.login.microsoftonline.com",
        "*.certauth.login.microsoftonline.com",
        "certauth.login.microsoftonline.us",
        "autologon.microsoftazuread-sso.com",
        "*.manage.microsoft.com",
        "*.githubusercontent.com",
        "*.githubassets.com",
        "desktop.chatgpt.com",
    ] {
        assert!(known.contains(host), "{host}");
    }
    // No connector inspects what it may not, but by a wildcard around it.
    for connector in connectors() {
        assert!(connector.hosts.iter().all(|host| !known.contains(host)), "{}", connector.id);
    }
}

#[test]
fn templates_name_fields_that_there_are_and_every_field_is_used() {
    for connector in connectors() {
        let id = connector.id;
        let mut used = HashSet::new();
        for header in connector.headers {
            for part in [header.name, header.value].iter().flat_map(|template| template.split('{').skip(1)) {
                let (field, _) = part.split_once('}').unwrap();
                assert!(connector.field(field).is_some(), "{id}: {field}");
                used.insert(field);
            }
            if header.encoding == Encoding::GoogleResources {
                used.insert("options");
            }
            if let Encoding::Numbered { values_per_header, headers_max } = header.encoding {
                let field = connector.fields.iter().find(|field| field.list).unwrap();
                assert_eq!(field.count_max, Some(values_per_header * headers_max), "{id}");
            }
        }
        assert!(connector.fields.iter().all(|field| used.contains(field.name)), "{id}: {used:?}");
        let common = ["name", "connector", "allow_unverified", "only_hosts", "extra_hosts"];
        assert!(connector.fields.iter().all(|field| !common.contains(&field.name) && !field.help.is_empty()), "{id}");
    }
}

#[test]
fn header_names_are_the_vendors_and_none_is_invented() {
    for connector in connectors() {
        for header in connector.headers {
            let supplied = header.name.starts_with('{');
            let named_by_vendor = header.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            assert!(supplied || named_by_vendor, "{}", header.name);
            assert_eq!(invented_header(header.name), None);
            if supplied {
                let field = connector.field(header.name.trim_matches(['{', '}'])).unwrap();
                assert_eq!(field.kind, FieldKind::HeaderName);
                assert!(connector.unverified.is_some());
            }
        }
    }
    let names: HashSet<_> = StripNames::new([]).iter().map(str::to_owned).collect();
    for name in [
        "Restrict-Access-To-Tenants",
        "Restrict-Access-Context",
        "sec-Restrict-Tenant-Access-Policy",
        "anthropic-allowed-org-ids",
        "ChatGPT-Allowed-Workspace-Id",
        "OpenAI-Allowed-Organization-Ids",
        "X-GoogApps-Allowed-Domains",
        "X-Goog-Allowed-Resources",
        "X-GeminiCodeAssist-Allowed-Domains",
        "YouTube-Restrict",
        "sec-GitHub-allowed-enterprise",
        "X-Slack-Allowed-Workspaces-Requester",
        "X-Slack-Allowed-Workspaces",
        "X-Dropbox-allowed-Team-Ids",
        "CiscoSpark-Allowed-Domains",
        "Asana-Allowed-Domains-Requester-Id",
        "Asana-Allowed-Domain-Ids",
        "X-Notion-Allowed-Workspaces",
        "X-ZoomApps-Policy",
        "IBM-Cloud-Tenant",
        "X-DX-Tenant",
    ] {
        assert!(names.contains(name), "{name}");
    }
    assert_eq!(invented_header("x_box-allowed.enterprise-ids"), Some("Box documents no such header"));
}

/// `restrict-msa` on an Entra host would contradict the second version; F5's rule does that.
#[test]
fn no_vendors_header_goes_to_another_vendors_hosts() {
    let consumer = connector(ConnectorId::MicrosoftConsumer);
    assert_eq!(consumer.hosts, ["login.live.com"]);
    assert!(!connector(ConnectorId::MicrosoftEntra).hosts.contains(&"login.live.com"));
    assert!(connector(ConnectorId::MicrosoftEntraV2).hosts.contains(&"login.live.com"));
    for left in connectors() {
        for right in connectors().filter(|right| right.vendor != left.vendor) {
            for (one, other) in left.hosts.iter().flat_map(|one| right.hosts.iter().map(move |other| (one, other))) {
                assert!(!overlap(one, other), "{}: {one}, {}: {other}", left.id, right.id);
            }
        }
    }
}

#[test]
fn conflicts_are_mutual() {
    for connector_id in connectors() {
        for conflict in connector_id.conflicts {
            let other = connector(conflict.with);
            assert!(other.conflicts.iter().any(|back| back.with == connector_id.id), "{}", connector_id.id);
            assert!(!conflict.reason.is_empty());
        }
    }
}

#[test]
fn every_denial_code_belongs_to_the_connector_that_lists_it() {
    let mut listed = HashSet::new();
    for connector in connectors() {
        for denial in connector.denials {
            assert_eq!(denial.code.connector(), connector.id, "{}", denial.code);
            assert!(denial.header.is_some() || !denial.body.is_empty(), "{}", denial.code);
            assert!(listed.insert(denial.code), "{}", denial.code);
        }
    }
    assert_eq!(listed.len(), DenialCode::ALL.len());
}
