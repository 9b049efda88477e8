//! `penstock policy test --policy FILE --pcap FILE`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use ipnet::IpNet;
use serde::Serialize;

use super::flows::{Filter, Flows};
use super::report::{Group, Row, Totals, UnreadGroup};
use super::{capture, frame};
use crate::output;
use crate::policy::document;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The policy, TOML.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The capture: pcap or pcapng, of Ethernet, Linux cooked or raw IP packets.
    #[arg(long, value_name = "FILE")]
    pcap: PathBuf,
    /// Look only at flows of these inside hosts; may be repeated.
    #[arg(long, value_name = "CIDR", value_parser = parse_network)]
    source: Vec<IpNet>,
    /// Port that is led to the appliance; may be repeated.
    #[arg(long, value_name = "PORT", default_values_t = [443])]
    port: Vec<u16>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  tcpdump -i eth1 -w office.pcap 'port 443'                   (on the path of the clients)
  penstock policy test --policy policy.toml --pcap office.pcap
  penstock policy test --policy policy.toml --pcap office.pcapng --source 10.1.0.0/16 --json

Each ClientHello, over TCP or QUIC, is judged as in transparent mode, without users, and without what the appliance learns
of hosts' addresses. A flow whose ClientHello is not whole in the capture is listed without a verdict.";

#[derive(Serialize)]
struct Found<'a> {
    policy: &'a str,
    pcap: String,
    packets: u64,
    packets_other: u64,
    packets_left_out: u64,
    flows: Totals,
    /// Flows that stand in no row.
    flows_left_out: u64,
    hosts: Vec<Row<Group>>,
    unread: Vec<Row<UnreadGroup>>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let document = document::read(&arguments.policy)?;
    let Ok(snapshot) = &document.compiled else { return document::report_refusal(&document, arguments.json) };
    let mut flows = Flows::new(snapshot, Filter { ports: &arguments.port, sources: &arguments.source });
    let packets = capture::read(&arguments.pcap, |packet| {
        flows.handle(frame::parse(packet)?.as_ref());
        Ok(())
    })?;
    flows.handle_end();
    let (packets_other, packets_left_out, totals) = (flows.packets_other, flows.packets_left_out, flows.tally.totals);
    let (hosts, unread, flows_left_out) = flows.tally.rows();
    let found = Found {
        policy: &document.file,
        pcap: arguments.pcap.display().to_string(),
        packets,
        packets_other,
        packets_left_out,
        flows: totals,
        flows_left_out,
        hosts,
        unread,
    };
    if arguments.json {
        output::json(&found)?;
    } else {
        show(&found)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(address).ok_or_else(|| "it must be an address or a network, like 10.1.0.0/16".to_owned())
}

fn show(found: &Found<'_>) -> anyhow::Result<()> {
    if !found.hosts.is_empty() {
        let headings = ["VERDICT", "REASON", "HOST", "OVER", "FLOWS", "SOURCES", "PROFILE", "CONNECTORS"];
        output::table(&headings, &found.hosts.iter().map(cells).collect::<Vec<_>>())?;
        output::line("")?;
    }
    if !found.unread.is_empty() {
        let rows: Vec<Vec<String>> = found.unread.iter().map(unread_cells).collect();
        output::table(&["NOT READ", "DESTINATION", "OVER", "FLOWS", "SOURCES"], &rows)?;
        output::line("")?;
    }
    let Totals { deny, inspect, pass, unread } = found.flows;
    output::line(&format!(
        "{} flow(s): {inspect} inspected, {pass} passed, {deny} denied, {unread} not read; {} packet(s), {} of them of no client",
        deny + inspect + pass + unread,
        found.packets,
        found.packets_other,
    ))?;
    if found.packets_left_out + found.flows_left_out > 0 {
        let (packets, flows) = (found.packets_left_out, found.flows_left_out);
        output::note(&format!(
            "left out: {packets} packet(s) of too many flows, rows of {flows} flow(s): use --source"
        ));
    }
    Ok(())
}

fn cells(row: &Row<Group>) -> Vec<String> {
    let Row { group, flows, sources } = row;
    let reason = group.reject.map_or_else(|| group.reason.to_owned(), |reject| format!("{} ({reject})", group.reason));
    let destination = || group.destination.map(|destination| destination.to_string());
    let profile = group.profile.as_ref().map_or_else(|| "-".to_owned(), |name| format!("{name} ({})", group.mode));
    vec![
        group.verdict.to_owned(),
        reason,
        group.host.clone().or_else(destination).unwrap_or_default(),
        group.transport.label().to_owned(),
        flows.to_string(),
        sources.to_string(),
        profile,
        if group.connectors.is_empty() { "-".to_owned() } else { group.connectors.join(", ") },
    ]
}

fn unread_cells(row: &Row<UnreadGroup>) -> Vec<String> {
    let UnreadGroup { why, transport, destination } = row.group;
    let words = why.words().to_owned();
    vec![words, destination.to_string(), transport.label().to_owned(), row.flows.to_string(), row.sources.to_string()]
}
