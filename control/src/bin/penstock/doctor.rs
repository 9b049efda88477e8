//! `penstock doctor`: what would keep the appliance from working on this machine, and how to mend it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use penstock_control::doctor::{Report, State, examine};

use crate::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The appliance's state folder.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/penstock")]
    state: PathBuf,
    /// The data plane's configuration: what it asks of this host is looked at [default: /etc/penstock/dataplane.toml, where
    /// that is there].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
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
  penstock doctor --config /etc/penstock/dataplane.toml --json
  penstock doctor --state ./state --config ./state/dataplane.toml

Ends with 1 when something would keep the appliance from working.";

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let installed = || Some(PathBuf::from(INSTALLED)).filter(|path| path.exists());
    let config = arguments.config.clone().or_else(installed);
    let report = examine(&arguments.state, &arguments.upstream_ca, config.as_deref());
    if arguments.json {
        output::json(&report)?;
    } else {
        show(&report)?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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

/// Where the package puts the data plane's configuration.
const INSTALLED: &str = "/etc/penstock/dataplane.toml";
