//! The control daemon as its neighbours see it: the real process, asked over HTTP and spoken to by nodes of the test over
//! the real link.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod access;
mod admin;
mod audit;
mod authority;
mod control;
mod fleet;
mod life;
mod member;
mod metrics;
mod network;
mod node;
mod oidc;
mod policy;
mod provider;
mod report;
mod rollout;
mod service;
mod web;
