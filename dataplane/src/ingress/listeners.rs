//! Binding every listener, once for each shard, before anything is served.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;

use super::Entrance;
use super::listen::{deal, listen};
use crate::config::{Config, Steering, TransparentListener};
use crate::notify::Notifier;
use crate::ring::{Inherited, Listener, Socket};

/// What the process listens on; ports that the kernel chose are filled in.
pub(crate) struct Listeners {
    pub(crate) proxy: SocketAddr,
    pub(crate) transparent: Vec<TransparentListener>,
    /// For each shard, all of them on the same addresses; the kernel spreads connections over the shards.
    pub(crate) per_shard: Vec<Vec<(Entrance, Listener)>>,
}

/// Listens on all that the configuration names, on sockets of the process before where there are any.
pub(crate) fn bind(config: &Config, inherited: &mut Inherited, manager: &Notifier) -> anyhow::Result<Listeners> {
    check_rights(config)?;
    let shards = usize::from(config.shards.get());
    let mut per_shard: Vec<Vec<(Entrance, Listener)>> = (0..shards).map(|_| Vec::new()).collect();
    // Each shard has its own count of who holds the entrance.
    let mut give = |entrance: &dyn Fn() -> Entrance, sockets: Vec<Listener>| -> io::Result<()> {
        for (listeners, own) in per_shard.iter_mut().zip(deal(sockets, shards)?) {
            listeners.extend(own.into_iter().map(|listener| (entrance(), listener)));
        }
        Ok(())
    };
    let mut proxy = config.listen.proxy;
    let bind = |address| Listener::bind(address, BACKLOG);
    let sockets = listen(inherited, manager, &mut proxy, shards, bind);
    give(&|| Entrance::Explicit, sockets.with_context(|| format!("cannot listen on {}", config.listen.proxy))?)?;
    let mut transparent = config.listeners.clone();
    for wanted in &mut transparent {
        let is_foreign = wanted.steering == Steering::Tproxy;
        let bind = |address| Listener::bind_transparent(address, is_foreign, BACKLOG);
        let sockets = listen(inherited, manager, &mut wanted.address, shards, bind)
            .with_context(|| format!("cannot listen on {} ({})", wanted.address, wanted.steering.label()))?;
        give(&|| Entrance::Transparent(Arc::new(wanted.clone())), sockets)?;
    }
    Ok(Listeners { proxy, transparent, per_shard })
}

/// Tries on a socket that goes nowhere what every flow will need: a right that is missing is told at the start.
fn check_rights(config: &Config) -> anyhow::Result<()> {
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let mark = |mark| Socket::for_address(any)?.set_mark(mark);
    if let Some(wanted) = config.upstream.mark {
        mark(wanted).context("`upstream.mark` cannot be set, it needs CAP_NET_ADMIN")?;
    }
    let foreign = || -> io::Result<()> { Socket::for_address(any)?.bind_foreign(any.ip()) };
    if config.listeners.iter().any(|listener| listener.keep_source) {
        foreign().context("`listener.keep_source` needs CAP_NET_ADMIN")?;
    }
    Ok(())
}

/// Connections that may wait per shard and listener before they are accepted; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;
