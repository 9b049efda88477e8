//! Binding every listener, once for each shard, before anything is served.

use std::io;
use std::net::SocketAddr;

use anyhow::Context as _;

use super::Entrance;
use crate::config::{Config, Steering, TransparentListener};
use crate::ring::{Listener, Socket};

/// What the process listens on; ports that the kernel chose are filled in.
pub(crate) struct Listeners {
    pub(crate) proxy: SocketAddr,
    pub(crate) transparent: Vec<TransparentListener>,
    /// For each shard, all of them on the same addresses; the kernel spreads connections over the shards.
    pub(crate) per_shard: Vec<Vec<(Entrance, Listener)>>,
}

/// Listens on all that the configuration names.
pub(crate) fn bind(config: &Config) -> anyhow::Result<Listeners> {
    check_rights(config)?;
    let mut proxy = config.listen.proxy;
    let mut transparent = config.listeners.clone();
    let mut per_shard = Vec::new();
    for _ in 0..config.shards.get() {
        let explicit = Listener::bind(proxy, BACKLOG).with_context(|| format!("cannot listen on {proxy}"))?;
        // The first shard finds the ports, the others follow.
        proxy = explicit.local_address()?;
        let mut listeners = vec![(Entrance::Explicit, explicit)];
        for wanted in &mut transparent {
            let is_foreign = wanted.steering == Steering::Tproxy;
            let listener = Listener::bind_transparent(wanted.address, is_foreign, BACKLOG)
                .with_context(|| format!("cannot listen on {} ({})", wanted.address, wanted.steering.label()))?;
            wanted.address = listener.local_address()?;
            listeners.push((Entrance::Transparent(*wanted), listener));
        }
        per_shard.push(listeners);
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
