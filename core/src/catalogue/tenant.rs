//! Which tenant a sign-in aims at, read from the request's path alone.
//!
//! Queries and bodies are never looked at: they carry user names and codes. Called by the HTTP editors for the audit
//! record, so what is not shaped like a tenant's name is not reported.

use super::{ConnectorId, connector};

const PLACEHOLDER: &str = "{tenant}";
/// Longest tenant that is reported: a directory id has 36 characters, a domain at most 253.
const TENANT_BYTES_MAX: usize = 253;

impl ConnectorId {
    /// The tenant that a request to this connector's hosts names, if its path does.
    ///
    /// `method` is taken because some vendors name it only on requests that change something; `path` may carry a query,
    /// which is ignored.
    pub fn target_tenant<'path>(&self, method: &str, path: &'path str) -> Option<&'path str> {
        if method == "OPTIONS" || method == "CONNECT" {
            return None;
        }
        let path = path.get(..memchr::memchr2(b'?', b'#', path.as_bytes()).unwrap_or(path.len()))?;
        connector(*self).tenant_paths.iter().find_map(|template| named_by(template, path))
    }
}

/// The segment of `path` at the placeholder of `template`, when the path begins as the template says. Asked for every template
/// on every request, so bytes are looked for rather than words.
fn named_by<'path>(template: &str, path: &'path str) -> Option<&'path str> {
    let (before, after) = template.split_at_checked(memchr::memchr(b'{', template.as_bytes())?)?;
    let after = after.strip_prefix(PLACEHOLDER)?;
    let rest = path.strip_prefix(before).filter(|rest| rest.len() > after.len())?;
    let (tenant, rest) = rest.split_at_checked(memchr::memchr(b'/', rest.as_bytes()).unwrap_or(rest.len()))?;
    let follows = rest.get(..after.len()).is_some_and(|start| start.eq_ignore_ascii_case(after));
    (follows && is_tenant(tenant)).then_some(tenant)
}

/// A domain, a GUID, or a word such as `common`.
fn is_tenant(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !segment.is_empty() && segment.len() <= TENANT_BYTES_MAX && segment.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entra_names_the_tenant_in_the_first_segment() {
        let entra = ConnectorId::MicrosoftEntra;
        let cases = [
            ("/contoso.com/oauth2/v2.0/authorize?client_id=1", Some("contoso.com")),
            ("/common/oauth2/token", Some("common")),
            ("/aaaabbbb-0000-cccc-1111-dddd2222eeee/v2.0/.well-known/openid-configuration", {
                Some("aaaabbbb-0000-cccc-1111-dddd2222eeee")
            }),
            ("/contoso.com/saml2?SAMLRequest=x", Some("contoso.com")),
            ("/contoso.com/OAuth2/authorize", Some("contoso.com")),
            ("/shared/1.0/content/js/a.js", None),
            ("/alice%40contoso.com/oauth2/authorize", None),
            ("//oauth2/authorize", None),
            ("/oauth2/authorize", None),
            ("/", None),
            ("", None),
        ];
        for (path, tenant) in cases {
            assert_eq!(entra.target_tenant("GET", path), tenant, "{path}");
        }
        assert_eq!(entra.target_tenant("OPTIONS", "/contoso.com/oauth2/token"), None);
    }

    #[test]
    fn a_vendor_that_names_no_tenant_in_its_paths_has_none() {
        assert_eq!(ConnectorId::Slack.target_tenant("GET", "/contoso.com/oauth2/authorize"), None);
        let organization = "/api/organizations/11111111-2222-3333-4444-555555555555/chat_conversations";
        assert_eq!(
            ConnectorId::AnthropicClaude.target_tenant("POST", organization),
            Some("11111111-2222-3333-4444-555555555555")
        );
    }
}
