//! Penstock's data plane.
#![deny(unsafe_code)]

mod audit;
mod boot;
mod config;
mod metrics;
mod resolve;
mod shard;
mod tls;
