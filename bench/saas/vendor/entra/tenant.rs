//! The tenants that this cloud knows, and how a path, a user or a header names one.

use crate::clock;

/// A directory: its id and the domains registered for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) id: &'static str,
    pub(crate) domains: &'static [&'static str],
}

/// What the first part of a path, or the domain of a user, names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// `common` or `organizations`: the user decides.
    Any,
    One(&'static Tenant),
    Unknown,
}

impl Tenant {
    /// Whether an entry of a header, a domain or an id in any case, names this tenant.
    pub(crate) fn is_named_by(&self, entry: &str) -> bool {
        self.id.eq_ignore_ascii_case(entry) || self.domains.iter().any(|domain| domain.eq_ignore_ascii_case(entry))
    }

    /// What the user is told that access was denied to.
    pub(crate) fn title(&self) -> &'static str {
        self.domains.first().copied().unwrap_or(self.id)
    }
}

impl Named {
    pub(crate) fn of(name: &str) -> Self {
        if ["common", "organizations"].iter().any(|word| name.eq_ignore_ascii_case(word)) {
            return Self::Any;
        }
        let name = if name.eq_ignore_ascii_case("consumers") { CONSUMER_TENANT_ID } else { name };
        TENANTS.iter().find(|tenant| tenant.is_named_by(name)).map_or(Self::Unknown, Self::One)
    }

    /// The tenant of `user@domain`; consumer domains belong to the consumer tenant.
    pub(crate) fn of_user(user: &str) -> Self {
        let domain = user.rsplit('@').next().unwrap_or_default();
        let consumer = CONSUMER_DOMAINS.iter().any(|name| name.eq_ignore_ascii_case(domain));
        Self::of(if consumer { CONSUMER_TENANT_ID } else { domain })
    }
}

/// Whether an entry could name a tenant: a GUID or a domain.
pub(crate) fn is_well_formed(entry: &str) -> bool {
    let labels = || entry.split('.');
    let is_label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    clock::is_uuid(entry) || labels().count() >= 2 && labels().all(is_label)
}

pub(crate) const TENANTS: [Tenant; 7] = [
    Tenant { id: "bbbbcccc-1111-dddd-2222-eeee3333ffff", domains: &["contoso.com", "contoso.onmicrosoft.com"] },
    Tenant { id: "ccccdddd-2222-eeee-3333-ffff4444aaaa", domains: &["fabrikam.onmicrosoft.com", "fabrikam.com"] },
    Tenant { id: "aaaabbbb-0000-cccc-1111-dddd2222eeee", domains: &["northwind.example"] },
    Tenant { id: "99999999-9999-9999-9999-999999999999", domains: &["evil.example", "evil.onmicrosoft.com"] },
    Tenant { id: "88888888-8888-8888-8888-888888888888", domains: &["adatum.com"] },
    Tenant { id: CONSUMER_TENANT_ID, domains: &["live.com"] },
    // The passthrough tenant: listed, it lets consumer accounts through Entra applications.
    Tenant { id: PASSTHROUGH_TENANT_ID, domains: &[] },
];

pub(crate) const CONSUMER_TENANT_ID: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
pub(crate) const PASSTHROUGH_TENANT_ID: &str = "f8cdef31-a31e-4b4a-93e4-5f571e91255a";
const CONSUMER_DOMAINS: [&str; 4] = ["hotmail.com", "live.com", "msn.com", "outlook.com"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_found_by_domain_and_by_id() {
        let contoso = Named::of("contoso.com");
        assert_eq!(contoso, Named::of("BBBBCCCC-1111-dddd-2222-eeee3333ffff"));
        assert_eq!(contoso, Named::of_user("ann@Contoso.com"));
        assert_eq!(Named::of("common"), Named::Any);
        assert_eq!(Named::of("nowhere.example"), Named::Unknown);
        assert_eq!(Named::of("consumers"), Named::of_user("bob@outlook.com"));
    }

    #[test]
    fn entries_are_domains_or_ids() {
        for good in ["contoso.com", "fabrikam.onmicrosoft.com", "aaaabbbb-0000-cccc-1111-dddd2222eeee"] {
            assert!(is_well_formed(good), "{good}");
        }
        for bad in ["", "contoso", "a b.com", "contoso.com;", ".com", "contoso..com", "*.contoso.com"] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }
}
