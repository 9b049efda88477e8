//! `penstock report`: sign-ins a row each, or refusals counted, as a table, as JSON lines or as CSV.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::client::{Client, DaemonArguments};
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
    /// Only of this user; shows names of people.
    #[arg(long, value_name = "NAME", conflicts_with = "denials_by")]
    user: Option<String>,
    #[arg(long, value_name = "NAME", conflicts_with = "denials_by")]
    application: Option<String>,
    /// Client software.
    #[arg(long, value_name = "NAME", conflicts_with = "denials_by")]
    client: Option<String>,
    /// allowed, denied, would_deny or fault; several separated by commas.
    #[arg(long, value_name = "STATUS", conflicts_with = "denials_by")]
    status: Option<String>,
    #[arg(long, value_name = "ID")]
    connector: Option<String>,
    #[arg(long, value_name = "TENANT", conflicts_with = "denials_by")]
    target_tenant: Option<String>,
    /// Columns, separated by commas: user, username, application, status, date, date_utc, ip_address, client, location,
    /// target_tenant_id, connector, code, vendor_request_id.
    #[arg(long, value_name = "LIST", conflicts_with = "denials_by")]
    columns: Option<String>,
    /// Zone of the column Date, such as +01:00.
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true, conflicts_with = "denials_by")]
    utc_offset: Option<String>,
    /// Count refusals instead: by application, connector, day, hour, source, tenant or user.
    #[arg(long, value_name = "KEY")]
    denials_by: Option<String>,
    /// Show names and addresses of people. Your role must allow it, and the trail tells of it.
    #[arg(long)]
    unmask: bool,
    /// The newest so many; of refusals, so many rows.
    #[arg(long, value_name = "COUNT", default_value_t = 100, conflicts_with = "all")]
    limit: u32,
    /// Every sign-in that matches.
    #[arg(long, conflicts_with = "denials_by")]
    all: bool,
    /// Print one JSON object a line.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV.
    #[arg(long, conflicts_with = "denials_by")]
    csv: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const EXAMPLES: &str = "\
Examples:
  penstock report --since 7d --status denied,would_deny
  penstock report --since 2026-11-01 --all --csv --columns date,user,application,target_tenant_id > november.csv
  penstock report --denials-by tenant --since 30d
  penstock report --user alice@contoso.com --utc-offset +01:00

A row is a sign-in: the first request of those that one flow makes for it. Newest first.";

/// Rows fetched at once.
const PAGE: u32 = 5_000;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let client = arguments.daemon.connect()?;
    match &arguments.denials_by {
        Some(by) => denials(&client, arguments, by)?,
        None if arguments.csv => csv(&client, arguments)?,
        None => sign_ins(&client, arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn denials(client: &Client, arguments: &Arguments, by: &str) -> anyhow::Result<()> {
    let mut query = filters(arguments);
    query.push(("by", by.to_owned()));
    query.push(("limit", arguments.limit.to_string()));
    let answer = client.get("/report/denials", &query)?.json()?;
    let rows = answer.get("rows").and_then(Value::as_array).cloned().unwrap_or_default();
    if arguments.json {
        return rows.iter().try_for_each(|row| Ok(output::json(row)?));
    }
    let cells =
        |row: &Value| ["key", "denied", "would_deny", "first", "last"].map(|field| output::cell(row, field)).to_vec();
    let heading = by.to_uppercase();
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::table(&[heading.as_str(), "DENIED", "WOULD DENY", "FIRST", "LAST"], &rows)?;
    if answer.get("more") == Some(&Value::Bool(true)) {
        output::note("there are more rows: use --limit");
    }
    Ok(())
}

fn sign_ins(client: &Client, arguments: &Arguments) -> anyhow::Result<()> {
    let mut left = if arguments.all { u32::MAX } else { arguments.limit };
    let (mut cursor, mut headings, mut rows) = (None, Vec::new(), Vec::new());
    while left > 0 {
        let answer = client.get("/report", &page(arguments, left, cursor))?.json()?;
        let columns = answer.get("columns").and_then(Value::as_array).cloned().unwrap_or_default();
        headings = columns.iter().map(|column| output::cell(column, "heading").to_uppercase()).collect::<Vec<String>>();
        let found = answer.get("rows").and_then(Value::as_array).cloned().unwrap_or_default();
        left = left.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        for row in &found {
            if arguments.json {
                output::json(row)?;
                continue;
            }
            rows.push(columns.iter().map(|column| output::cell(row, &output::cell(column, "key"))).collect::<Vec<_>>());
        }
        cursor = answer.get("next").and_then(Value::as_u64);
        if cursor.is_none() {
            break;
        }
    }
    if !arguments.json {
        output::table(&headings.iter().map(String::as_str).collect::<Vec<_>>(), &rows)?;
    }
    Ok(())
}

/// The API writes the CSV, so that its quoting exists once; the heading is printed once.
fn csv(client: &Client, arguments: &Arguments) -> anyhow::Result<()> {
    let mut left = if arguments.all { u32::MAX } else { arguments.limit };
    let mut cursor = None;
    while left > 0 {
        let mut query = page(arguments, left, cursor);
        query.push(("format", "csv".to_owned()));
        let reply = client.get("/report", &query)?;
        let body = match cursor {
            None => reply.body.as_str(),
            Some(_) => reply.body.split_once("\r\n").map_or("", |(_heading, rest)| rest),
        };
        output::text(body)?;
        left = left.saturating_sub(PAGE);
        cursor = reply.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(())
}

fn page(arguments: &Arguments, left: u32, cursor: Option<u64>) -> Vec<(&'static str, String)> {
    let mut query = filters(arguments);
    let named = [
        ("user", &arguments.user),
        ("application", &arguments.application),
        ("client", &arguments.client),
        ("status", &arguments.status),
        ("target_tenant", &arguments.target_tenant),
        ("columns", &arguments.columns),
        ("utc_offset", &arguments.utc_offset),
    ];
    query.extend(named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    query.push(("limit", left.min(PAGE).to_string()));
    query.extend(cursor.map(|cursor| ("cursor", cursor.to_string())));
    query
}

/// What sign-ins and refusals have in common.
fn filters(arguments: &Arguments) -> Vec<(&'static str, String)> {
    let named = [("since", &arguments.since), ("until", &arguments.until), ("connector", &arguments.connector)];
    let mut query: Vec<_> = named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
    query.extend(arguments.unmask.then(|| ("unmask", true.to_string())));
    query
}
