//! The connectors: what each SaaS needs so that its sign-in refuses accounts of other organisations.
//!
//! Owns the facts (hosts, headers, value rules, denial signatures, conflicts, with source, date and confidence) and
//! the functions that read them. Does not own the operator's choices: those are the policy's. The facts stand in
//! `data/*.toml`, one file per connector, which the build turns into constant tables.

mod connector;
pub mod denial;
pub mod encode;
mod header_name;
mod id;
mod invented;
mod suffix;
mod tenant;
pub mod value;

pub use connector::{
    Confidence, Conflict, Connector, Denial, Encoding, Field, FieldKind, Header, HeaderMark, HostNote, connector,
    connectors, ech_public_names, never_inspect,
};
pub use denial::{DenialCode, DenialScanner};
pub use header_name::StripNames;
pub use id::ConnectorId;
pub use invented::{invented_header, reserved_domain};
pub use suffix::{is_public_suffix, site};
