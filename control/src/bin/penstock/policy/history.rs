//! `penstock policy history`.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::client::DaemonArguments;
use crate::output;

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock policy history\n  penstock policy history --limit 5 --json")]
pub(crate) struct Arguments {
    /// How many revisions, newest first.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let query = [("limit", arguments.limit.to_string())];
    let answer = arguments.daemon.connect()?.get("/policy/history", &query)?.json()?;
    if arguments.json {
        output::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let revisions = answer.get("revisions").and_then(Value::as_array).cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = revisions
        .iter()
        .map(|revision| {
            let active = if revision.get("active") == Some(&Value::Bool(true)) { "*" } else { "" };
            let fields = ["time", "author", "source", "comment"].map(|field| output::cell(revision, field));
            let epoch = format!("{}{active}", output::cell(revision, "epoch"));
            std::iter::once(epoch).chain(fields).collect()
        })
        .collect();
    output::table(&["EPOCH", "TIME", "AUTHOR", "SOURCE", "COMMENT"], &rows)?;
    Ok(ExitCode::SUCCESS)
}
