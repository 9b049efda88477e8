//! Reaching origins through a parent proxy, where the configuration names one.
//!
//! Names are resolved at the parent then, so what depends on the address is the parent's to check: whether it is private, and
//! whether an inspected host has it. An address that the client itself names is checked here as ever, before the parent
//! hears of it. The names are compared all the same, and an inspected origin proves its own.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;

use penstock_core::bytes::Parsed;
use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::limits;
use penstock_core::policy::destination;
use penstock_core::proxy::{Authority, Host, parent};

use super::dial::{self, connect};
use super::record::Flow;
use crate::config::ParentProxy;
use crate::ring::Socket;

/// The parent through which `authority` is reached, if it is. What the table of hosts lists is dialled at its address.
pub(super) fn parent_of<'a>(flow: &'a Flow, authority: &Authority) -> Option<&'a ParentProxy> {
    let upstream = &flow.shard.config.upstream;
    let is_listed = authority.host.name().is_some_and(|name| upstream.hosts.find(name).is_some());
    upstream.proxy.as_ref().filter(|parent| !is_listed && !parent.excepts(&authority.host))
}

/// Has the parent open a tunnel to `authority`; what is read from the socket then is the origin's.
pub(super) async fn open_tunnel(flow: &Flow, parent: &ParentProxy, authority: &Authority) -> Result<Rc<Socket>, Fault> {
    let socket = reach(flow, parent, authority).await?;
    flow.control.set_deadline(flow.shard.config.deadlines.handshake);
    dial::send(flow, &socket, &parent::connect_request(authority, &parent.authorization)).await?;
    read_answer(flow, &socket).await?;
    Ok(socket)
}

/// Connects to the parent, to ask it for `authority`.
pub(super) async fn reach(flow: &Flow, parent: &ParentProxy, authority: &Authority) -> Result<Rc<Socket>, Fault> {
    if let Host::Address(address) = authority.host
        && destination::check(address).is_some()
    {
        return Err(fault(FaultKind::AddressForbidden));
    }
    flow.learned.borrow_mut().destination = None;
    flow.control.set_deadline(flow.shard.config.deadlines.dial);
    let found = match &parent.address.host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => {
            let found = flow.shard.resolver.resolve(name).await;
            found.map_err(|kind| Fault::upstream(Phase::Resolve, kind))?.to_vec()
        }
    };
    let mut failed = fault(FaultKind::Unreachable);
    for address in found.into_iter().take(limits::DIAL_ADDRESSES_MAX) {
        flow.control.set_deadline(flow.shard.config.deadlines.dial);
        let address = SocketAddr::new(address, parent.address.port);
        match connect(flow, address).await {
            Ok(socket) => {
                dial::announce(flow, &socket, parent.proxy_header, address).await?;
                return Ok(socket);
            }
            Err(kind) => failed = fault(kind),
        }
        if flow.control.check().is_err() {
            break;
        }
    }
    Err(failed)
}

/// Takes the parent's answer off the socket and nothing behind it: an origin that speaks first may have spoken.
async fn read_answer(flow: &Flow, socket: &Socket) -> Result<(), Fault> {
    let mut reader = parent::AnswerReader::default();
    let mut answer = Vec::new();
    loop {
        let taken = answer.len();
        answer.resize(taken + READ_BYTES, 0);
        let peeked = socket.try_peek(answer.get_mut(taken..).unwrap_or_default());
        answer.truncate(taken + *peeked.as_ref().unwrap_or(&0));
        match peeked {
            Ok(0) => return Err(fault(FaultKind::Closed)),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                flow.control.readable(socket).await.map_err(|stop| fault(stop.kind()))?;
                continue;
            }
            Err(_) => return Err(fault(FaultKind::ConnectionReset)),
        }
        let (is_whole, end) = match reader.parse(&answer) {
            Parsed::Complete { consumed, .. } => (true, consumed),
            Parsed::Incomplete { .. } => (false, answer.len()),
            Parsed::Reject(kind) => return Err(fault(kind)),
        };
        // They are there: they were seen.
        let _ = socket.try_recv(answer.get_mut(taken..end).unwrap_or_default());
        if is_whole {
            return Ok(());
        }
    }
}

const fn fault(kind: FaultKind) -> Fault {
    Fault::upstream(Phase::Dial, kind)
}

/// Room for one look: the answers of proxies are short.
const READ_BYTES: usize = 1024;
