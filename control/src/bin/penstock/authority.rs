//! `penstock ca`: the root certificate.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::client::DaemonArguments;
use crate::output;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Save the root certificate, for the trust stores of clients.
    Export(ExportArguments),
    /// Show root and issuer: fingerprint, life, and the hosts that the issuer may vouch for.
    Show(ShowArguments),
}

#[derive(Args)]
#[command(
    after_help = "Examples:\n  penstock ca export > root.pem\n  penstock ca export --out /usr/local/share/ca-certificates/penstock.crt"
)]
pub(crate) struct ExportArguments {
    /// Where to save it; standard output unless given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock ca show\n  penstock ca show --json")]
pub(crate) struct ShowArguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Export(arguments) => export(arguments),
        Command::Show(arguments) => show(arguments),
    }
}

fn export(arguments: &ExportArguments) -> anyhow::Result<ExitCode> {
    let pem = arguments.daemon.open()?.get_open("/ca/root.pem")?.body;
    if let Some(path) = &arguments.out {
        fs::write(path, &pem).with_context(|| path.display().to_string())?;
    }
    match (&arguments.out, arguments.json) {
        (out, true) => output::json(&json!({ "pem": pem, "file": out }))?,
        (Some(path), false) => output::note(&format!("root certificate saved as {}", path.display())),
        (None, false) => output::text(&pem)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    let answer = arguments.daemon.connect()?.get("/ca", &[])?.json()?;
    if arguments.json {
        output::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let empty = Value::Null;
    let root = answer.get("root").unwrap_or(&empty);
    output::line(&format!("root    sha256 {}", output::cell(root, "sha256")))?;
    output::line(&format!("        ends {}", output::cell(root, "not_after")))?;
    let Some(issuer) = answer.get("issuer").filter(|issuer| !issuer.is_null()) else {
        output::line("issuer  none: no policy is in force")?;
        return Ok(ExitCode::SUCCESS);
    };
    output::line(&format!("issuer  serial {}", output::cell(issuer, "serial")))?;
    output::line(&format!("        ends {}", output::cell(issuer, "not_after")))?;
    for host in issuer.get("hosts").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        output::line(&format!("        for {host}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
