//! `penstock events`: audit events, as a table, as JSON lines or as CSV, and as they happen.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::client::{Client, DaemonArguments, Unreachable};
use crate::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Only from then on: RFC 3339, a date, or an age such as 24h.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only before then.
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[arg(long, value_name = "NAME")]
    application: Option<String>,
    /// Client software, as its User-Agent or its TLS fingerprint names it.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// allowed, denied, would_deny or fault; several separated by commas.
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    #[arg(long, value_name = "ID")]
    connector: Option<String>,
    /// Address of the inside host.
    #[arg(long, value_name = "IP")]
    source: Option<String>,
    #[arg(long, value_name = "TENANT")]
    target_tenant: Option<String>,
    /// The newest so many.
    #[arg(long, value_name = "COUNT", default_value_t = 100, conflicts_with = "all")]
    limit: u32,
    /// Every event that matches.
    #[arg(long, conflicts_with = "follow")]
    all: bool,
    /// Go on with new events as they come.
    #[arg(long, short = 'f', conflicts_with_all = ["csv", "until"])]
    follow: bool,
    /// Print one JSON object a line.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV with every field.
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const EXAMPLES: &str = "\
Examples:
  penstock events --since 24h --status denied,would_deny
  penstock events --connector anthropic-claude --follow --json
  penstock events --since 2026-11-01 --all --csv > november.csv

Events are printed oldest first.";

/// Time between two looks for new events.
const FOLLOW_PAUSE: Duration = Duration::from_secs(1);
/// Events fetched at once.
const PAGE: u32 = 1_000;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let client = arguments.daemon.connect()?;
    if arguments.csv {
        csv(&client, arguments)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !arguments.json {
        output::line(&row(HEADINGS))?;
    }
    let mut cursor = if arguments.all { forward(&client, arguments, 0)? } else { newest(&client, arguments)? };
    if !arguments.follow {
        return Ok(ExitCode::SUCCESS);
    }
    let mut is_told = false;
    loop {
        thread::sleep(FOLLOW_PAUSE);
        match forward(&client, arguments, cursor) {
            Ok(next) => (cursor, is_told) = (next, false),
            // A daemon that is started again has what came meanwhile.
            Err(error) if error.is::<Unreachable>() => {
                if !is_told {
                    output::note(&format!("{error}; trying again"));
                }
                is_told = true;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Prints the newest events, oldest first; answers the cursor to follow from.
fn newest(client: &Client, arguments: &Arguments) -> anyhow::Result<u64> {
    let mut pages = Vec::new();
    let mut cursor = None;
    let mut newest = None;
    let mut wanted = arguments.limit;
    while wanted > 0 {
        let mut query = filters(arguments);
        query.push(("limit", wanted.min(PAGE).to_string()));
        query.extend(cursor.map(|cursor: u64| ("cursor", cursor.to_string())));
        let answer = client.get("/events", &query)?.json()?;
        let events = answer.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        newest = newest.or_else(|| answer.get("newest").and_then(Value::as_u64));
        wanted = wanted.saturating_sub(u32::try_from(events.len()).unwrap_or(u32::MAX));
        cursor = answer.get("next").and_then(Value::as_u64);
        pages.extend(events);
        if cursor.is_none() {
            break;
        }
    }
    for event in pages.iter().rev() {
        print(event, arguments.json)?;
    }
    Ok(newest.unwrap_or(0))
}

/// Prints what comes after the cursor, in order; answers the cursor behind it.
fn forward(client: &Client, arguments: &Arguments, mut cursor: u64) -> anyhow::Result<u64> {
    loop {
        let mut query = filters(arguments);
        query.push(("order", "asc".to_owned()));
        query.push(("cursor", cursor.to_string()));
        query.push(("limit", PAGE.to_string()));
        let answer = client.get("/events", &query)?.json()?;
        let events = answer.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        for event in &events {
            print(event, arguments.json)?;
        }
        cursor = answer.get("next").and_then(Value::as_u64).unwrap_or(cursor);
        if answer.get("more") != Some(&Value::Bool(true)) {
            return Ok(cursor);
        }
    }
}

/// The API writes the CSV, so that its quoting exists once; the heading is printed once.
fn csv(client: &Client, arguments: &Arguments) -> anyhow::Result<()> {
    let mut cursor: Option<u64> = None;
    loop {
        let mut query = filters(arguments);
        query.push(("format", "csv".to_owned()));
        query.push(("order", if arguments.all { "asc" } else { "desc" }.to_owned()));
        query.push(("limit", if arguments.all { PAGE } else { arguments.limit.min(PAGE) }.to_string()));
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_string())));
        let reply = client.get("/events", &query)?;
        let page = match cursor {
            None => reply.body.as_str(),
            Some(_) => reply.body.split_once("\r\n").map_or("", |(_heading, rest)| rest),
        };
        output::text(page)?;
        cursor = reply.next_cursor;
        if !arguments.all || cursor.is_none() {
            return Ok(());
        }
    }
}

fn filters(arguments: &Arguments) -> Vec<(&'static str, String)> {
    let named = [
        ("since", &arguments.since),
        ("until", &arguments.until),
        ("user", &arguments.user),
        ("application", &arguments.application),
        ("client", &arguments.client),
        ("status", &arguments.status),
        ("connector", &arguments.connector),
        ("source", &arguments.source),
        ("target_tenant", &arguments.target_tenant),
    ];
    named.into_iter().filter_map(|(name, value)| value.clone().map(|value| (name, value))).collect()
}

fn print(event: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return Ok(output::json(event)?);
    }
    let cells = FIELDS.map(|field| output::printable(&output::cell(event, field)));
    Ok(output::line(&row(cells.each_ref().map(String::as_str)))?)
}

/// Columns of fixed width: events stream, so the widest cell is not known beforehand.
fn row(cells: [&str; 9]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.into_iter().zip(WIDTHS) {
        line.push_str(&format!("{cell:width$}  "));
    }
    line.trim_end().to_owned()
}

const FIELDS: [&str; 9] = ["time", "status", "source", "user", "connector", "sni", "target_tenant", "code", "client"];
const HEADINGS: [&str; 9] =
    ["TIME", "STATUS", "SOURCE", "USER", "CONNECTOR", "HOST", "TARGET TENANT", "CODE", "CLIENT"];
const WIDTHS: [usize; 9] = [24, 10, 15, 10, 18, 28, 20, 14, 0];
