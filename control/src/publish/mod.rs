//! Brings the policy in force to every data plane, over the link, and knows what each of them has.
//!
//! `publisher` decides what is in force, `follow` takes over what other daemons decide, `plan`, `rollout` and `waves` how it gets there node by node, `fleet` keeps what nodes said, `presence` what is attached to other daemons, `session` speaks with one node, `server` what is
//! served on the link, `socket` owns this machine's socket, `network` the way for other machines, `places` how often one may come by it, `members` who of those
//! belongs to the fleet. Called by `daemon` and `admin`.

mod active;
mod fleet;
mod follow;
mod members;
mod network;
mod places;
mod plan;
mod presence;
mod publisher;
mod rollout;
mod server;
mod session;
mod socket;
mod tickets;
mod waves;

pub(crate) use active::Active;
pub(crate) use fleet::{Acknowledgement, Fleet, NodeSamples, NodeView};
pub(crate) use members::{MadeToken, MemberError, Members};
pub use network::NetworkError;
pub(crate) use plan::{FAULTS_PERCENT_DEFAULT, Plan, SOAK_SECONDS_DEFAULT};
pub(crate) use presence::{Everywhere, Presence};
pub(crate) use publisher::{Proposal, PublishError, Published, Publisher, check, now_unix};
pub(crate) use rollout::Rollout;
pub(crate) use server::{network, serve};
pub use socket::SocketError;
pub(crate) use socket::bind;

#[cfg(test)]
mod tests;
