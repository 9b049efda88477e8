//! The wire between control and data plane: the protobuf contract with its generated client and server.
//!
//! Control and data plane never import each other; they meet here and in `penstock-core`. Beside the messages this crate
//! owns how an issuer's key is sealed for its signer (`seal`), how TLS is spoken where the link crosses a network (`tls`), what
//! a node that joins is handed (`token`), and the form of certificates and keys in files (`pem`).
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

pub mod pem;
mod seal;
mod tls;
mod token;

pub use generated::*;
pub use seal::{SEALING_KEY_BYTES, SealingPair, seal};
pub use tls::{CONTROL_HOST_NAME, joining_config, node_config, server_config};
pub use token::{JOIN_SECRET_BYTES, JoinToken, PIN_BYTES};

/// Longest message on the link: a policy document at its longest, and some.
pub const MESSAGE_BYTES_MAX: usize = 80 * 1024 * 1024;
