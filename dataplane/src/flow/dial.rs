//! Resolving and connecting to the upstream.
//!
//! The address that is checked is the address that is dialled: names are resolved here, once, and every address that
//! no table entry names is refused when it is private, loopback or otherwise not of the outside world. Where the kernel
//! says the destination, that one is dialled and no other.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::limits;
use penstock_core::policy::destination;
use penstock_core::proxy::proxy_protocol::{Endpoints, Header, Version};
use penstock_core::proxy::{Authority, Host};

use super::control::ConnectError;
use super::parent;
use super::record::{Destination, Flow};
use crate::config::HeaderRule;
use crate::ingress::Entrance;
use crate::ring::Socket;

/// Connects to what `authority` names; the socket is registered as the flow's upstream leg.
pub(crate) async fn dial(flow: &Flow, authority: &Authority) -> Result<Rc<Socket>, Fault> {
    if let Some(parent) = parent::parent_of(flow, authority) {
        return parent::open_tunnel(flow, parent, authority).await;
    }
    let header = HeaderRule::find(&flow.shard.config.upstream.proxy_headers, &authority.host);
    let addresses = addresses(flow, authority).await?;
    let mut fault = Fault::upstream(Phase::Resolve, FaultKind::NameNotFound);
    for address in addresses.into_iter().take(limits::DIAL_ADDRESSES_MAX) {
        flow.control.set_deadline(flow.shard.config.deadlines.dial);
        match connect(flow, address).await {
            Ok(socket) => {
                announce(flow, &socket, header, address).await?;
                flow.learned.borrow_mut().destination = Some(destination_of(flow, address));
                return Ok(socket);
            }
            Err(kind) => fault = Fault::upstream(Phase::Dial, kind),
        }
        if flow.control.check().is_err() {
            break;
        }
    }
    Err(fault)
}

/// Connects to one address, which the caller has checked; registered as by [`dial`].
pub(crate) async fn dial_address(flow: &Flow, address: SocketAddr) -> Result<Rc<Socket>, Fault> {
    let header = HeaderRule::find(&flow.shard.config.upstream.proxy_headers, &Host::Address(address.ip()));
    flow.control.set_deadline(flow.shard.config.deadlines.dial);
    let socket = connect(flow, address).await.map_err(|kind| Fault::upstream(Phase::Dial, kind))?;
    announce(flow, &socket, header, address).await?;
    flow.learned.borrow_mut().destination = Some(destination_of(flow, address));
    Ok(socket)
}

/// Tells an upstream whom the connection is for, where a header is wanted.
pub(super) async fn announce(
    flow: &Flow,
    socket: &Socket,
    header: Option<Version>,
    destination: SocketAddr,
) -> Result<(), Fault> {
    let Some(version) = header else { return Ok(()) };
    let header = Header::new(version, Some(Endpoints::new(flow.client(), destination)));
    send(flow, socket, &header.encode()).await
}

/// Writes what goes ahead of the flow's own bytes.
pub(super) async fn send(flow: &Flow, socket: &Socket, bytes: &[u8]) -> Result<(), Fault> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match socket.try_send(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let waited = flow.control.writable(socket).await;
                waited.map_err(|stop| Fault::upstream(Phase::Dial, stop.kind()))?;
            }
            Err(error) => return Err(Fault::upstream(Phase::Dial, kind_of(&error))),
        }
    }
    Ok(())
}

/// The addresses to try, in order, each allowed.
async fn addresses(flow: &Flow, authority: &Authority) -> Result<Vec<SocketAddr>, Fault> {
    let fault = |phase, kind| Err(Fault::upstream(phase, kind));
    let found = match &authority.host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => {
            if let Some(address) = flow.shard.config.upstream.hosts.find(name) {
                return Ok(vec![address]);
            }
            flow.control.set_deadline(flow.shard.config.deadlines.dial);
            match flow.shard.resolver.resolve(name).await {
                Ok(found) => {
                    if flow.installed.snapshot.inspects(name) {
                        flow.shard.addresses.learn(name, &found, Instant::now());
                    }
                    found.to_vec()
                }
                Err(kind) => return fault(Phase::Resolve, kind),
            }
        }
    };
    let allowed: Vec<SocketAddr> = found
        .into_iter()
        .filter(|address| destination::check(*address).is_none())
        .map(|address| SocketAddr::new(address, authority.port))
        .collect();
    if allowed.is_empty() { fault(Phase::Dial, FaultKind::AddressForbidden) } else { Ok(allowed) }
}

/// The address with the inspected hosts that have it, as far as the table or DNS told.
fn destination_of(flow: &Flow, address: SocketAddr) -> Destination {
    let mut hosts = flow.shard.addresses.hosts_at(address.ip(), Instant::now());
    hosts.extend_from_slice(flow.shard.config.upstream.hosts.names_at(address));
    Destination { address: address.ip(), hosts }
}

pub(super) async fn connect(flow: &Flow, address: SocketAddr) -> Result<Rc<Socket>, FaultKind> {
    let socket = Rc::new(prepare(flow, address).map_err(|_refused| FaultKind::Resource)?);
    flow.control.set_upstream(Some(Rc::clone(&socket)));
    match flow.control.connect(&socket, address).await {
        Ok(()) => Ok(socket),
        Err(ConnectError::Stopped(stop)) => {
            // The deadline was this address's; the next one gets its own.
            flow.control.set_upstream(None);
            flow.control.forgive_deadline();
            Err(stop.kind())
        }
        Err(ConnectError::System(error)) => {
            flow.control.set_upstream(None);
            Err(kind_of(&error))
        }
    }
}

/// A socket towards `address`, with the mark and the source that the configuration asks for.
fn prepare(flow: &Flow, address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::for_address(address)?;
    if let Some(mark) = flow.shard.config.upstream.mark {
        socket.set_mark(mark)?;
    }
    if matches!(&flow.entrance, Entrance::Transparent(listener) if listener.keep_source) {
        socket.bind_foreign(flow.control.source.ip())?;
    }
    Ok(socket)
}

fn kind_of(error: &std::io::Error) -> FaultKind {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => FaultKind::ConnectionRefused,
        ErrorKind::ConnectionReset => FaultKind::ConnectionReset,
        ErrorKind::TimedOut => FaultKind::Deadline,
        _ => FaultKind::Unreachable,
    }
}
