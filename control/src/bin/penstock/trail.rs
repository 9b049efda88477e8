//! `penstock trail`: who did what to the appliance, when, from where, and what came of it.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::client::DaemonArguments;
use crate::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Only acts of this one: a user, token:ID, or token:file.
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Only acts of this kind: account, change_policy, manage_access, manage_nodes, rotate_authority, sign_in, sign_out or unmask.
    #[arg(long, value_name = "ACT")]
    act: Option<String>,
    /// How many, newest first.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const EXAMPLES: &str = "\
Examples:
  penstock trail
  penstock trail --who alice --act change_policy
  penstock trail --act sign_in --json";

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut query = vec![("limit", arguments.limit.to_string())];
    for (name, value) in [("who", &arguments.who), ("act", &arguments.act)] {
        query.extend(value.clone().map(|value| (name, value)));
    }
    let answer = arguments.daemon.connect()?.get("/trail", &query)?.json()?;
    if arguments.json {
        output::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let entries = answer.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
    let fields = ["time", "who", "role", "address", "act", "outcome", "subject"];
    let rows: Vec<Vec<String>> =
        entries.iter().map(|entry| fields.map(|field| output::cell(entry, field)).to_vec()).collect();
    output::table(&["TIME", "WHO", "ROLE", "FROM", "ACT", "OUTCOME", "SUBJECT"], &rows)?;
    Ok(ExitCode::SUCCESS)
}
