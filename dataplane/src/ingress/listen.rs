//! Listening: sockets that were inherited from the service manager are used on, others are opened and stored with it.
//!
//! A socket that outlives the process keeps its queue of connections: nobody is refused while one process takes over from
//! another, or is started again after a crash.

use std::io;
use std::net::SocketAddr;

use crate::notify::Notifier;
use crate::ring::{Heirloom, Inherited, Listener};

/// Listens on `address`, which gets the port that was found for port 0, with the sockets that were inherited, or else with
/// one for each of `shards`. What is opened anew, by `bind`, is given to `manager` to keep.
pub(super) fn listen<S: Heirloom>(
    inherited: &mut Inherited,
    manager: &Notifier,
    address: &mut SocketAddr,
    shards: usize,
    bind: impl Fn(SocketAddr) -> io::Result<S>,
) -> io::Result<Vec<S>> {
    let mut sockets = inherited.claim::<S>(*address)?;
    let is_new = sockets.is_empty();
    if is_new {
        for _ in 0..shards {
            let socket = bind(*address)?;
            // The first shard finds the port, the others follow; the kernel spreads connections over them.
            *address = socket.local_address()?;
            sockets.push(socket);
        }
    }
    *address = sockets.first().ok_or(io::ErrorKind::InvalidInput)?.local_address()?;
    for socket in sockets.iter().filter(|_| is_new) {
        if let Err(error) = manager.store(&store_name::<S>(*address), socket.as_fd()) {
            tracing::warn!(%error, "a listener is not kept for the next start: connections may be refused then");
        }
    }
    Ok(sockets)
}

/// Every socket has a shard that accepts from it, and every shard a socket: with fewer sockets some share one.
pub(super) fn deal(sockets: Vec<Listener>, shards: usize) -> io::Result<Vec<Vec<Listener>>> {
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
fn store_name<S: Heirloom>(address: SocketAddr) -> String {
    format!("{}{address}", S::NAME_PREFIX).replace(':', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::DatagramListener;

    #[test]
    fn every_socket_is_served_and_every_shard_has_work() {
        for (sockets, shards) in [(1, 1), (1, 3), (2, 3), (3, 2), (5, 2), (4, 4)] {
            let first = Listener::bind("127.0.0.1:0".parse().unwrap(), 8).unwrap();
            let address = first.local_address().unwrap();
            let others = (1..sockets).map(|_| Listener::bind(address, 8).unwrap());
            let bound = std::iter::once(first).chain(others).collect();
            let dealt = deal(bound, shards).unwrap();
            assert_eq!(dealt.len(), shards);
            assert!(dealt.iter().all(|listeners| !listeners.is_empty()));
            assert_eq!(dealt.iter().flatten().count(), sockets.max(shards));
            assert!(dealt.iter().flatten().all(|listener| listener.local_address().unwrap() == address));
        }
    }

    #[test]
    fn names_are_fit_for_the_protocol() {
        let address = "[::1]:8080".parse().unwrap();
        assert_eq!(store_name::<Listener>(address), "[__1]_8080");
        assert_eq!(store_name::<DatagramListener>(address), "udp_[__1]_8080", "another than that of TCP");
    }
}
