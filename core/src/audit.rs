//! The audit event: one record per request on an inspected flow, or per end of a flow that was not inspected but
//! matters (denied, faulted).
//!
//! The field names are the columns of the report and never change. There is no field for a header value, a query
//! string, a body, a cookie or a token, so none can be recorded by mistake.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::labelled;

labelled! {
    /// What became of the request or flow.
    pub enum Status {
        /// It went through, as far as the appliance can see.
        Allowed = "allowed",
        /// The vendor refused it, or policy did.
        Denied = "denied",
        /// It failed for another reason; `fault` says which.
        Fault = "fault",
        /// Report-only: enforcement would have changed it.
        WouldDeny = "would_deny",
    }
}

/// One audit event. Absent facts are absent from the JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// RFC 3339, UTC, milliseconds.
    pub time: String,
    /// Name of the data plane that saw it.
    pub node: String,
    /// Site that the source belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Shard number.
    pub shard: u16,
    /// Flow id, unique on its node until the process restarts.
    pub flow: String,
    /// The inside host's address.
    pub source: String,
    /// User id, when the listener knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Human-readable user name, masked unless the operator turned it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The vendor's application, as far as the request tells (an OAuth client id, a product name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The client software: product token of User-Agent, else the JA4 fingerprint of the ClientHello.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Catalogue id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
    /// Profile in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// enforce, report-only or off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Epoch of the snapshot in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The host name of the ClientHello, normalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// "1.1" or "2".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Request method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Request path without query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Tenant that the sign-in aims at, as the request names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_tenant: Option<String>,
    /// A [`Status`] label.
    pub status: String,
    /// The vendor's denial code, or the reason of a denial by policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The vendor's own id of the request, for a support case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_request_id: Option<String>,
    /// Names of the headers that were set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers_set: Vec<String>,
    /// Names of the headers that the client had sent and that were removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers_stripped: Vec<String>,
    /// `leg/phase/kind`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// `fault` of an event that is no flow's: a data plane was killed, and what it had not written is missing here.
pub const AUDIT_GAP: &str = "process/audit/gap";

/// Writes a moment, in milliseconds since 1970-01-01T00:00:00Z, as RFC 3339 in UTC.
pub fn timestamp(unix_ms: u64) -> String {
    let (seconds, millis) = (unix_ms / 1000, unix_ms % 1000);
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    alloc::format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Gregorian date of a day counted from 1970-01-01. The year is taken to begin on the first of March, so that the
/// leap day comes last and month lengths repeat every five months (153 days).
pub fn civil_from_days(days: u64) -> (u64, u64, u64) {
    const DAYS_FROM_0000_03_01: u64 = 719_468;
    let shifted = days + DAYS_FROM_0000_03_01;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rfc_3339() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(timestamp(1_795_305_599_999), "2026-11-21T23:59:59.999Z");
        assert_eq!(timestamp(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }
}
