//! `penstock probe`: whether hosts that pass let a client reach inspected ones.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use penstock_control::probe::{Findings, Fronting, Pair, Prober};
use penstock_core::sni::Sni;

use crate::output;
use crate::policy::document;
use crate::up::host_entry;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Hosts that pass.
    #[arg(value_name = "NAME", required = true, value_parser = host_name)]
    names: Vec<Sni>,
    /// The policy that says what passes and what is inspected.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Look for a way to this inspected host alone; may be repeated [default: each host that the policy names exactly].
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    inspected: Vec<Sni>,
    /// Address of the inside host for whom the policy is asked.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    source: IpAddr,
    /// Ask this address for that name, `*` for every other; may be repeated.
    #[arg(long, value_name = "NAME=IP:PORT", value_parser = host_entry)]
    host: Vec<(String, SocketAddr)>,
    /// Roots in this PEM file are trusted for origins too; may be repeated.
    #[arg(long, value_name = "FILE")]
    upstream_ca: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  penstock probe --policy policy.toml www.example.com
  penstock probe --policy policy.toml www.example.com cdn.example.net --inspected claude.ai --json

For each host that passes and each that is inspected, one connection is made to the one and asked for the other, as a
client that wants to slip by would do. Ends with 1 when there is a way around: inspect that host too (`extra_hosts`), or
deny it.";

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let checked = document::read(&arguments.policy)?;
    let Ok(snapshot) = checked.compiled else { return document::report_refusal(&checked, arguments.json) };
    let prober = Prober::new(&arguments.upstream_ca, arguments.host)?;
    let told = |what: &str| output::note(&format!("asking {what}"));
    let findings = prober.probe(&snapshot, arguments.source, &arguments.names, &arguments.inspected, told);
    if arguments.json {
        output::json(&findings)?;
    } else {
        show(&findings)?;
    }
    let found = findings.pairs.iter().any(Pair::is_way_around) || findings.pairs.is_empty();
    Ok(if found { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show(findings: &Findings) -> anyhow::Result<()> {
    let rows: Vec<_> = findings.pairs.iter().map(row).collect();
    if !rows.is_empty() {
        output::table(&["PASSES", "INSPECTED", "STATUS", "FOUND"], &rows)?;
    }
    for name in &findings.not_passed {
        output::line(&format!("{name} does not pass under this policy: nothing to probe"))?;
    }
    for (what, why) in &findings.unreachable {
        output::line(&format!("{what} could not be asked: {}", output::printable(why)))?;
    }
    Ok(())
}

fn row(pair: &Pair) -> Vec<String> {
    let mut found = Vec::new();
    match pair.fronting {
        Fronting::Answers => found.push("A WAY AROUND: answers as the inspected host does"),
        Fronting::Alike => found.push("not told apart: all answer alike"),
        Fronting::Refuses => {}
    }
    if pair.may_coalesce() {
        found.push("A WAY AROUND: browsers share the connection (same certificate and address)");
    } else if pair.shares_certificate {
        found.push("same certificate, other addresses");
    }
    let found = if found.is_empty() { "nothing".to_owned() } else { found.join("; ") };
    vec![pair.name.clone(), pair.inspected.clone(), pair.status.to_string(), found]
}

fn host_name(text: &str) -> anyhow::Result<Sni> {
    Sni::parse(text.as_bytes()).map_err(|_| anyhow!("{text:?} is no host name"))
}
