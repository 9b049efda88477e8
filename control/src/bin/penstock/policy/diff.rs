//! `penstock policy diff FILE`: the text's changes, and what they do to hosts.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use penstock_control::audit::moment;
use penstock_control::explain::Question;
use penstock_core::policy::{Snapshot, compile};
use serde::Serialize;

use super::document;
use crate::client::DaemonArguments;
use crate::{output, unified};

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The policy that is compared with the one in force.
    file: PathBuf,
    /// Compare verdicts as this inside host would get them; may be repeated.
    #[arg(long, value_name = "IP", default_values_t = [IpAddr::V4(Ipv4Addr::LOCALHOST)])]
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

Verdicts are compared for every host pattern that either policy inspects (a pattern *.name by the name www.name).";

#[derive(Serialize)]
struct Difference {
    epoch: Option<u64>,
    unified: String,
    hosts_added: Vec<String>,
    hosts_removed: Vec<String>,
    verdicts_changed: Vec<Change>,
}

#[derive(Serialize)]
struct Change {
    host: String,
    source: IpAddr,
    before: String,
    after: String,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let document = document::read(&arguments.file)?;
    let Ok(after) = &document.compiled else { return document::report_refusal(&document, arguments.json) };
    let reply = arguments.daemon.connect()?.get("/policy", &[])?;
    let name = reply.epoch.map_or_else(|| "in force".to_owned(), |epoch| format!("epoch {epoch}"));
    let before = compile(&name, &reply.body, reply.epoch, 0)
        .map_err(|_| anyhow!("the policy in force cannot be read by this version of penstock"))?;
    let (old_hosts, new_hosts) = (hosts(&before), hosts(after));
    let difference = Difference {
        epoch: reply.epoch,
        unified: unified::diff(&name, &reply.body, &document.file, &document.text),
        hosts_added: new_hosts.difference(&old_hosts).cloned().collect(),
        hosts_removed: old_hosts.difference(&new_hosts).cloned().collect(),
        verdicts_changed: changes(&before, after, &old_hosts | &new_hosts, &arguments.source),
    };
    if arguments.json {
        output::json(&difference)?;
    } else {
        show(&difference)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn hosts(snapshot: &Snapshot) -> BTreeSet<String> {
    snapshot.inspected_hosts().map(|host| host.to_string()).collect()
}

fn changes(before: &Snapshot, after: &Snapshot, hosts: BTreeSet<String>, sources: &[IpAddr]) -> Vec<Change> {
    let mut changes = Vec::new();
    for host in hosts {
        let name = host.strip_prefix("*.").map_or_else(|| host.clone(), |suffix| format!("www.{suffix}"));
        for &source in sources {
            let question = Question { sni: Some(name.clone()), source: Some(source), ..Question::default() };
            let (before, after) = (outcome(&question, before), outcome(&question, after));
            if before != after {
                changes.push(Change { host: host.clone(), source, before, after });
            }
        }
    }
    changes
}

/// Everything of an explanation that a user would notice, in one line.
fn outcome(question: &Question, snapshot: &Snapshot) -> String {
    let Ok(explanation) = question.answer(snapshot, moment::now_ms()) else { return "-".to_owned() };
    let value = serde_json::to_value(explanation).unwrap_or_default();
    let mut told = format!("{} ({})", output::cell(&value, "verdict"), output::cell(&value, "reason"));
    for name in ["set", "would_set"] {
        for header in value.get(name).and_then(serde_json::Value::as_array).into_iter().flatten() {
            told.push_str(&format!(" {}={}", output::cell(header, "name"), output::cell(header, "value")));
        }
    }
    told
}

fn show(difference: &Difference) -> anyhow::Result<()> {
    if difference.unified.is_empty() {
        output::line("no difference")?;
        return Ok(());
    }
    output::text(&difference.unified)?;
    output::line("")?;
    for host in &difference.hosts_added {
        output::line(&format!("+ inspected: {host}"))?;
    }
    for host in &difference.hosts_removed {
        output::line(&format!("- inspected: {host}"))?;
    }
    for change in &difference.verdicts_changed {
        let Change { host, source, before, after } = change;
        output::line(&format!("~ {host} from {source}:\n    {before}\n    {after}"))?;
    }
    let counts = (difference.hosts_added.len(), difference.hosts_removed.len(), difference.verdicts_changed.len());
    output::line(&format!("{} host(s) added, {} removed, {} verdict(s) changed", counts.0, counts.1, counts.2))?;
    Ok(())
}
