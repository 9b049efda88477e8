//! The explicit proxy: what inside hosts ask of the listener, and what it answers.
//!
//! Owns the CONNECT head and the short honest answers. Does not own what is allowed (`policy`) nor the tunnel. Called by
//! the data plane's ingress, and by whoever must answer in HTTP/1.1 on an origin's behalf.

mod answer;
mod authority;
mod connect;

pub use answer::response;
pub use authority::{Authority, Host};
pub use connect::{ConnectHead, ConnectReader, ConnectReject};
