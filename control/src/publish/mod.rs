//! Brings the policy in force to every data plane, over the link, and knows what each of them has.
//!
//! `publisher` decides what is in force, `plan`, `rollout` and `waves` how it gets there node by node, `fleet` keeps what nodes said, `session` speaks with one node, `server` and
//! `socket` own the Unix socket. Called by `daemon` and `admin`.

mod active;
mod fleet;
mod plan;
mod publisher;
mod rollout;
mod server;
mod session;
mod socket;
mod tickets;
mod waves;

pub(crate) use active::Active;
pub(crate) use fleet::{Acknowledgement, Fleet, NodeSamples, NodeView};
pub(crate) use plan::{FAULTS_PERCENT_DEFAULT, Plan, SOAK_SECONDS_DEFAULT};
pub(crate) use publisher::{Proposal, PublishError, Published, Publisher, check, now_unix};
pub(crate) use rollout::Rollout;
pub(crate) use server::serve;
pub use socket::SocketError;
pub(crate) use socket::bind;

#[cfg(test)]
mod tests;
