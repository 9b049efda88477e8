//! `penstock policy check FILE`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use penstock_control::audit::moment;
use serde_json::{Value, json};

use super::document::{self, Document};
use crate::client::{DaemonArguments, Refused, diagnostic_line};
use crate::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The policy, TOML.
    file: PathBuf,
    /// Have the daemon check it, which may be of another version than this command.
    #[arg(long = "daemon")]
    is_remote: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const EXAMPLES: &str = "\
Examples:
  penstock policy check policy.toml
  penstock policy check policy.toml --json
  penstock policy check policy.toml --daemon --admin https://penstock.corp.example:7080";

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let document = document::read(&arguments.file)?;
    if arguments.is_remote {
        return ask(arguments, &document);
    }
    let Ok(snapshot) = &document.compiled else { return document::report_refusal(&document, arguments.json) };
    let warnings = snapshot.findings(moment::now_ms());
    if arguments.json {
        output::json(&json!({ "valid": true, "file": document.file, "diagnostics": warnings }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for warning in &warnings {
        output::note(&warning.to_string());
    }
    let (profiles, hosts) = (snapshot.profiles().count(), snapshot.inspected_hosts().count());
    let warned = warned(warnings.len());
    output::line(&format!("{}: ok: {profiles} profile(s), {hosts} inspected host pattern(s){warned}", document.file))?;
    Ok(ExitCode::SUCCESS)
}

/// What the daemon says of it.
fn ask(arguments: &Arguments, document: &Document) -> anyhow::Result<ExitCode> {
    let query = [("file", document.file.clone())];
    let reply = match arguments.daemon.connect()?.post_policy("/policy/check", &document.text, &query) {
        Ok(reply) => reply,
        Err(error) => {
            let diagnostics = error.downcast_ref::<Refused>().and_then(Refused::diagnostics);
            let Some(diagnostics) = diagnostics.filter(|_| arguments.json) else { return Err(error) };
            output::json(&json!({ "valid": false, "file": document.file, "diagnostics": diagnostics }))?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let answer = reply.json()?;
    let warnings = answer.get("warnings").and_then(Value::as_array).cloned().unwrap_or_default();
    if arguments.json {
        output::json(&json!({ "valid": true, "file": document.file, "diagnostics": warnings }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for warning in &warnings {
        output::note(&diagnostic_line(warning));
    }
    output::line(&format!("{}: ok for the daemon{}", document.file, warned(warnings.len())))?;
    Ok(ExitCode::SUCCESS)
}

fn warned(warnings: usize) -> String {
    match warnings {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        count => format!(", {count} warnings"),
    }
}
