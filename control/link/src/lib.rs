//! The wire between control and data plane: the protobuf contract with its generated client and server.
//!
//! Control and data plane never import each other; they meet here and in `penstock-core`. Beside the messages this crate
//! owns how an issuer's key is sealed for its signer.
#![forbid(unsafe_code)]

/// Generated from `proto/link.proto`, whose comments are the documentation.
#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code"
)]
mod generated {
    tonic::include_proto!("penstock.link.v1");
}

mod seal;

pub use generated::*;
pub use seal::{SEALING_KEY_BYTES, SealingPair, seal};

/// Longest message on the link: a policy document at its longest, and some.
pub const MESSAGE_BYTES_MAX: usize = 80 * 1024 * 1024;
