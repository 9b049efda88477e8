//! `/metrics`: what the data planes reported and what control itself knows, under the names of `core::metrics`.
//!
//! `aggregate` turns reports into metric families, `exporter` writes them out. Called by `admin`.

mod aggregate;
mod exporter;

pub(crate) use exporter::{Expiry, Exporter, View};
