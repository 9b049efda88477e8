//! `penstock policy migrate --to v2 FILE`: Microsoft's first version of tenant restrictions to the second.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use penstock_core::policy::migrate_entra;
use serde_json::json;

use super::document;
use crate::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The policy, TOML. It is not changed.
    file: PathBuf,
    /// Version of Microsoft's tenant restrictions.
    #[arg(long, value_name = "VERSION")]
    to: Version,
    /// The id of your tenant's policy: `id` of Graph's /policies/crossTenantAccessPolicy/default.
    #[arg(long, value_name = "GUID")]
    policy_id: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Version {
    V2,
}

const EXAMPLES: &str = "\
Examples:
  penstock policy migrate --to v2 --policy-id 1f0c...  policy.toml > policy-v2.toml
  penstock policy diff policy-v2.toml

Prints the changed policy on standard output, and what is to be done in the tenant on standard error.";

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Version::V2 = arguments.to;
    let mut document = document::read(&arguments.file)?;
    if document.compiled.is_err() {
        return document::report_refusal(&document, arguments.json);
    }
    let migration = match migrate_entra(&document.file, &document.text, &arguments.policy_id) {
        Ok(migration) => migration,
        Err(diagnostics) => {
            document.compiled = Err(diagnostics);
            return document::report_refusal(&document, arguments.json);
        }
    };
    if arguments.json {
        let (text, changes, steps) = (migration.text, migration.changes, migration.steps);
        output::json(&json!({ "policy": text, "changes": changes, "steps": steps }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::text(&migration.text)?;
    if migration.changes.is_empty() {
        output::note("no restriction uses Microsoft's first version: nothing is changed");
    }
    for change in &migration.changes {
        output::note(&format!("changed: {change}"));
    }
    for (number, step) in (1..).zip(&migration.steps) {
        output::note(&format!("{number}. {step}"));
    }
    Ok(ExitCode::SUCCESS)
}
