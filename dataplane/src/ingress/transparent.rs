//! Transparent listeners: the client knows of no proxy, and the kernel says where it wanted to go.

use std::net::SocketAddr;

use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::policy::destination;

use crate::config::{Steering, TransparentListener};
use crate::flow::Flow;
use crate::ring;

/// Where the flow's client wanted to go, if that may be dialled.
///
/// A connection that came to the listener itself, past the rules of the kernel, would make the listener dial itself; one
/// to another address of this machine would reach services that are for this machine alone, and the firewall's rules for
/// what is forwarded would not see it.
pub(crate) fn destination(flow: &Flow, listener: TransparentListener) -> Result<SocketAddr, Fault> {
    let refuse = |kind| Err(Fault::downstream(Phase::Accept, kind));
    let downstream = &*flow.control.downstream;
    let Ok(local) = downstream.local_address() else { return refuse(FaultKind::Closed) };
    let wanted = match listener.steering {
        // Without connection tracking, or an entry of it, nothing was redirected.
        Steering::Redirect => downstream.original_destination().unwrap_or(local),
        Steering::Tproxy => local,
    };
    let wanted = SocketAddr::new(wanted.ip().to_canonical(), wanted.port());
    if ring::is_own(wanted.ip()) {
        let is_listener = wanted.port() == listener.address.port();
        return refuse(if is_listener { FaultKind::Loop } else { FaultKind::AddressForbidden });
    }
    if destination::check_steered(wanted.ip()).is_some() {
        return refuse(FaultKind::AddressForbidden);
    }
    Ok(wanted)
}
