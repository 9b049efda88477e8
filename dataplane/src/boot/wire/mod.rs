//! What a configuration asks of the host around the process: capabilities, rules, routes, disk, control, DNS.
//!
//! `facts` looks, and changes nothing; `judge` says what is wanting and the command that mends it, from the facts and the
//! configuration alone. For `penstock-dataplane --probe --config FILE`, which `penstock doctor` runs.

mod facts;
mod judge;
#[cfg(test)]
mod tests;

use std::path::Path;

use super::report::Check;
use crate::config::Config;

/// What other rooms found.
pub(crate) struct Answers {
    /// How many addresses a sign-in host has; `None` when this configuration asks no DNS.
    pub(crate) addresses: Option<Result<usize, String>>,
    /// How many roots origins may chain to.
    pub(crate) roots: Result<usize, String>,
    /// Start and end of the issuer that is kept, as Unix seconds; `None` when none is.
    pub(crate) issuer: Result<Option<(i64, i64)>, String>,
}

/// Looks at everything that `config`, read from `file`, asks for.
pub(super) fn look(file: &Path, config: &Config, answers: Answers) -> Vec<Check> {
    judge::judge(config, &facts::Facts::read(file, config, answers))
}
