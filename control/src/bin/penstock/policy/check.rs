//! `penstock policy check FILE`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use penstock_control::audit::moment;
use serde_json::json;

use super::document;
use crate::output;

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock policy check policy.toml\n  penstock policy check policy.toml --json")]
pub(crate) struct Arguments {
    /// The policy, TOML.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let document = document::read(&arguments.file)?;
    let Ok(snapshot) = &document.compiled else { return document::report_refusal(&document, arguments.json) };
    let warnings = snapshot.findings(moment::now_ms());
    if arguments.json {
        output::json(&json!({ "valid": true, "file": document.file, "diagnostics": warnings }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for warning in &warnings {
        output::note(&warning.to_string());
    }
    let warned = match warnings.len() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        count => format!(", {count} warnings"),
    };
    let (profiles, hosts) = (snapshot.profiles().count(), snapshot.inspected_hosts().count());
    output::line(&format!("{}: ok: {profiles} profile(s), {hosts} inspected host pattern(s){warned}", document.file))?;
    Ok(ExitCode::SUCCESS)
}
