//! `penstock token`: keys of programs for the admin API.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::client::{self, DaemonArguments};
use crate::output;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a token and print it, this once.
    Create(CreateArguments),
    /// Show which tokens there are.
    List(ListArguments),
    /// Make a token worthless at once.
    Revoke(RevokeArguments),
}

#[derive(Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub(crate) struct CreateArguments {
    /// What the token may do: admin, operator, auditor or viewer.
    #[arg(long, value_name = "ROLE", value_parser = client::ROLES)]
    role: String,
    /// Days until it ends.
    #[arg(long, value_name = "COUNT", default_value_t = 90)]
    days: u32,
    /// What it is for.
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const CREATE_EXAMPLES: &str = "\
Examples:
  penstock token create --role viewer --days 365 --comment 'monitoring'
  (umask 077; penstock token create --role operator --comment 'pipeline' > pipeline.token)

A file with a token is what --token-file takes.";

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock token list\n  penstock token list --json")]
pub(crate) struct ListArguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock token revoke 5c1f0a9be21d")]
pub(crate) struct RevokeArguments {
    /// The token's id, as `penstock token list` shows it.
    id: String,
    #[command(flatten)]
    daemon: DaemonArguments,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create(arguments) => create(arguments),
        Command::List(arguments) => list(arguments),
        Command::Revoke(arguments) => revoke(arguments),
    }
}

fn create(arguments: &CreateArguments) -> anyhow::Result<ExitCode> {
    let CreateArguments { role, days, comment, json, daemon } = arguments;
    let answer = daemon.connect()?.post("/tokens", &json!({ "role": role, "days": days, "comment": comment }))?;
    let answer = answer.json()?;
    if *json {
        output::json(&answer)?;
    } else {
        output::line(&output::cell(&answer, "token"))?;
        let (id, expires) = (output::cell(&answer, "id"), output::cell(&answer, "expires"));
        output::note(&format!("token {id}, role {role}, until {expires}; it is not shown again"));
    }
    Ok(ExitCode::SUCCESS)
}

fn list(arguments: &ListArguments) -> anyhow::Result<ExitCode> {
    let answer = arguments.daemon.connect()?.get("/tokens", &[])?.json()?;
    if arguments.json {
        output::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let tokens = answer.get("tokens").and_then(Value::as_array).cloned().unwrap_or_default();
    let cells = |token| ["id", "role", "owner", "expires", "used", "comment"].map(|field| output::cell(token, field));
    let rows: Vec<Vec<String>> = tokens.iter().map(|token| cells(token).to_vec()).collect();
    output::table(&["ID", "ROLE", "OWNER", "EXPIRES", "USED", "COMMENT"], &rows)?;
    Ok(ExitCode::SUCCESS)
}

fn revoke(arguments: &RevokeArguments) -> anyhow::Result<ExitCode> {
    arguments.daemon.connect()?.delete(&format!("/tokens/{}", client::path_segment(&arguments.id)))?;
    output::line(&format!("token {} is revoked", arguments.id))?;
    Ok(ExitCode::SUCCESS)
}
