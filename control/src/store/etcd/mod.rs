//! Policies in etcd, for a fleet whose control daemons share them; and which daemon holds which data planes.
//!
//! | file | owns |
//! |---|---|
//! | `cluster` | the way to the members, and from one that is away to the next |
//! | `server` | the store of policies |
//! | `presence` | which data planes each daemon holds |
//! | `revision` | how a revision is written: what is told of it, and its text in pieces |
//! | `watch` | hears of what others change |
//!
//! Keys, below the prefix that the configuration names:
//!
//! ```text
//! policy/epoch                   the newest epoch: what every append compares
//! policy/revision/EPOCH          what is told of a revision, JSON
//! policy/rollout                 the rollout that is under way
//! policy/text/SHA-256/PIECE      a document, which several revisions may share
//! presence/CONTROL/NODE          what a daemon says of a data plane that it holds, JSON; ends with the daemon's lease
//! ```

mod cluster;
mod presence;
mod revision;
mod server;
mod watch;

pub(crate) use server::EtcdStore;

/// Generated from `proto/etcd.proto`.
#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    dead_code,
    unnameable_types,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code"
)]
mod generated {
    tonic::include_proto!("etcdserverpb");
}
