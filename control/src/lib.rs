//! Penstock's control plane: keeps policy, CA and audit events, publishes to data planes over the link, and answers
//! operators through the admin API.
//!
//! `daemon` puts the parts together; `admin` and `publish` stand on `store`, `ca`, `audit` and `metrics`. The binaries
//! are `penstock-control` (this daemon) and `penstock` (the operator's command, which speaks to the admin API alone).
#![forbid(unsafe_code)]

mod access;
mod admin;
pub mod audit;
#[doc(hidden)]
pub mod bench_support;
pub mod ca;
pub mod config;
pub mod daemon;
pub mod difference;
pub mod doctor;
pub mod explain;
mod export;
pub mod lock;
mod metrics;
mod oidc;
mod peer;
pub mod probe;
mod publish;
mod role;
pub mod service;
mod store;
pub mod unified;
mod web;

pub use admin::{TlsError, TokenError};
pub use publish::{NetworkError, SocketError};
pub use store::StoreError;
