//! How flows come in.
//!
//! `explicit` is the proxy listener that clients are told about (HTTP CONNECT, RFC 9110 section 9.3.6);
//! `proxy_protocol` reads what a balancer says ahead of a connection. `transparent` are the listeners to which the kernel,
//! DNS or a balancer leads clients that know of no proxy, `udp` those for UDP/443. `listeners` binds those for TCP; `listen`
//! takes over the sockets of the process before.

pub(crate) mod explicit;
mod listen;
mod listeners;
pub(crate) mod proxy_protocol;
pub(crate) mod transparent;
pub(crate) mod udp;

pub(crate) use listeners::{Listeners, bind};

use std::sync::Arc;

use crate::config::TransparentListener;

/// By which kind of listener a flow came.
#[derive(Clone, Debug)]
pub(crate) enum Entrance {
    Explicit,
    Transparent(Arc<TransparentListener>),
}
