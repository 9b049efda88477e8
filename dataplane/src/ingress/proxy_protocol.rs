//! The PROXY protocol header ahead of a connection's bytes: who may send one, and what it changes.
//!
//! A listener believes the sources that its configuration trusts and nobody else: a header is a claim about where somebody
//! else comes from, and policy follows it. Every kind of listener reads it here, ahead of whatever else it reads.

use std::io::ErrorKind;
use std::sync::Arc;

use penstock_core::bytes::Parsed;
use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::proxy::proxy_protocol::{Header, HeaderReject, Tlvs, parse};
use penstock_core::users::is_user_name;

use crate::auth::Who;
use crate::config::{HeaderUser, ProxyProtocol, ProxyProtocolMode};
use crate::flow::Flow;

/// Reads the header, where `setting` has one, and lets the flow be what it says. `false` when the peer has left without a
/// byte, as the checks of balancers do. What was received and is no part of the header stays in `received`.
pub(crate) async fn read_header(flow: &Flow, setting: &ProxyProtocol, received: &mut Vec<u8>) -> Result<bool, Fault> {
    match (setting.mode, setting.trusts(flow.control.source.ip())) {
        // What such a peer sends ahead is a request like any other, and a header is none.
        (ProxyProtocolMode::Off, _) | (ProxyProtocolMode::Optional, false) => return Ok(true),
        (ProxyProtocolMode::Required, false) => return Err(fault(FaultKind::SourceForbidden)),
        (ProxyProtocolMode::Optional | ProxyProtocolMode::Required, true) => {}
    }
    flow.control.set_deadline(flow.shard.config.deadlines.proxy_header);
    loop {
        match parse(received) {
            Parsed::Complete { value, consumed } => {
                received.drain(..consumed);
                believe(flow, setting, &value);
                return Ok(true);
            }
            Parsed::Reject(HeaderReject::NoHeader) if setting.mode == ProxyProtocolMode::Optional => return Ok(true),
            Parsed::Reject(HeaderReject::NoHeader) => return Err(fault(FaultKind::HeaderMissing)),
            Parsed::Reject(reject) => {
                tracing::debug!(peer = %flow.control.source, reason = reject.label(), "PROXY protocol header refused");
                return Err(fault(FaultKind::Malformed));
            }
            Parsed::Incomplete { .. } => {}
        }
        match flow.control.try_receive(received) {
            Ok(0) if received.is_empty() => return Ok(false),
            Ok(0) => return Err(fault(FaultKind::Closed)),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                flow.control.readable(&flow.control.downstream).await.map_err(|stop| fault(stop.kind()))?;
            }
            Err(_) => return Err(fault(FaultKind::ConnectionReset)),
        }
    }
}

/// From here on the flow is the client's, not the balancer's.
fn believe(flow: &Flow, setting: &ProxyProtocol, header: &Header) {
    let mut learned = flow.learned.borrow_mut();
    learned.source = header.endpoints.map(|ends| ends.source);
    learned.who = setting.user.and_then(|user| named_user(user, &header.tlvs)).map(|user| {
        let groups = Vec::new();
        Arc::new(Who { user, groups })
    });
}

/// The user that the header names; a value that can be no user's name is none.
fn named_user(user: HeaderUser, tlvs: &Tlvs) -> Option<String> {
    let name = match user {
        HeaderUser::SslCommonName => tlvs.ssl().filter(|ssl| ssl.is_verified)?.common_name()?,
        HeaderUser::Tlv(kind) => std::str::from_utf8(tlvs.find(kind)?).ok()?,
    };
    is_user_name(name).then(|| name.to_owned())
}

const fn fault(kind: FaultKind) -> Fault {
    Fault::downstream(Phase::ProxyHeader, kind)
}
