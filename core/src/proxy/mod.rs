//! The explicit proxy: what inside hosts ask of the listener, and what it answers.
//!
//! Owns the heads of requests, the short honest answers, the header that a load balancer puts ahead of both
//! ([`proxy_protocol`]), and what is said to a [`parent`] proxy. Does not own what is allowed (`policy`), nor the tunnel, nor what becomes of a request for plain
//! HTTP (`http1`). Called by the data plane's ingress, and by whoever must answer in HTTP/1.1 on an origin's behalf.

mod answer;
mod authority;
mod connect;
mod credentials;
pub mod parent;
mod plain;
pub mod proxy_protocol;
mod request;

pub use answer::{challenge, response, script};
pub use authority::{Authority, Host};
pub use connect::{ConnectHead, ConnectReader, ConnectReject, OwnHead};
pub use credentials::{Basic, Credentials};
pub use plain::PlainHead;
pub use request::{ProxyReject, ProxyRequest, RequestReader};
