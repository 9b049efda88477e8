//! Clients that refuse the minted leaf: told each time, and let pass for a while only where a bypass of the policy names
//! their machine, their fingerprint and the host.

use std::time::{Duration, Instant};

use penstock_core::flow::{Fault, FaultKind, Leg, Phase};

use super::record::Flow;
use crate::shard::PinnedClient;

/// Whether the flow's client has refused the leaf before and may pass: a bypass of the policy in force covers it still.
pub(super) fn passes(flow: &Flow) -> bool {
    let Some(client) = client(flow) else { return false };
    bypass(flow, &client).is_some() && flow.shard.pinned.holds(&client, Instant::now())
}

/// Remembers a client that has refused the leaf, by an alert or by leaving in the handshake, where a bypass covers it.
pub(super) fn handle_fault(flow: &Flow, fault: Fault) {
    if !is_refusal(fault) {
        return;
    }
    let Some(client) = client(flow) else { return };
    let Some(span) = bypass(flow, &client) else { return };
    if !flow.shard.pinned.insert(client, span, Instant::now()) {
        tracing::warn!(source = %flow.source(), "too many clients refuse the certificate: one more stays refused");
    }
}

/// Whether the downstream did not like what it was shown: browsers say so, libraries often just hang up.
pub(super) const fn is_refusal(fault: Fault) -> bool {
    matches!((fault.leg, fault.phase), (Leg::Downstream, Phase::Handshake))
        && matches!(fault.kind, FaultKind::Closed | FaultKind::ConnectionReset | FaultKind::Untrusted)
}

fn client(flow: &Flow) -> Option<PinnedClient> {
    let learned = flow.learned.borrow();
    let (ja4, host) = (learned.ja4.clone()?, learned.sni.clone()?);
    Some(PinnedClient { source: flow.source(), ja4, host })
}

fn bypass(flow: &Flow, client: &PinnedClient) -> Option<Duration> {
    let seconds = flow.installed.snapshot.bypass_seconds(client.source, &client.ja4, &client.host)?;
    Some(Duration::from_secs(seconds.into()))
}
