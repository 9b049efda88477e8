//! How flows come in.
//!
//! `explicit` is the proxy listener that clients are told about (HTTP CONNECT, RFC 9110 section 9.3.6);
//! `proxy_protocol` reads what a balancer says ahead of a connection; `listen` opens the sockets or takes over those of the
//! process before.

pub(crate) mod explicit;
mod listen;
pub(crate) mod proxy_protocol;

pub(crate) use listen::{Listeners, listen};
