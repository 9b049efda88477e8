//! The admin API, `/metrics` and the health checks: HTTP in, calls to `publish`, `store` and `metrics` out.
//!
//! Owns routes, authentication and the form of errors; decides nothing itself. Called by `daemon`.

mod audit;
mod authority;
mod catalogue;
mod fleet;
mod health;
mod policy;
mod problem;
mod revision;
mod router;
mod token;

pub(crate) use router::{Admin, router};
pub(crate) use token::Token;
pub use token::TokenError;
