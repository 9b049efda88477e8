//! Before anything else: limits that the process sets for itself, and whether this host can carry it.
//!
//! `prepare` changes the process; `facts` reads the host and `report` judges it, with what is to be done about each
//! finding; `memory` is how much of that there is; `wire` is what a configuration asks of the host around the process. Called
//! when the daemon starts, and for `penstock-dataplane --probe --json`, whose JSON is [`Report`].

mod facts;
mod lock;
mod memory;
mod prepare;
mod report;
mod wire;

use std::io;
use std::path::Path;

use crate::config::Config;

pub(crate) use lock::lock;
pub(crate) use memory::{ceiling_bytes, resident_bytes};
pub(crate) use prepare::forbid_cores;
pub(crate) use report::Report;
pub(crate) use wire::Answers;

/// Sets the process's own limits, then looks at this host as the data plane will find it. `ring` sets up a small ring and
/// drops it; it is passed in because only the ring's own room may name io_uring.
pub(crate) fn probe(ring: impl FnOnce() -> io::Result<()>) -> Report {
    prepare::prepare();
    report::judge(&facts::Facts::read(ring()))
}

/// The same, and what the configuration read from `file` asks of the host around the process.
pub(crate) fn probe_for(
    ring: impl FnOnce() -> io::Result<()>,
    file: &Path,
    config: &Config,
    answers: Answers,
) -> Report {
    probe(ring).and(wire::look(file, config, answers))
}

/// A host that DNS knows wherever there is an Internet.
pub(crate) const NAME_ASKED: &str = "login.microsoftonline.com";
