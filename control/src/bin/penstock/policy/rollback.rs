//! `penstock policy rollback EPOCH`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::apply;
use crate::client::DaemonArguments;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  penstock policy rollback\n  penstock policy rollback 6\n  penstock policy rollback 6 --comment 'Fabrikam was locked out'"
)]
pub(crate) struct Arguments {
    /// The epoch whose policy is published again, under a new epoch. Without one: the policy before the one in force.
    epoch: Option<u64>,
    /// Who publishes, for the history.
    #[arg(long, value_name = "NAME", default_value_t = apply::author())]
    author: String,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Refuse when the epoch in force is another one: somebody else published meanwhile.
    #[arg(long, value_name = "EPOCH")]
    expect: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let request = json!({ "epoch": arguments.epoch, "author": arguments.author, "comment": arguments.comment });
    let reply = arguments.daemon.connect()?.post_expecting("/policy/rollback", &request, arguments.expect)?;
    apply::report(&reply, arguments.json)
}
