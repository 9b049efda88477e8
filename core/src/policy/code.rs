//! What kind each finding about a policy is: a word that scripts, dashboards and waivers may stand on.

use serde::{Serialize, Serializer};

use crate::labelled;

labelled! {
    /// The kind of a finding.
    pub enum FindingCode {
        /// An assignment that an earlier one never lets anybody reach.
        AssignmentShadowed = "assignment-shadowed",
        /// A host passes over whose connections browsers may send requests for an inspected host of its site.
        CoalescingPossible = "coalescing-possible",
        /// Legal, and probably not what was meant, in a way that has no word of its own.
        Doubtful = "doubtful",
        /// The two versions of Microsoft's restrictions, side by side.
        EntraVersionsMixed = "entra-versions-mixed",
        /// An exception whose time is over.
        ExceptionExpired = "exception-expired",
        /// An application is restricted, and "Continue with Google" into it is not.
        GoogleLoginOpen = "google-login-open",
        /// A header longer than hosts and other products take.
        HeaderOversize = "header-oversize",
        /// A bypass lets clients go to a restricted host without the restriction.
        HostBypassed = "host-bypassed",
        /// A restricted host is on the deny list: its restriction is never reached.
        HostDenied = "host-denied",
        /// A restricted host is excluded: its restriction is never reached.
        HostExcluded = "host-excluded",
        /// What the document says cannot be read or used, in a way that has no word of its own.
        Invalid = "invalid",
        /// A name or id that stands in documents as an example and belongs to nobody.
        InventedName = "invented-name",
        /// More values than the vendor, or other products, take.
        ListTooLong = "list-too-long",
        /// A wildcard over Microsoft's sign-in hosts that also covers those that ask for client certificates.
        LoginWildcard = "login-wildcard",
        /// The operator's own tenant is not among the permitted ones.
        OwnTenantMissing = "own-tenant-missing",
        /// The field that says whose network this is has no value.
        RequesterMissing = "requester-missing",
        /// Restrictions that cannot stand in one profile.
        RestrictionConflict = "restriction-conflict",
        /// The text is no TOML.
        Syntax = "syntax",
        /// A tenant that stands for all consumer accounts.
        TenantOfConsumers = "tenant-of-consumers",
        /// Microsoft's second version alone, which does not touch the AI vendors' own accounts.
        Trv2LeavesAiOpen = "trv2-leaves-ai-open",
        /// A section, key or name that there is not.
        Unknown = "unknown",
        /// The connector's facts are not confirmed.
        Unverified = "unverified",
        /// A restriction, profile or engine that nothing uses.
        Unused = "unused",
        /// A value that the vendor would not understand, or would understand as something else.
        ValueMalformed = "value-malformed",
        /// A host without the header, by which the restriction can be walked around.
        WayAround = "way-around",
    }
}

impl Serialize for FindingCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}
