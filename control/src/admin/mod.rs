//! The admin API, `/metrics` and the health checks: HTTP in, calls to `publish`, `store` and `metrics` out.
//!
//! Owns routes, authentication and the form of errors; decides nothing itself. Called by `daemon`.

mod accounts;
mod acts;
mod audit;
mod authority;
mod browser;
mod catalogue;
mod document;
mod filters;
mod fleet;
mod forecast;
mod guard;
mod health;
mod link;
mod listener;
mod mirror;
mod policy;
mod problem;
mod provider;
mod report;
mod revision;
mod rollout;
mod router;
mod session;
mod submitted;
mod tls;
mod token;
mod trail;

pub(crate) use accounts::token_made;
pub(crate) use audit::unmasking;
pub(crate) use browser::{FORM_BYTES_MAX, set_cookie};
pub(crate) use guard::{Source, Subject};
pub(crate) use health::view;
pub(crate) use listener::AdminListener;
pub(crate) use problem::Problem;
pub(crate) use provider::{open_by_provider, send_to_provider, ticket_cookie};
pub(crate) use router::{Admin, Pages, service};
pub(crate) use session::open as open_session;
pub use tls::TlsError;
pub(crate) use tls::tls_config;
pub(crate) use token::Token;
pub use token::TokenError;
pub(crate) use trail::{TrailFilters, page as trail_page};
