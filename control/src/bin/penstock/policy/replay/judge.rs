//! What the appliance would do with a flow, by the functions that it decides with itself.

use penstock_core::policy::{Decision, FlowFacts, Reason, Snapshot};
use penstock_core::quic::QuicReject;
use penstock_core::tls::{ClientHello, HelloReject};

use super::frame::Ends;
use super::report::Unread;

/// Facts of a flow of which only the ends are known. Hosts that have the destination's address are learned by the appliance
/// as it resolves names; a capture does not tell them.
const fn facts(ends: Ends) -> FlowFacts<'static> {
    FlowFacts { destination: Some(ends.destination.ip()), ..FlowFacts::of(ends.source.ip()) }
}

pub(super) fn tcp_hello(snapshot: &Snapshot, ends: Ends, hello: &ClientHello<'_>) -> Decision {
    snapshot.decide(&FlowFacts { sni: hello.sni.as_ref(), ech: hello.ech.is_some(), ..facts(ends) })
}

pub(super) fn tcp_reject(snapshot: &Snapshot, ends: Ends, reject: HelloReject) -> Decision {
    match reject {
        HelloReject::NotTls => snapshot.decide(&FlowFacts { tls: false, ..facts(ends) }),
        _ => snapshot.decide(&facts(ends)).unread(Reason::MalformedHello),
    }
}

pub(super) fn quic_hello(snapshot: &Snapshot, ends: Ends, hello: &ClientHello<'_>) -> Decision {
    tcp_hello(snapshot, ends, hello).over_quic()
}

/// A flow whose beginning was not captured cannot be judged: the appliance would have seen it.
pub(super) fn quic_reject(snapshot: &Snapshot, ends: Ends, reject: QuicReject) -> Result<Decision, Unread> {
    match reject {
        QuicReject::UnknownConnection => Err(Unread::BeginningNotSeen),
        QuicReject::NotQuic => Ok(snapshot.decide(&FlowFacts { tls: false, ..facts(ends) })),
        QuicReject::NameChanged => Ok(snapshot.decide(&facts(ends)).unread(Reason::NameChanged)),
        _ => Ok(snapshot.decide(&facts(ends)).unread(Reason::QuicUnread)),
    }
}
