//! `penstock policy exceptions`: who is exempt, from what, until when, and why.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::client::DaemonArguments;
use crate::output;

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock policy exceptions\n  penstock policy exceptions --json")]
pub(crate) struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let answer = arguments.daemon.connect()?.get("/policy/exceptions", &[])?.json()?;
    if arguments.json {
        output::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let exceptions = answer.get("exceptions").and_then(Value::as_array).cloned().unwrap_or_default();
    let row = |exception: &Value| {
        let list = |name: &str| {
            let items = exception.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            items.collect::<Vec<_>>().join(" ")
        };
        let cell = |name| output::cell(exception, name);
        vec![list("who"), list("restrictions"), cell("from"), cell("until"), cell("why")]
    };
    let rows: Vec<Vec<String>> = exceptions.iter().map(row).collect();
    output::table(&["WHO", "RESTRICTIONS", "FROM", "UNTIL", "WHY"], &rows)?;
    Ok(ExitCode::SUCCESS)
}
