//! The web UI: pages for operators on the admin listener, rendered here, without anything from elsewhere.
//!
//! Pages are thin: they call what the API calls, behind the same guard. Owns HTML, style and scripts. Called by `daemon`.

mod account;
mod assets;
mod authority;
mod catalogue;
mod chart;
mod compared;
mod doctor;
mod dress;
mod exports;
mod figures;
mod filter;
mod form;
mod frame;
mod history;
mod live;
mod login;
mod overview;
mod people;
mod policy;
mod provider;
mod report;
mod review;
mod routes;
mod trail;

pub(crate) use dress::dress;
pub(crate) use routes::{open_pages, pages};
