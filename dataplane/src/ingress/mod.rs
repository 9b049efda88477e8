//! How flows come in.
//!
//! `explicit` is the proxy listener that clients are told about (HTTP CONNECT, RFC 9110 section 9.3.6);
//! `proxy_protocol` reads what a balancer says ahead of a connection.

pub(crate) mod explicit;
pub(crate) mod proxy_protocol;
