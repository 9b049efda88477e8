//! The report: every look's finding, told for people or as JSON.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::look;
use crate::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The appliance's state folder.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/penstock")]
    state: PathBuf,
    /// Roots in this PEM file are trusted for origins too; may be repeated.
    #[arg(long, value_name = "FILE")]
    upstream_ca: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  penstock doctor
  penstock doctor --state ./state --json

Ends with 1 when something would keep the appliance from working.";

/// One finding. The data plane's probe prints the same form.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Check {
    /// What was looked at.
    name: String,
    state: State,
    /// What was found.
    found: String,
    /// What mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// The appliance cannot work.
    Failed,
    Good,
    /// It works, and not as well as it could.
    Warning,
}

#[derive(Deserialize)]
struct Probe {
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    checks: Vec<Check>,
}

impl Check {
    pub(super) fn good(name: &str, found: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state: State::Good, found: found.into(), fix: None }
    }

    pub(super) fn warning(name: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Warning, fix: Some(fix.into()), ..Self::good(name, found) }
    }

    pub(super) fn failed(name: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Failed, ..Self::warning(name, found, fix) }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut checks = probe().unwrap_or_else(|error| {
        let fix = "install penstock-dataplane beside penstock";
        vec![Check::failed("data plane", format!("{error:#}"), fix)]
    });
    checks.push(look::clock());
    checks.push(look::authority(&arguments.state));
    checks.push(look::upstream_roots(&arguments.upstream_ca));
    checks.push(look::socket_path(&arguments.state));
    let report = Report { ok: checks.iter().all(|check| check.state != State::Failed), checks };
    if arguments.json {
        output::json(&report)?;
    } else {
        show(&report)?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks the data plane's own program.
fn probe() -> anyhow::Result<Vec<Check>> {
    let path = std::env::current_exe()?.with_file_name("penstock-dataplane");
    ensure!(path.is_file(), "{} is missing", path.display());
    let run = Command::new(&path).args(["--probe", "--json"]).output().with_context(|| path.display().to_string())?;
    let probe: Probe = serde_json::from_slice(&run.stdout)
        .with_context(|| format!("{} --probe: {}", path.display(), String::from_utf8_lossy(&run.stderr).trim()))?;
    Ok(probe.checks)
}

fn show(report: &Report) -> anyhow::Result<()> {
    for check in &report.checks {
        let mark = match check.state {
            State::Failed => "FAILED ",
            State::Good => "ok     ",
            State::Warning => "warning",
        };
        output::line(&format!("{mark}  {:<15} {}", check.name, check.found))?;
        if let Some(fix) = &check.fix {
            output::line(&format!("{:24}  -> {fix}", ""))?;
        }
    }
    Ok(())
}
