//! Policies in etcd, for a fleet whose control daemons share them.
//!
//! | file | owns |
//! |---|---|
//! | `cluster` | the way to the members, and from one that is away to the next |
//! | `server` | the store itself |
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
//! ```

mod cluster;
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
