//! `penstock policy show [EPOCH]`: the document as it was published.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use crate::client::DaemonArguments;
use crate::output;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  penstock policy show > policy.toml\n  penstock policy show 6\n  penstock policy show --json"
)]
pub(crate) struct Arguments {
    /// An earlier epoch than the one in force.
    epoch: Option<u64>,
    /// Print JSON: the epoch, and the document's tables as objects.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let query: Vec<_> = arguments.epoch.map(|epoch| ("epoch", epoch.to_string())).into_iter().collect();
    let reply = arguments.daemon.connect()?.get("/policy", &query)?;
    if arguments.json {
        let policy: toml::Value = toml::from_str(&reply.body).context("the admin API's answer is no TOML")?;
        output::json(&json!({ "epoch": reply.epoch, "policy": policy }))?;
    } else {
        output::text(&reply.body)?;
    }
    Ok(ExitCode::SUCCESS)
}
