//! Tenant restrictions of both versions: reads the headers and says whether a tenant may be signed in to.
//!
//! First version: `Restrict-Access-To-Tenants` is an allow-list of domains and directory ids, `Restrict-Access-Context`
//! exactly one directory id. Second version: `sec-Restrict-Tenant-Access-Policy: <tenant id>:<policy id>`, decided by
//! the cloud policy, which here permits the own tenant alone. Both at once, copies, and anything that cannot be read
//! are refused with 400. Source: MicrosoftDocs/entra-docs, tenant-restrictions.md and tenant-restrictions-v2.md.

use super::tenant::{self, CONSUMER_TENANT_ID, PASSTHROUGH_TENANT_ID, Tenant};
use crate::clock;
use crate::endpoint::unreadable;
use crate::request::Request;

/// What the headers of a request demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restriction<'a> {
    /// First version.
    AllowList {
        tenants: &'a str,
    },
    /// Second version.
    CloudPolicy {
        own: &'a str,
    },
    None,
}

/// The error code of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) code: u32,
}

impl<'a> Restriction<'a> {
    /// Reads the headers; the error names the header and what is wrong with it.
    pub(crate) fn of(request: &'a Request) -> Result<Self, String> {
        let read = |name| unreadable(request, name).map_err(|what| format!("{name}: {what}"));
        match (read(TENANTS_HEADER)?, read(CONTEXT_HEADER)?, read(POLICY_HEADER)?) {
            (None, None, None) => Ok(Self::None),
            (None, None, Some(policy)) => cloud_policy(policy),
            (Some(tenants), Some(context), None) => allow_list(tenants, context),
            (_, _, Some(_)) => Err(format!("{POLICY_HEADER}: it was sent with headers of the first version")),
            (Some(_), None, None) => Err(format!("{CONTEXT_HEADER}: it is missing")),
            (None, Some(_), None) => Err(format!("{TENANTS_HEADER}: it is missing")),
        }
    }

    /// Whether `tenant` may be signed in to.
    pub(crate) fn check(&self, tenant: &Tenant) -> Result<(), Denied> {
        match self {
            Self::None => Ok(()),
            Self::AllowList { tenants } => {
                let passes =
                    tenant.id == CONSUMER_TENANT_ID && entries(tenants).any(|name| name == PASSTHROUGH_TENANT_ID);
                if passes || entries(tenants).any(|name| tenant.is_named_by(name)) {
                    return Ok(());
                }
                Err(Denied { code: 500_021 })
            }
            Self::CloudPolicy { own } if tenant.is_named_by(own) => Ok(()),
            Self::CloudPolicy { .. } => Err(Denied { code: 5_000_211 }),
        }
    }
}

fn allow_list<'a>(tenants: &'a str, context: &str) -> Result<Restriction<'a>, String> {
    if !clock::is_uuid(context) {
        return Err(format!("{CONTEXT_HEADER}: it is not one directory id"));
    }
    match entries(tenants).find(|entry| !tenant::is_well_formed(entry)) {
        Some(entry) => Err(format!("{TENANTS_HEADER}: \"{entry}\" is neither a domain nor a directory id")),
        None => Ok(Restriction::AllowList { tenants }),
    }
}

fn cloud_policy(policy: &str) -> Result<Restriction<'_>, String> {
    match policy.split_once(':') {
        Some((own, id)) if clock::is_uuid(own) && clock::is_uuid(id) => Ok(Restriction::CloudPolicy { own }),
        _ => Err(format!("{POLICY_HEADER}: it is not a directory id and a policy id joined by a colon")),
    }
}

/// Microsoft's own examples have a space after the comma, so it is no fault.
fn entries(tenants: &str) -> impl Iterator<Item = &str> {
    tenants.split(',').map(str::trim)
}

const TENANTS_HEADER: &str = "Restrict-Access-To-Tenants";
const CONTEXT_HEADER: &str = "Restrict-Access-Context";
const POLICY_HEADER: &str = "sec-Restrict-Tenant-Access-Policy";

#[cfg(test)]
mod tests {
    use super::super::tenant::Named;
    use super::*;

    const OWN: &str = "bbbbcccc-1111-dddd-2222-eeee3333ffff";

    fn request(headers: &[&str]) -> Request {
        let mut lines = vec!["GET / HTTP/1.1"];
        lines.extend(headers);
        Request::example("login.microsoftonline.com", &lines, "")
    }

    fn code(headers: &[&str], tenant: &str) -> Option<u32> {
        let Named::One(tenant) = Named::of(tenant) else { panic!("{tenant}") };
        let request = request(headers);
        Restriction::of(&request).unwrap().check(tenant).err().map(|denied| denied.code)
    }

    #[test]
    fn without_headers_every_tenant_is_open() {
        assert_eq!(code(&[], "evil.example"), None);
    }

    #[test]
    fn the_list_admits_by_domain_and_by_id_with_or_without_spaces() {
        let list = "Restrict-Access-To-Tenants: contoso.com, aaaabbbb-0000-cccc-1111-dddd2222eeee";
        let headers = [list, "Restrict-Access-Context: bbbbcccc-1111-dddd-2222-eeee3333ffff"];
        assert_eq!(code(&headers, "contoso.onmicrosoft.com"), None);
        assert_eq!(code(&headers, OWN), None);
        assert_eq!(code(&headers, "northwind.example"), None);
        assert_eq!(code(&headers, "evil.example"), Some(500_021));
        assert_eq!(code(&headers, "consumers"), Some(500_021));
    }

    #[test]
    fn the_passthrough_tenant_admits_consumers() {
        let list = "restrict-access-to-tenants: contoso.com,f8cdef31-a31e-4b4a-93e4-5f571e91255a";
        let headers = [list, "restrict-access-context: bbbbcccc-1111-dddd-2222-eeee3333ffff"];
        assert_eq!(code(&headers, "consumers"), None);
    }

    #[test]
    fn the_second_version_admits_the_own_tenant_alone() {
        let policy = format!("sec-Restrict-Tenant-Access-Policy: {OWN}:0d0d0d0d-1111-2222-3333-444444444444");
        assert_eq!(code(&[&policy], OWN), None);
        assert_eq!(code(&[&policy], "evil.example"), Some(5_000_211));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let tenants = "Restrict-Access-To-Tenants: contoso.com";
        let context = "Restrict-Access-Context: bbbbcccc-1111-dddd-2222-eeee3333ffff";
        let policy = "sec-Restrict-Tenant-Access-Policy: restrict-msa";
        for headers in [
            &[tenants][..],
            &[context],
            &[tenants, tenants, context],
            &[tenants, context, context],
            &[tenants, "Restrict-Access-Context: contoso.com"],
            &[
                tenants,
                "Restrict-Access-Context: bbbbcccc-1111-dddd-2222-eeee3333ffff,99999999-9999-9999-9999-999999999999",
            ],
            &["Restrict-Access-To-Tenants: contoso.com,,evil.example", context],
            &["Restrict-Access-To-Tenants:", context],
            &[policy],
            &[tenants, context, policy],
        ] {
            assert!(Restriction::of(&request(headers)).is_err(), "{headers:?}");
        }
    }
}
