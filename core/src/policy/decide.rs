//! What happens to a flow: one pure function for the data plane, `penstock explain` and every test.
//!
//! Order: who (assignment), how (mode), and then the names: denied, hidden by ECH, contradicting, excluded, inspected, not
//! listed. What a flow's address tells counts only where no name does.
//! Nothing is allocated and nothing is read but the snapshot.

use alloc::string::String;
use alloc::sync::Arc;
use core::net::IpAddr;

use super::evasion::{AddressMode, EchMode};
use super::header_edit::ConnectorIds;
use super::index::HostMarks;
use super::snapshot::Profile;
use super::{Engines, HeaderEdit, Mode, Reason, Snapshot, Verdict};
use crate::catalogue;
use crate::sni::Sni;

/// What is known about a flow when it is decided.
#[derive(Clone, Copy, Debug)]
pub struct FlowFacts<'facts> {
    /// The inside host.
    pub source: IpAddr,
    /// Who uses it, where the listener knows.
    pub user: Option<&'facts str>,
    /// The groups of the user.
    pub groups: &'facts [String],
    /// The name in the ClientHello.
    pub sni: Option<&'facts Sni>,
    /// The name in the CONNECT request; `None` when that held an address.
    pub authority: Option<&'facts Sni>,
    /// The port that goes with `authority`, where the client named one.
    pub port: Option<u16>,
    /// The address that is or would be dialled, where known. The decision does not depend on it: whether it may be
    /// dialled is asked of [`destination`](super::destination) when it is resolved.
    pub destination: Option<IpAddr>,
    /// Hosts that have that address, as far as the data plane has learned.
    pub destination_hosts: &'facts [Sni],
    /// Whether the client began with a ClientHello.
    pub tls: bool,
    /// Whether that offers Encrypted ClientHello, or seems to: GREASE looks the same (RFC 9849 section 6.2).
    pub ech: bool,
    /// Whether the client may speak HTTP/2 or HTTP/3, whose connections browsers share among hosts of one address.
    pub multiplexed: bool,
    /// Unix time in milliseconds. Without it no `[[exception]]` counts.
    pub unix_ms: Option<u64>,
}

impl FlowFacts<'_> {
    /// A TLS flow of `source`, of which nothing else is known.
    pub const fn of(source: IpAddr) -> Self {
        Self {
            source,
            user: None,
            groups: &[],
            sni: None,
            authority: None,
            port: None,
            destination: None,
            destination_hosts: &[],
            tls: true,
            ech: false,
            multiplexed: true,
            unix_ms: None,
        }
    }
}

/// A verdict, and all that acting on it and recording it takes.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What happens.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// How the profile acts; off when there is none.
    pub mode: Mode,
    /// The connectors that cover the host; none unless it is inspected.
    pub connectors: ConnectorIds,
    /// What is done to requests, nothing unless the flow is inspected; knows its profile.
    pub edit: Arc<HeaderEdit>,
    /// What ends and begins TLS; means nothing unless the flow is inspected.
    pub engines: Engines,
}

impl Decision {
    /// The profile in force for the source and user.
    pub fn profile(&self) -> Option<&str> {
        self.edit.profile()
    }

    /// What becomes of an inspection when a bypass covers the client, which has refused the minted leaf: it passes, and
    /// is counted and recorded as a gap.
    pub const fn bypassed(mut self) -> Self {
        self.verdict = Verdict::Pass;
        self.reason = Reason::PinnedClient;
        self
    }

    /// What becomes of a flow over QUIC: nothing can be inspected there, and the client comes back over TCP.
    pub const fn over_quic(mut self) -> Self {
        if matches!(self.verdict, Verdict::Inspect) {
            self.verdict = Verdict::Deny;
            self.reason = Reason::Quic;
        }
        self
    }

    /// What becomes of a flow whose beginning a server may read otherwise than we do: it is refused whatever it names, to
    /// all whom a profile governs. In report-only mode it passes.
    pub const fn unread(mut self, reason: Reason) -> Self {
        (self.verdict, self.reason) = match self.mode {
            Mode::Enforce => (Verdict::Deny, reason),
            Mode::Off => return self,
            Mode::ReportOnly => (Verdict::Pass, Reason::WouldDeny),
        };
        self
    }
}

impl Snapshot {
    /// Decides a flow.
    pub fn decide(&self, facts: &FlowFacts<'_>) -> Decision {
        let Some(profile) = self.profile_for(facts.source, facts.user, facts.groups) else {
            return self.outcome(Verdict::Pass, Reason::NoProfile, None);
        };
        if profile.mode == Mode::Off {
            return self.outcome(Verdict::Pass, Reason::ModeOff, Some(profile));
        }
        let sni = facts.sni.map(|name| self.marks_for(name.as_str(), facts, profile));
        let authority = match (facts.authority, facts.sni) {
            (Some(authority), Some(sni)) if authority == sni => None,
            (Some(authority), _) => Some(self.marks_for(authority.as_str(), facts, profile)),
            (None, _) => None,
        };
        if [sni, authority].into_iter().flatten().any(|marks| marks.denied) {
            return self.refusal(Reason::DeniedHost, profile);
        }
        if let Some(decision) = self.by_ech(facts, sni, authority, profile) {
            return decision;
        }
        match (sni, authority) {
            (Some(sni), Some(authority)) if profile.covers(sni) || profile.covers(authority) => {
                self.refusal(Reason::NameMismatch, profile)
            }
            (Some(sni), authority) => {
                let excluded = sni.excluded || authority.is_some_and(|marks| marks.excluded);
                self.by_name(facts, sni, excluded, profile)
            }
            (None, authority) => self.without_name(facts, authority, profile),
        }
    }

    /// A hello with ECH under a name that hides others. Under an inspected name it is inspected like any other: either the
    /// extension is GREASE, or our own answer rejects it.
    fn by_ech(
        &self,
        facts: &FlowFacts<'_>,
        sni: Option<HostMarks>,
        authority: Option<HostMarks>,
        profile: &Profile,
    ) -> Option<Decision> {
        let (name, marks) = (facts.sni.filter(|_| facts.ech)?, sni?);
        if marks.excluded || profile.covers(marks) {
            return None;
        }
        let listed = self.evasion.is_ech_public_name(name.as_str());
        let aims_at_inspected = authority.is_some_and(|marks| profile.covers(marks));
        match self.evasion.ech {
            EchMode::Reject if listed => Some(self.outcome(Verdict::Deny, Reason::EchRejected, Some(profile))),
            EchMode::Deny if listed => Some(self.refusal(Reason::EchDenied, profile)),
            // Nothing can be minted for a name that is not listed.
            EchMode::Deny | EchMode::Reject if aims_at_inspected => Some(self.refusal(Reason::EchDenied, profile)),
            _ => None,
        }
    }

    pub(super) fn by_name(
        &self,
        facts: &FlowFacts<'_>,
        marks: HostMarks,
        excluded: bool,
        profile: &Profile,
    ) -> Decision {
        if excluded {
            let lifted = facts.sni.is_some_and(|name| marks.excluded && !self.hosts.find(name.as_str()).excluded);
            let watches = self.evasion.connector_addresses.value != AddressMode::Pass;
            let reason = if lifted {
                Reason::Exception
            } else if watches && self.sibling(facts, profile).is_some() {
                Reason::SharedConnection
            } else {
                Reason::Excluded
            };
            return self.outcome(Verdict::Pass, reason, Some(profile));
        }
        match profile.edit_for(marks) {
            Some(edit) => self.inspection(facts, profile, edit, Reason::InspectedHost),
            None => self.not_listed(facts, profile),
        }
    }

    fn inspection(&self, facts: &FlowFacts<'_>, profile: &Profile, edit: &Arc<HeaderEdit>, reason: Reason) -> Decision {
        Decision {
            verdict: Verdict::Inspect,
            reason,
            mode: profile.mode,
            connectors: edit.connectors().into(),
            edit: Arc::clone(edit),
            engines: facts.sni.map_or_else(Engines::default, |name| self.engines.find(name)),
        }
    }

    /// A name that no rule covers; what tells is where it leads.
    fn not_listed(&self, facts: &FlowFacts<'_>, profile: &Profile) -> Decision {
        let mode = self.evasion.connector_addresses.value;
        if mode == AddressMode::Pass || !self.is_connector_address(facts, profile) {
            return self.outcome(Verdict::Pass, Reason::NotListed, Some(profile));
        }
        match (mode, self.sibling(facts, profile).and_then(|marks| profile.edit_for(marks))) {
            (AddressMode::Deny, _) => self.refusal(Reason::ConnectorAddress, profile),
            // A leaf of its own covers no second name, so nothing else comes over its connections.
            (AddressMode::Separate, Some(edit)) => self.inspection(facts, profile, edit, Reason::SharedConnection),
            (_, Some(_)) => self.outcome(Verdict::Pass, Reason::SharedConnection, Some(profile)),
            (_, None) => self.outcome(Verdict::Pass, Reason::ConnectorAddress, Some(profile)),
        }
    }

    /// Without a name in a ClientHello nothing can be inspected: what aims at an inspected host, by name or by address,
    /// is refused.
    fn without_name(&self, facts: &FlowFacts<'_>, authority: Option<HostMarks>, profile: &Profile) -> Decision {
        let is_opened = !facts.tls && self.opens(facts.authority, facts.port);
        let (reason, default) = if is_opened {
            (Reason::ConnectRule, Verdict::Pass)
        } else if facts.tls {
            (Reason::NoSni, self.defaults.no_sni)
        } else {
            (Reason::NotTls, self.defaults.not_tls)
        };
        if authority.is_some_and(|marks| marks.excluded) {
            return self.outcome(Verdict::Pass, Reason::Excluded, Some(profile));
        }
        if authority.is_some_and(|marks| profile.covers(marks)) || default == Verdict::Deny {
            return self.refusal(reason, profile);
        }
        let watches = self.evasion.connector_addresses.value != AddressMode::Pass && !is_opened;
        if watches && self.is_connector_address(facts, profile) {
            return self.refusal(Reason::ConnectorAddress, profile);
        }
        self.outcome(Verdict::Pass, reason, Some(profile))
    }

    /// Whether the flow goes to an address that a host inspected for this profile has.
    fn is_connector_address(&self, facts: &FlowFacts<'_>, profile: &Profile) -> bool {
        facts.destination_hosts.iter().any(|host| profile.covers(self.hosts.find(host.as_str())))
    }

    /// The inspected host for which a browser would send requests over this flow: the flow goes to its address under
    /// another name of the same site, within which browsers share connections. Through a proxy they do not, since they do
    /// not learn addresses.
    fn sibling(&self, facts: &FlowFacts<'_>, profile: &Profile) -> Option<HostMarks> {
        let name = facts.sni.filter(|_| facts.tls && facts.multiplexed && facts.authority.is_none())?;
        if facts.destination_hosts.is_empty() {
            return None;
        }
        let site = catalogue::site(name.as_str())?;
        let of_site = facts.destination_hosts.iter().filter(|host| catalogue::site(host.as_str()) == Some(site));
        of_site.map(|host| self.hosts.find(host.as_str())).find(|marks| profile.covers(*marks))
    }

    /// A refusal, or what report-only makes of it.
    pub(super) fn refusal(&self, reason: Reason, profile: &Profile) -> Decision {
        match profile.mode {
            Mode::Enforce => self.outcome(Verdict::Deny, reason, Some(profile)),
            Mode::Off | Mode::ReportOnly => self.outcome(Verdict::Pass, Reason::WouldDeny, Some(profile)),
        }
    }

    pub(super) fn outcome(&self, verdict: Verdict, reason: Reason, profile: Option<&Profile>) -> Decision {
        Decision {
            verdict,
            reason,
            mode: profile.map_or(Mode::Off, |profile| profile.mode),
            connectors: ConnectorIds::new(),
            edit: Arc::clone(profile.map_or(&self.no_edit, |profile| &profile.no_edit)),
            engines: Engines::default(),
        }
    }
}

impl Profile {
    pub(super) fn covers(&self, marks: HostMarks) -> bool {
        !marks.excluded && self.edit_for(marks).is_some()
    }

    fn edit_for(&self, marks: HostMarks) -> Option<&Arc<HeaderEdit>> {
        self.edits.get(marks.inspected?.place())?.as_ref()
    }
}
