//! `penstock openapi`: the admin API's description of itself.

use std::process::ExitCode;

use clap::Args;

use crate::client::DaemonArguments;
use crate::output;

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock openapi > penstock-openapi.json")]
pub(crate) struct Arguments {
    #[command(flatten)]
    daemon: DaemonArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    output::line(&arguments.daemon.connect()?.get("/openapi.json", &[])?.body)?;
    Ok(ExitCode::SUCCESS)
}
