//! The words of a decision: what happens to a flow, why, and under which mode.
//!
//! Labels of metrics, fields of audit events, and the output of `penstock explain`.

use crate::labelled;

labelled! {
    /// What happens to a flow.
    pub enum Verdict {
        /// It is refused.
        Deny = "deny",
        /// Both TLS connections end here and request headers are edited.
        Inspect = "inspect",
        /// Two sockets are joined and nothing is read.
        Pass = "pass",
    }
}

labelled! {
    /// Why a flow got its verdict.
    pub enum Reason {
        /// A `[[connect]]` rule opens the port, for whatever is spoken there.
        ConnectRule = "connect_rule",
        /// The client has not said who it is, or not rightly.
        Credentials = "credentials",
        /// The flow goes to an address of a connector's host, and no connector covers the name that it gives, if any.
        ConnectorAddress = "connector_address",
        /// The name is on the policy's deny list.
        DeniedHost = "denied_host",
        /// Encrypted ClientHello that hides a name, which policy does not let through.
        EchDenied = "ech_denied",
        /// Encrypted ClientHello under a public name is rejected under that name, so that the client tries again in clear.
        EchRejected = "ech_rejected",
        /// An exception of the policy lifts every restriction of the host for this user or source, for a while.
        Exception = "exception",
        /// The name is never inspected: the catalogue or the policy excludes it.
        Excluded = "excluded",
        /// The flow failed before a verdict could be carried out; its fault says how.
        Fault = "fault",
        /// A restriction of the profile covers the name.
        InspectedHost = "inspected_host",
        /// The request was for the proxy's listener itself.
        Listener = "listener",
        /// A ClientHello that two readers may read differently.
        MalformedHello = "malformed_hello",
        /// The profile's mode is off.
        ModeOff = "mode_off",
        /// After a HelloRetryRequest the client named another host.
        NameChanged = "name_changed",
        /// The CONNECT request and the ClientHello name different hosts, and one of them is inspected.
        NameMismatch = "name_mismatch",
        /// No assignment covers the source or user.
        NoProfile = "no_profile",
        /// The ClientHello names no host.
        NoSni = "no_sni",
        /// No rule covers the name.
        NotListed = "not_listed",
        /// What the client sent is not TLS.
        NotTls = "not_tls",
        /// The client has refused the minted leaf, and a bypass of the policy covers it for a while.
        PinnedClient = "pinned_client",
        /// The policy refuses plain HTTP, to this host or to all.
        PlainHttp = "plain_http",
        /// The policy opens no tunnel to this port.
        Port = "port",
        /// QUIC to a host that is inspected; the client comes back over TCP.
        Quic = "quic",
        /// QUIC whose first packets were not seen, or cannot be read.
        QuicUnread = "quic_unread",
        /// The name is of one site and one address with an inspected host, and the client may speak a protocol of which
        /// browsers share connections: requests for that host would come over this one, unseen.
        SharedConnection = "shared_connection",
        /// The flow passes because its profile only reports; enforced, it would have been refused.
        WouldDeny = "would_deny",
    }
}

labelled! {
    /// How a profile acts.
    pub enum Mode {
        /// Restrictions are applied.
        Enforce = "enforce",
        /// Nothing is inspected or refused.
        Off = "off",
        /// Flows are inspected and recorded, and forwarded unchanged.
        ReportOnly = "report-only",
    }
}

impl Mode {
    /// The mode that `word` names, spelled exactly.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mode| mode.label() == word)
    }
}
