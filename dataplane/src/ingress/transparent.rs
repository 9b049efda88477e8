//! Transparent listeners: the client knows of no proxy, and the kernel says where it wanted to go.

use std::net::SocketAddr;

use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::policy::destination;

use crate::flow::Flow;
use crate::ring;

/// Where a client that was redirected to the listener at `listens_on` wanted to go, if that may be dialled.
pub(crate) fn redirected(flow: &Flow, listens_on: SocketAddr) -> Result<SocketAddr, Fault> {
    let local = local_address(flow)?;
    // Without connection tracking, or an entry of it, nothing was redirected.
    check(flow.control.downstream.original_destination().unwrap_or(local), listens_on)
}

/// The same behind nftables `tproxy`.
pub(crate) fn proxied(flow: &Flow, listens_on: SocketAddr) -> Result<SocketAddr, Fault> {
    check(local_address(flow)?, listens_on)
}

fn local_address(flow: &Flow) -> Result<SocketAddr, Fault> {
    flow.control.downstream.local_address().map_err(|_| Fault::downstream(Phase::Accept, FaultKind::Closed))
}

/// A connection that came to the listener itself, past the rules of the kernel, would make the listener dial itself; one
/// to another address of this machine would reach services that are for this machine alone, and the firewall's rules for
/// what is forwarded would not see it.
fn check(wanted: SocketAddr, listens_on: SocketAddr) -> Result<SocketAddr, Fault> {
    let refuse = |kind| Err(Fault::downstream(Phase::Accept, kind));
    let wanted = SocketAddr::new(wanted.ip().to_canonical(), wanted.port());
    if ring::is_own(wanted.ip()) {
        let is_listener = wanted.port() == listens_on.port();
        return refuse(if is_listener { FaultKind::Loop } else { FaultKind::AddressForbidden });
    }
    if destination::check_steered(wanted.ip()).is_some() {
        return refuse(FaultKind::AddressForbidden);
    }
    Ok(wanted)
}
