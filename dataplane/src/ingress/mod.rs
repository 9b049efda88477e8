//! How flows come in.
//!
//! `explicit` is the proxy listener that clients are told about (HTTP CONNECT, RFC 9110 section 9.3.6).

pub(crate) mod explicit;
