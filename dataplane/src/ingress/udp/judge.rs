//! Decision, metrics and audit of a flow.
//!
//! The same snapshot answers as for TCP. Nothing can be inspected here: what would be is refused, as is what cannot be read, to
//! all whom a profile governs. In report-only mode too: over TCP the client is seen.

use std::time::Instant;

use penstock_core::audit::{self, Status};
use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::policy::{Decision, FlowFacts, Reason, Snapshot, Verdict};
use penstock_core::quic::QuicReject;
use penstock_core::tls::ClientHello;

use super::flows::{Ends, UdpFlow};
use crate::audit::unix_now_ms;
use crate::flow::username;
use crate::shard::Shard;

/// Whether a flow passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It does, read or unread.
    Pass,
    Refuse,
}

/// Whether nobody minds what this source does.
pub(super) fn is_free(snapshot: &Snapshot, ends: Ends) -> bool {
    let decision = snapshot.decide(&FlowFacts::of(ends.source.ip()));
    matches!(decision.reason, Reason::ModeOff | Reason::NoProfile)
}

/// Judges a ClientHello.
pub(super) fn hello(shard: &Shard, snapshot: &Snapshot, ends: Ends, hello: &ClientHello<'_>) -> Decision {
    let facts = FlowFacts { sni: hello.sni.as_ref(), ech: hello.ech.is_some(), ..FlowFacts::of(ends.source.ip()) };
    ask(shard, snapshot, ends, facts).over_quic()
}

/// Judges what has no ClientHello that can be read.
pub(super) fn reject(shard: &Shard, snapshot: &Snapshot, ends: Ends, reject: QuicReject) -> Decision {
    let facts = FlowFacts::of(ends.source.ip());
    if reject == QuicReject::NotQuic {
        return ask(shard, snapshot, ends, FlowFacts { tls: false, ..facts });
    }
    shard.cells.faults.add(Fault::downstream(Phase::Sniff, fault_kind(reject)), 1);
    let reason = if reject == QuicReject::NameChanged { Reason::NameChanged } else { Reason::QuicUnread };
    ask(shard, snapshot, ends, facts).unread(reason)
}

/// Counts a decision and records it where it matters: each refusal of a name to a source once in a while, since clients try
/// QUIC again and again.
pub(super) fn record(shard: &Shard, snapshot: &Snapshot, ends: Ends, flow: &UdpFlow, decision: &Decision) -> Judgement {
    shard.cells.flows.add((decision.verdict, decision.reason), 1);
    let (judgement, status) = match (decision.verdict, decision.reason) {
        (Verdict::Pass, Reason::ConnectorAddress | Reason::SharedConnection | Reason::WouldDeny) => {
            (Judgement::Pass, Some(Status::WouldDeny))
        }
        (Verdict::Pass, _) => (Judgement::Pass, None),
        (Verdict::Deny | Verdict::Inspect, _) => (Judgement::Refuse, Some(Status::Denied)),
    };
    let source = ends.source.ip();
    let user = snapshot.user_of(source);
    let key = (source, flow.name.clone());
    let Some(status) = status.filter(|_| shard.reported.borrow_mut().is_new(key, shard.now_ms())) else {
        return judgement;
    };
    shard.audit.record(audit::Event {
        time: audit::timestamp(unix_now_ms()),
        node: shard.config.node.clone(),
        shard: shard.index,
        flow: format!("{:x}-u-{:x}", shard.index, flow.number),
        site: snapshot.site_of(source).map(str::to_owned),
        source: source.to_string(),
        user: user.map(str::to_owned),
        username: user.map(|user| username(&shard.config, user)),
        connector: decision.connectors.first().map(|id| id.label().to_owned()),
        profile: decision.profile().map(str::to_owned),
        mode: Some(decision.mode.label().to_owned()),
        epoch: snapshot.epoch(),
        sni: flow.name.as_ref().map(ToString::to_string),
        status: status.label().to_owned(),
        code: Some(decision.reason.label().to_owned()),
        ..audit::Event::default()
    });
    judgement
}

fn ask(shard: &Shard, snapshot: &Snapshot, ends: Ends, facts: FlowFacts<'_>) -> Decision {
    let mut hosts = shard.addresses.hosts_at(ends.destination.ip(), Instant::now());
    hosts.extend_from_slice(shard.config.upstream.hosts.names_at(ends.destination));
    let (destination, unix_ms) = (Some(ends.destination.ip()), Some(unix_now_ms()));
    snapshot.decide(&FlowFacts { destination, destination_hosts: &hosts, unix_ms, ..facts })
}

const fn fault_kind(reject: QuicReject) -> FaultKind {
    match reject {
        QuicReject::ConflictingCrypto
        | QuicReject::Frame
        | QuicReject::Hello
        | QuicReject::NotQuic
        | QuicReject::UnknownConnection
        | QuicReject::UnknownVersion => FaultKind::Malformed,
        QuicReject::NameChanged => FaultKind::NameChanged,
        QuicReject::TooLong => FaultKind::TooLarge,
        QuicReject::TooMany => FaultKind::TooMany,
    }
}
