//! The one exit of every flow: metrics cells and audit event, exactly once.

use penstock_core::audit::{self, Status};
use penstock_core::flow::{Fault, Leg};
use penstock_core::policy::{Reason, Verdict};

use super::record::Flow;
use crate::audit::unix_now_ms;

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
    let learned = flow.learned.borrow();
    let inspected = learned.decision.as_ref().is_some_and(|decision| decision.verdict == Verdict::Inspect);
    let would_deny = closed.reason == Reason::WouldDeny;
    let status = match closed.fault {
        Some(_) if inspected => Status::Fault,
        Some(fault) if closed.verdict == Verdict::Deny && fault.leg == Leg::Downstream => Status::Fault,
        // Every browser asks once without credentials.
        _ if closed.reason == Reason::Credentials && !learned.presented => return,
        _ if closed.verdict == Verdict::Deny && closed.reason != Reason::Fault => Status::Denied,
        _ if would_deny => Status::WouldDeny,
        _ => return,
    };
    drop(learned);
    let mut event = event(flow, status);
    // Only a refusal has a code; how a flow failed stands in `fault`.
    event.code = (status != Status::Fault).then(|| closed.reason.label().to_owned());
    event.fault = closed.fault.map(|fault| fault.to_string());
    flow.shard.audit.record(event);
}

/// An audit event with everything that is known about the flow.
pub(crate) fn event(flow: &Flow, status: Status) -> audit::Event {
    let learned = flow.learned.borrow();
    let decision = learned.decision.as_ref();
    let name = learned.sni.as_ref().map(|sni| sni.as_str().to_owned());
    audit::Event {
        time: audit::timestamp(unix_now_ms()),
        node: flow.shard.config.node.clone(),
        shard: flow.control.id.shard,
        flow: flow.control.id.to_string(),
        source: flow.control.source.ip().to_string(),
        user: learned.who.as_ref().map(|who| who.user.clone()),
        username: learned.who.as_ref().map(|who| username(flow, &who.user)),
        client: learned.agent.clone().or_else(|| learned.ja4.clone()),
        connector: decision.and_then(|decision| decision.connectors.first()).map(|id| id.label().to_owned()),
        profile: decision.and_then(|decision| decision.profile()).map(str::to_owned),
        mode: decision.map(|decision| decision.mode.label().to_owned()),
        epoch: flow.installed.snapshot.epoch(),
        sni: name.or_else(|| learned.authority.as_ref().map(|authority| authority.host.to_string())),
        status: status.label().to_owned(),
        ..audit::Event::default()
    }
}

/// The name as the audit may show it.
fn username(flow: &Flow, user: &str) -> String {
    if flow.shard.config.auth.as_ref().is_some_and(|auth| auth.clear_usernames) {
        return user.to_owned();
    }
    user.chars().take(1).chain("***".chars()).collect()
}
