//! Listening: sockets that were inherited from the service manager are used on, others are opened and stored with it.
//!
//! A socket that outlives the process keeps its queue of connections: nobody is refused while one process takes over from
//! another, or is started again after a crash.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use crate::notify::Notifier;
use crate::ring::{Inherited, Listener};

/// Listeners on one address, dealt out.
pub(crate) struct Listeners {
    /// As bound: with the port that was found for port 0.
    pub(crate) address: SocketAddr,
    /// Those of each shard, one at least.
    pub(crate) per_shard: Vec<Vec<Listener>>,
}

/// Listens on `address` for each of `shards`. What is opened anew is given to `manager` to keep.
pub(crate) fn listen(
    inherited: &mut Inherited,
    manager: &Notifier,
    address: SocketAddr,
    shards: usize,
) -> io::Result<Listeners> {
    let mut sockets = inherited.claim(address)?;
    if sockets.is_empty() {
        sockets = bind(address, shards)?;
        for socket in &sockets {
            let name = store_name(socket.local_address()?);
            if let Err(error) = manager.store(&name, socket.as_fd()) {
                tracing::warn!(%error, "a listener is not kept for the next start: connections may be refused then");
            }
        }
    }
    let address = sockets.first().ok_or(io::ErrorKind::InvalidInput)?.local_address()?;
    Ok(Listeners { address, per_shard: deal(sockets, shards)? })
}

/// One listener per shard on the same address; the kernel spreads connections over them.
fn bind(address: SocketAddr, shards: usize) -> io::Result<Vec<Listener>> {
    let first = Listener::bind(address, BACKLOG)?;
    let bound = first.local_address()?;
    let mut listeners = vec![first];
    for _ in 1..shards {
        listeners.push(Listener::bind(bound, BACKLOG)?);
    }
    Ok(listeners)
}

/// Every socket has a shard that accepts from it, and every shard a socket: with fewer sockets some share one.
fn deal(sockets: Vec<Listener>, shards: usize) -> io::Result<Vec<Vec<Listener>>> {
    let mut per_shard: Vec<Vec<Listener>> = (0..shards).map(|_| Vec::new()).collect();
    let mut shared = Vec::new();
    for shard in sockets.len()..shards {
        shared.push(sockets[shard % sockets.len()].share()?);
    }
    for (index, socket) in sockets.into_iter().chain(shared).enumerate() {
        per_shard[index % shards].push(socket);
    }
    Ok(per_shard)
}

/// What the service manager calls the sockets of an address: a name has no colon.
fn store_name(address: SocketAddr) -> String {
    address.to_string().replace(':', "_")
}

/// Connections that may wait per socket before they are accepted; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_socket_is_served_and_every_shard_has_work() {
        for (sockets, shards) in [(1, 1), (1, 3), (2, 3), (3, 2), (5, 2), (4, 4)] {
            let bound = bind("127.0.0.1:0".parse().unwrap(), sockets).unwrap();
            let address = bound[0].local_address().unwrap();
            let dealt = deal(bound, shards).unwrap();
            assert_eq!(dealt.len(), shards);
            assert!(dealt.iter().all(|listeners| !listeners.is_empty()));
            assert_eq!(dealt.iter().flatten().count(), sockets.max(shards));
            assert!(dealt.iter().flatten().all(|listener| listener.local_address().unwrap() == address));
        }
    }

    #[test]
    fn names_are_fit_for_the_protocol() {
        assert_eq!(store_name("[::1]:8080".parse().unwrap()), "[__1]_8080");
    }
}
