//! What happens to a flow: one pure function for the data plane, `penstock explain` and every test.
//!
//! Order: who (assignment), how (mode), and then the names: denied, contradicting, excluded, inspected, not listed.
//! Nothing is allocated and nothing is read but the snapshot.

use alloc::string::String;
use alloc::sync::Arc;
use core::net::IpAddr;

use super::header_edit::ConnectorIds;
use super::index::HostMarks;
use super::snapshot::Profile;
use super::{Engines, HeaderEdit, Mode, Reason, Snapshot, Verdict};
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
    /// Whether the client began with a ClientHello.
    pub tls: bool,
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
        let sni = facts.sni.map(|name| self.hosts.find(name.as_str()));
        let authority = match (facts.authority, facts.sni) {
            (Some(authority), Some(sni)) if authority == sni => None,
            (Some(authority), _) => Some(self.hosts.find(authority.as_str())),
            (None, _) => None,
        };
        if [sni, authority].into_iter().flatten().any(|marks| marks.denied) {
            return self.refusal(Reason::DeniedHost, profile);
        }
        match (sni, authority) {
            (Some(sni), Some(authority)) if profile.covers(sni) || profile.covers(authority) => {
                self.refusal(Reason::NameMismatch, profile)
            }
            (Some(marks), authority) => {
                let excluded = marks.excluded || authority.is_some_and(|marks| marks.excluded);
                self.by_name(facts.sni, marks, excluded, profile)
            }
            (None, authority) => self.without_name(facts, authority, profile),
        }
    }

    pub(super) fn by_name(&self, name: Option<&Sni>, marks: HostMarks, excluded: bool, profile: &Profile) -> Decision {
        if excluded {
            return self.outcome(Verdict::Pass, Reason::Excluded, Some(profile));
        }
        let Some(edit) = profile.edit_for(marks) else {
            return self.outcome(Verdict::Pass, Reason::NotListed, Some(profile));
        };
        Decision {
            verdict: Verdict::Inspect,
            reason: Reason::InspectedHost,
            mode: profile.mode,
            connectors: edit.connectors().into(),
            edit: Arc::clone(edit),
            engines: name.map_or_else(Engines::default, |name| self.engines.find(name)),
        }
    }

    /// Without a name in a ClientHello nothing can be inspected: what aims at an inspected host is refused.
    fn without_name(&self, facts: &FlowFacts<'_>, authority: Option<HostMarks>, profile: &Profile) -> Decision {
        let is_opened = !facts.tls && self.opens(facts.authority, facts.port);
        let (reason, default) = if is_opened {
            (Reason::ConnectRule, Verdict::Pass)
        } else if facts.tls {
            (Reason::NoSni, self.defaults.no_sni)
        } else {
            (Reason::NotTls, self.defaults.not_tls)
        };
        let excluded = authority.is_some_and(|marks| marks.excluded);
        let inspected = authority.is_some_and(|marks| profile.covers(marks));
        match (excluded, inspected || default == Verdict::Deny) {
            (true, _) => self.outcome(Verdict::Pass, Reason::Excluded, Some(profile)),
            (false, true) => self.refusal(reason, profile),
            (false, false) => self.outcome(Verdict::Pass, reason, Some(profile)),
        }
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
