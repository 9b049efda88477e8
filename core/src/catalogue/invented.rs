//! Header names that circulate in generated code and documents and that no vendor ever documented, and domains that are
//! reserved for examples.
//!
//! An operator who writes one believes in a restriction that is not there, so the policy refuses them.

use super::header_name::fold_equal;

/// Each with what is true instead.
const INVENTED: &[(&str, &str)] = &[
    ("X-Box-Allowed-Enterprise-IDs", "Box documents no such header"),
    ("X-Salesforce-Allowed-Org-Ids", "Salesforce documents no such header"),
    ("X-GitHub-Allowed-Orgs", "GitHub's header is sec-GitHub-allowed-enterprise: use connector github-enterprise"),
];

/// What is wrong with `name`, when it is one of the invented ones.
pub fn invented_header(name: &str) -> Option<&'static str> {
    INVENTED.iter().find(|(invented, _)| fold_equal(invented.as_bytes(), name.as_bytes())).map(|(_, truth)| *truth)
}

/// Top-level domains that are reserved for examples and tests (RFC 2606 section 2).
const RESERVED: [&str; 3] = ["example", "invalid", "test"];

/// The reserved domain that a lower-case `name` stands under, when it does.
pub fn reserved_domain(name: &str) -> Option<&'static str> {
    let (_, last) = name.rsplit_once('.')?;
    RESERVED.iter().copied().find(|reserved| *reserved == last)
}
