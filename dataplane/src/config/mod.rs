//! The data plane's configuration file: as written (`raw`), as checked and typed (`typed`), and how a mistake in it is
//! told (`error`).
//!
//! Read once, at start, by `main`. Policy is not here: it comes over the link.

mod error;
mod raw;
mod typed;

pub(crate) use error::ConfigError;
pub(crate) use typed::{Config, Deadlines, Link, Listen, Upstream};
