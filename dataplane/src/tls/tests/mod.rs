//! Tests of the TLS room.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic and say what it left out"
)]

pub(crate) mod bed;
mod corpus;
mod downstream;
mod limbo;
mod memory;
mod origin;
mod pairs;
mod refusals;
mod roots;
mod sessions;
mod tickets;
mod transfer;
mod trust;
mod wire;
