//! `penstock policy apply FILE`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{document, rollout};
use crate::client::{DaemonArguments, Reply, diagnostic_line};
use crate::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The policy, TOML.
    file: PathBuf,
    /// Who publishes, for the history.
    #[arg(long, value_name = "NAME", default_value_t = author())]
    author: String,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    /// Refuse when the epoch in force is another one: somebody else published meanwhile.
    #[arg(long, value_name = "EPOCH")]
    expect: Option<u64>,
    /// Give it to the fleet in waves: labels of nodes, or percentages, separated by commas. Everybody comes last.
    #[arg(long, value_name = "LIST")]
    waves: Option<String>,
    /// Time for which a wave is watched, in seconds.
    #[arg(long, value_name = "SECONDS", requires = "waves")]
    soak: Option<u64>,
    /// Faults in a hundred flows of the nodes that have it, at which it halts.
    #[arg(long, value_name = "PERCENT", requires = "waves")]
    faults_max: Option<f64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const EXAMPLES: &str = "\
Examples:
  penstock policy apply policy.toml --comment 'Fabrikam joins'
  penstock policy apply policy.toml --expect 7 --json
  penstock policy apply policy.toml --waves canary,25% --soak 900 --faults-max 2

Ends with 1 when the policy is refused (the old one stays in force), and when a data plane has not put it in force yet.";

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let document = document::read(&arguments.file)?;
    if document.compiled.is_err() {
        return document::report_refusal(&document, arguments.json);
    }
    let client = arguments.daemon.connect()?;
    let mut query = vec![
        ("author", arguments.author.clone()),
        ("comment", arguments.comment.clone()),
        ("file", document.file.clone()),
    ];
    query.extend(arguments.waves.clone().map(|waves| ("waves", waves)));
    query.extend(arguments.soak.map(|seconds| ("soak_seconds", seconds.to_string())));
    query.extend(arguments.faults_max.map(|percent| ("faults_percent_max", percent.to_string())));
    let reply = client.put_policy(&document.text, &query, arguments.expect)?;
    if arguments.waves.is_some() {
        rollout::show(&reply.json()?, arguments.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    report(&reply, arguments.json)
}

/// Tells what the fleet did with a published policy.
pub(super) fn report(reply: &Reply, as_json: bool) -> anyhow::Result<ExitCode> {
    let answer = reply.json()?;
    let complete = reply.status == 200;
    let code = if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if as_json {
        output::json(&answer)?;
        return Ok(code);
    }
    for warning in answer.get("warnings").and_then(Value::as_array).into_iter().flatten() {
        output::note(&diagnostic_line(warning));
    }
    let epoch = output::cell(&answer, "epoch");
    let nodes = answer.get("nodes").and_then(Value::as_array).cloned().unwrap_or_default();
    if complete {
        output::line(&format!("epoch {epoch} is in force on {} data plane(s)", nodes.len()))?;
        return Ok(code);
    }
    output::line(&format!("epoch {epoch} is published, but not in force everywhere:"))?;
    let rows: Vec<Vec<String>> =
        nodes.iter().map(|node| ["node", "state", "reason"].map(|field| output::cell(node, field)).to_vec()).collect();
    output::table(&["NODE", "STATE", "REASON"], &rows)?;
    Ok(code)
}

/// The login name, as far as the environment tells; only the history shows it.
pub(super) fn author() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| "operator".to_owned())
}
