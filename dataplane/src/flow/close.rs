//! The one exit of every flow: metrics cells and audit event, exactly once.

use penstock_core::audit::{self, Status};
use penstock_core::flow::{Fault, FaultKind, Leg, Phase};
use penstock_core::policy::{Reason, Verdict};
use penstock_core::source::network;

use super::pinned;
use super::record::Flow;
use crate::audit::unix_now_ms;
use crate::config::Config;

/// How a flow ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    pub(crate) verdict: Verdict,
    pub(crate) reason: Reason,
    pub(crate) fault: Option<Fault>,
}

impl Closed {
    pub(crate) const fn of(verdict: Verdict, reason: Reason) -> Self {
        Self { verdict, reason, fault: None }
    }

    /// A flow that failed before a verdict could be carried out.
    pub(crate) const fn fault(fault: Fault) -> Self {
        Self { verdict: Verdict::Deny, reason: Reason::Fault, fault: Some(fault) }
    }

    pub(crate) const fn with_fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }
}

/// Counts the flow, and records it when it was denied or failed on the way to an inspected host. What an inspected
/// flow's requests were is recorded one by one while it lives.
pub(crate) fn close(flow: &Flow, closed: Closed) {
    let cells = &flow.shard.cells;
    cells.flows.add((closed.verdict, closed.reason), 1);
    if let Some(fault) = closed.fault {
        cells.faults.add(fault, 1);
    }
    count_gap(flow, closed);
    let Some(status) = status(flow, closed) else { return };
    let mut event = event(flow, status);
    // Only a refusal or a gap has a code; how a flow failed stands in `fault`.
    event.code = (status != Status::Fault).then(|| closed.reason.label().to_owned());
    event.fault = closed.fault.map(|fault| fault.to_string());
    if closed.fault.is_some_and(pinned::is_refusal) {
        // What a bypass must name.
        event.client = flow.learned.borrow().ja4.clone().or(event.client);
    }
    flow.shard.audit.record(event);
}

/// What the audit says of the flow's end; `None` when it says nothing.
fn status(flow: &Flow, closed: Closed) -> Option<Status> {
    let inspected = flow.learned.borrow().decision.as_ref().is_some_and(|it| it.verdict == Verdict::Inspect);
    match (closed.reason, closed.fault) {
        (_, Some(fault)) if is_overload(fault) => {
            // A flood must not be one of events too: each source is told once in a while.
            let mut refused = flow.shard.refused.borrow_mut();
            refused.is_new(network(flow.source()), flow.control.now_ms()).then_some(Status::Fault)
        }
        (_, Some(_)) if inspected => Some(Status::Fault),
        (_, Some(fault)) if closed.verdict == Verdict::Deny && fault.leg == Leg::Downstream => Some(Status::Fault),
        // Every browser asks once without credentials.
        (Reason::Credentials, _) if !flow.learned.borrow().presented => None,
        (Reason::EchRejected, Some(_)) => Some(Status::Fault),
        // The client comes back under its true name; that flow is the one that matters.
        (Reason::EchRejected, None) => None,
        (reason, _) if closed.verdict == Verdict::Deny && reason != Reason::Fault => Some(Status::Denied),
        (Reason::Exception | Reason::PinnedClient, _) => Some(Status::Allowed),
        (Reason::WouldDeny, _) => Some(Status::WouldDeny),
        (Reason::ConnectorAddress | Reason::SharedConnection, _) if !inspected => {
            // Thousands of hosts share a provider's addresses: each is told once in a while.
            let key = (flow.source(), flow.learned.borrow().sni.clone());
            flow.shard.reported.borrow_mut().is_new(key, flow.control.now_ms()).then_some(Status::WouldDeny)
        }
        _ => None,
    }
}

/// Whether the flow was refused for a limit of flows.
const fn is_overload(fault: Fault) -> bool {
    matches!(
        fault,
        Fault { phase: Phase::Accept, kind: FaultKind::Memory | FaultKind::SourceFull | FaultKind::TooMany, .. }
            | Fault { phase: Phase::Sniff, kind: FaultKind::Memory, .. }
    )
}

fn count_gap(flow: &Flow, closed: Closed) {
    let learned = flow.learned.borrow();
    let connector = learned.decision.as_ref().and_then(|decision| decision.connectors.first());
    if let (Reason::PinnedClient, Some(connector)) = (closed.reason, connector) {
        flow.shard.cells.coverage_gaps.add(*connector, 1);
    }
}

/// An audit event with everything that is known about the flow.
pub(crate) fn event(flow: &Flow, status: Status) -> audit::Event {
    let learned = flow.learned.borrow();
    let decision = learned.decision.as_ref();
    let source = flow.source();
    let snapshot = &flow.installed.snapshot;
    let user = learned.who.as_ref().map(|who| who.user.as_str()).or_else(|| snapshot.user_of(source));
    let name = learned.sni.as_ref().map(|sni| sni.as_str().to_owned());
    audit::Event {
        time: audit::timestamp(unix_now_ms()),
        node: flow.shard.config.node.clone(),
        site: snapshot.site_of(source).map(str::to_owned),
        shard: flow.control.id.shard,
        flow: flow.control.id.to_string(),
        source: source.to_string(),
        user: user.map(str::to_owned),
        username: user.map(|user| username(&flow.shard.config, user)),
        client: learned.agent.clone().or_else(|| learned.ja4.clone()),
        connector: decision.and_then(|decision| decision.connectors.first()).map(|id| id.label().to_owned()),
        profile: decision.and_then(|decision| decision.profile()).map(str::to_owned),
        mode: decision.map(|decision| decision.mode.label().to_owned()),
        epoch: snapshot.epoch(),
        sni: name.or_else(|| learned.authority.as_ref().map(|authority| authority.host.to_string())),
        status: status.label().to_owned(),
        ..audit::Event::default()
    }
}

/// The name as the audit may show it.
pub(crate) fn username(config: &Config, user: &str) -> String {
    if config.auth.as_ref().is_some_and(|auth| auth.clear_usernames) {
        return user.to_owned();
    }
    user.chars().take(1).chain("***".chars()).collect()
}
