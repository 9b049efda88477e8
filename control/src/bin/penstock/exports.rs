//! `penstock exports`: where audit events go beside the store, and how far each export is.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::client::DaemonArguments;
use crate::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const EXAMPLES: &str = "\
Examples:
  penstock exports
  penstock exports --json

Exit codes: 0 all is well; 1 the last attempt of an export failed; 2 misuse.";

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let answer = arguments.daemon.connect()?.get("/exports", &[])?.json()?;
    let exports = answer.get("exports").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_well = exports.iter().all(|export| export.get("error").is_none());
    if arguments.json {
        output::json(&answer)?;
    } else {
        let fields = ["name", "kind", "to", "events", "pending", "failures", "lost", "delivered", "error"];
        let rows: Vec<Vec<String>> =
            exports.iter().map(|export| fields.map(|field| output::cell(export, field)).to_vec()).collect();
        let headings = ["NAME", "KIND", "TO", "EVENTS", "PENDING", "FAILURES", "LOST", "DELIVERED", "ERROR"];
        output::table(&headings, &rows)?;
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
