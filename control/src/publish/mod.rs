//! Brings the policy in force to every data plane, over the link, and knows what each of them has.
//!
//! `publisher` decides what is in force, `fleet` keeps what nodes said, `session` speaks with one node, `server` and
//! `socket` own the Unix socket. Called by `daemon` and `admin`.

mod active;
mod fleet;
mod publisher;
mod server;
mod session;
mod socket;
mod tickets;

pub(crate) use active::Active;
pub(crate) use fleet::{Acknowledgement, Fleet, NodeSamples, NodeView};
pub(crate) use publisher::{Proposal, PublishError, Published, Publisher, check, now_unix};
pub(crate) use server::serve;
pub use socket::SocketError;
pub(crate) use socket::bind;

#[cfg(test)]
mod tests;
