//! The rules of the tree that no compiler keeps: layout, who may import whom, which crates may be named where, and what
//! the dependencies are known for. `cargo test -p penstock-tests --test tidy` runs them in seconds.
//!
//! | module | keeps |
//! |---|---|
//! | [`advisories`] | no crate of Cargo.lock has a known vulnerability |
//! | [`documents`] | tables in documents and example files agree with the code |
//! | [`imports`] | the import directions |
//! | [`layout`] | top level, file names, lengths, headings |
//! | [`manifests`] | dependencies are used, wrapped and allowed |
//! | [`monitoring`] | rules and dashboards name metrics that exist |
//! | [`scripts`] | shell scripts are sound and say what they do |
//! | [`source`] | reading the tree for the others |
//! | [`units`] | systemd units are hardened, container files can be read |
#![forbid(unsafe_code)]
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

mod advisories;
mod documents;
mod imports;
mod layout;
mod manifests;
mod monitoring;
mod scripts;
mod source;
mod units;
