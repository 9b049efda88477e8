//! Why a flow would be treated as it would, in the form that `penstock explain --json` and the admin API print.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::header_edit::SetHeader;
use super::{Engines, FlowFacts, Mode, ShownEngines, ShownException, Snapshot, Verdict, destination};

/// A decision as it is shown. The keys are a contract with scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// inspect, pass or deny.
    pub verdict: &'static str,
    /// A [`Reason`](super::Reason).
    pub reason: &'static str,
    /// The `[[site]]` of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Who the user is: as asked, else the `[[user]]` of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The profile in force, if any.
    pub profile: Option<String>,
    /// enforce, report-only or off.
    pub mode: &'static str,
    /// The number of the snapshot; null for one that was not published.
    pub epoch: Option<u64>,
    /// The connectors that cover the host.
    pub connectors: Vec<&'static str>,
    /// What is set on each request.
    pub set: Vec<SetHeader>,
    /// Names of the headers that are removed when the client sends them.
    pub strip: Vec<String>,
    /// What report-only leaves unset.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub would_set: Vec<SetHeader>,
    /// What report-only leaves in place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub would_strip: Vec<String>,
    /// What ends and begins TLS, where an `[[engine]]` of the policy says other than rustls on both legs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engines: Option<ShownEngines>,
    /// Why the destination, where one was given, is not dialled even so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_refused: Option<&'static str>,
    /// The `[[exception]]` that lifts restrictions of the host for this flow, now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<ShownException>,
    /// For how long the client, whose fingerprint was given, is passed once it has refused the minted leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bypass_seconds: Option<u32>,
}

impl Explanation {
    /// Adds what the policy's bypasses say of a client with this JA4 fingerprint.
    pub fn with_client(mut self, snapshot: &Snapshot, facts: &FlowFacts<'_>, ja4: &str) -> Self {
        let inspected = facts.sni.filter(|_| self.verdict == Verdict::Inspect.label());
        self.bypass_seconds = inspected.and_then(|sni| snapshot.bypass_seconds(facts.source, ja4, sni));
        self
    }
}

/// Decides and tells why.
pub fn explain(snapshot: &Snapshot, facts: &FlowFacts<'_>) -> Explanation {
    let decision = snapshot.decide(facts);
    let names = || decision.edit.strip_names().map(ToString::to_string).collect();
    let inspected = decision.verdict == Verdict::Inspect;
    let in_mode = |mode| inspected && decision.mode == mode;
    Explanation {
        verdict: decision.verdict.label(),
        reason: decision.reason.label(),
        site: snapshot.site_of(facts.source).map(ToString::to_string),
        user: facts.user.or_else(|| snapshot.user_of(facts.source)).map(ToString::to_string),
        profile: decision.profile().map(ToString::to_string),
        mode: decision.mode.label(),
        epoch: snapshot.epoch(),
        connectors: decision.connectors.iter().map(|id| id.label()).collect(),
        set: decision.edit.set().to_vec(),
        strip: if in_mode(Mode::Enforce) { names() } else { Vec::new() },
        would_set: decision.edit.would_set().to_vec(),
        would_strip: if in_mode(Mode::ReportOnly) { names() } else { Vec::new() },
        engines: (decision.engines != Engines::default()).then(|| decision.engines.into()),
        exception: facts.sni.and_then(|name| snapshot.exception_for(name.as_str(), facts)).cloned(),
        bypass_seconds: None,
        destination_refused: facts.destination.and_then(destination::check).map(|forbidden| forbidden.label()),
    }
}
