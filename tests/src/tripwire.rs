//! The header invariant: no request to an inspected host leaves without exactly one copy of each configured header,
//! with exactly the configured value, that no hop can be talked into dropping or out-voting.
//!
//! The names are written out here and not taken from the catalogue: an oracle that shares the product's table would
//! share its mistakes.

use crate::http::Request;

/// Every restriction header of the catalogue.
pub const RESTRICTION_HEADERS: &[&str] = &[
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
];

/// The one vendor that reads numbered continuations of its header.
const NUMBERED: &str = "anthropic-allowed-org-ids";

/// A configured header.
pub type Expected = (&'static str, &'static str);

/// What the example policy sets on the Entra hosts.
pub const ENTRA: &[Expected] = &[
    ("Restrict-Access-To-Tenants", "contoso.com,fabrikam.onmicrosoft.com,aaaabbbb-0000-cccc-1111-dddd2222eeee"),
    ("Restrict-Access-Context", "bbbbcccc-1111-dddd-2222-eeee3333ffff"),
];
/// What the example policy sets on login.live.com.
pub const CONSUMER: &[Expected] = &[("sec-Restrict-Tenant-Access-Policy", "restrict-msa")];
/// What the example policy sets on Claude's hosts.
pub const CLAUDE: &[Expected] =
    &[("anthropic-allowed-org-ids", "11111111-2222-3333-4444-555555555555,66666666-7777-8888-9999-aaaaaaaaaaaa")];
/// What the example policy sets on ChatGPT's hosts.
pub const CHATGPT: &[Expected] = &[("ChatGPT-Allowed-Workspace-Id", "0f0f0f0f-1111-2222-3333-444444444444")];
/// What the example policy sets on Google's hosts.
pub const GOOGLE: &[Expected] = &[("X-GoogApps-Allowed-Domains", "contoso.com")];

/// Checks one request; the error names what is wrong.
pub fn check(request: &Request, expected: &[Expected]) -> Result<(), String> {
    for (name, value) in expected {
        let found: Vec<&str> = request.values(name).collect();
        if found != [*value] {
            return Err(format!("{name} is {found:?} and not once {value:?} in {request:?}"));
        }
    }
    for (name, _) in &request.fields {
        let configured = expected.iter().any(|(wanted, _)| name.eq_ignore_ascii_case(wanted));
        if !configured && let Some(twin) = restriction(name) {
            return Err(format!("{name} (a twin of {twin}) got through in {request:?}"));
        }
        if folded(name) == "http2-settings" {
            return Err(format!("{name} got through"));
        }
    }
    for nominated in request.values("connection").flat_map(|value| value.split(',')) {
        if restriction(nominated.trim()).is_some() {
            return Err(format!("Connection nominates {nominated} in {request:?}"));
        }
    }
    match request.trailers.first() {
        Some((name, _)) => Err(format!("the trailer {name} got through")),
        None => Ok(()),
    }
}

/// Which restriction header `name` equals once case, `_` and `.` are folded, or which it continues by a number.
pub fn restriction(name: &str) -> Option<&'static str> {
    let name = folded(name);
    let base = name.trim_end_matches(|character: char| character.is_ascii_digit());
    let equal = RESTRICTION_HEADERS.iter().copied().find(|header| name == folded(header));
    equal.or_else(|| (base == NUMBERED).then_some(NUMBERED))
}

fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&str, &str)]) -> Request {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Request { fields, ..Request::default() }
    }

    #[test]
    fn the_invariant_catches_each_way_to_break_it() {
        let good = [("Host", "login.live.com"), ("sec-Restrict-Tenant-Access-Policy", "restrict-msa")];
        assert_eq!(check(&request(&good), CONSUMER), Ok(()));
        for extra in [
            ("SEC-restrict-tenant-access-policy", "restrict-msa"),
            ("sec_Restrict.Tenant-Access-Policy", "x"),
            ("anthropic-allowed-org-ids7", "x"),
            ("Connection", "close, sec-restrict-tenant-access-policy"),
            ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
        ] {
            assert!(check(&request(&[good[0], good[1], extra]), CONSUMER).is_err(), "{extra:?}");
        }
        assert!(check(&request(&good[..1]), CONSUMER).is_err());
    }
}
