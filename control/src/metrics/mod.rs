//! `/metrics`: what the data planes reported and what control itself knows, under the names of `core::metrics`.
//!
//! `aggregate` turns reports into metric families, `exporter` writes them out, `push` sends them to a
//! collector. Called by `admin` and `daemon`.

mod aggregate;
mod exporter;
mod push;

pub(crate) use exporter::{Expiry, Exporter, View};
pub(crate) use push::push;
