//! `penstock policy diff FILE`: the text's changes, and what they do to hosts.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use penstock_control::audit::moment;
use penstock_control::difference::{Change, Difference, difference};
use penstock_control::unified;
use penstock_core::policy::compile;
use serde::Serialize;

use super::document;
use crate::client::DaemonArguments;
use crate::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The policy that is compared with the one in force.
    file: PathBuf,
    /// Compare verdicts as this inside host would get them, and no others; may be repeated.
    #[arg(long, value_name = "IP")]
    source: Vec<IpAddr>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const EXAMPLES: &str = "\
Examples:
  penstock policy diff policy.toml
  penstock policy diff policy.toml --source 10.20.0.1 --source 10.1.2.3

Verdicts are compared for every host pattern that either policy names (a pattern *.name by the name www.name), for all
ranges of sources between the networks that they name, and for the users and groups that they name.";

#[derive(Serialize)]
struct Compared {
    epoch: Option<u64>,
    unified: String,
    #[serde(flatten)]
    difference: Difference,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let document = document::read(&arguments.file)?;
    let Ok(after) = &document.compiled else { return document::report_refusal(&document, arguments.json) };
    let client = arguments.daemon.connect()?;
    let reply = client.get("/policy", &[])?;
    let name = reply.epoch.map_or_else(|| "in force".to_owned(), |epoch| format!("epoch {epoch}"));
    let difference = if arguments.source.is_empty() {
        // As the daemon sees it, which decides.
        let query = [("file", document.file.clone())];
        serde_json::from_value(client.post_policy("/policy/diff", &document.text, &query)?.json()?)?
    } else {
        let before = compile(&name, &reply.body, reply.epoch, 0)
            .map_err(|_| anyhow!("the policy in force cannot be read by this version of penstock"))?;
        difference(&before, after, &arguments.source, moment::now_ms())
    };
    let compared = Compared {
        epoch: reply.epoch,
        unified: unified::diff(&name, &reply.body, &document.file, &document.text),
        difference,
    };
    if arguments.json {
        output::json(&compared)?;
    } else {
        show(&compared)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(compared: &Compared) -> anyhow::Result<()> {
    let Compared { unified, difference, .. } = compared;
    if unified.is_empty() {
        output::line("no difference")?;
        return Ok(());
    }
    output::text(unified)?;
    output::line("")?;
    for host in &difference.hosts_added {
        output::line(&format!("+ inspected: {host}"))?;
    }
    for host in &difference.hosts_removed {
        output::line(&format!("- inspected: {host}"))?;
    }
    for change in &difference.verdicts_changed {
        let Change { host, sources, user, before, after } = change;
        let user = user.as_ref().map_or_else(String::new, |user| format!(" as {user}"));
        output::line(&format!("~ {host}{user} from {}:\n    {before}\n    {after}", sources.join(", ")))?;
    }
    let counts = (difference.hosts_added.len(), difference.hosts_removed.len(), difference.verdicts_changed.len());
    if difference.partial_rollout {
        output::line("note: an assignment covers a part of its sources; single ones may get another verdict")?;
    }
    if difference.left_out > 0 {
        output::line(&format!("note: {} more changes are not listed", difference.left_out))?;
    }
    output::line(&format!("{} host(s) added, {} removed, {} verdict(s) changed", counts.0, counts.1, counts.2))?;
    Ok(())
}
