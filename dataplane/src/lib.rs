//! Penstock's data plane: one pinned shard per CPU that reads the ClientHello, splices almost everything in the kernel,
//! and breaks and inspects only the sign-in hosts.
//!
//! ```text
//! ingress ─▶ shard/run ─▶ flow/serve ─┬─▶ flow/pass     relay/splice
//!                sniff, decide        ├─▶ flow/inspect  tls, relay/edit
//!                                     └─▶ flow/deny
//!                                            └─▶ flow/close: metrics + audit, exactly once
//! ```
//!
//! The process above keeps the sockets of its data planes: `supervise`, which imports none of the rest. The process below
//! holds the issuer's key: `signer`.
//!
//! Imports go one way: `main` → {`boot`, `config`, `shard`, `link`, `audit`, `metrics`}; `shard` → {`ingress`, `flow`};
//! `flow` → {`relay`, `tls`, `resolve`}; these → `ring`, which imports nothing of ours. `tls` never sees a socket.
//! `unsafe` stands under `ring` alone.
#![deny(unsafe_code)]

mod audit;
mod auth;
#[doc(hidden)]
pub mod bench_support;
mod boot;
mod config;
mod daemon;
mod flow;
mod ingress;
mod link;
mod metrics;
mod notify;
mod panics;
mod relay;
mod resolve;
mod ring;
mod shard;
mod signer;
mod supervise;
mod tls;
mod watchdog;

pub use daemon::{Arguments, main};
