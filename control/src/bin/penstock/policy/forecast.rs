//! `penstock policy forecast [FILE]`: what a policy would have done with the events that are recorded.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::document;
use crate::client::DaemonArguments;
use crate::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The policy. Without one: the policy in force, as if its report-only profiles were enforced.
    file: Option<PathBuf>,
    /// Look at events from then on: RFC 3339, a date, or an age such as 24h.
    #[arg(long, value_name = "WHEN", default_value = "7d")]
    since: String,
    /// And before then.
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Show names and addresses of people. Your role must allow it, and the trail tells of it.
    #[arg(long)]
    unmask: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const EXAMPLES: &str = "\
Examples:
  penstock policy forecast                                   (if report-only were enforced)
  penstock policy forecast policy.toml --since 30d --unmask

It judges the newest million events of the interval, and says what they do not tell.";

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    let mut query = vec![("since", arguments.since.clone())];
    query.extend(arguments.until.clone().map(|until| ("until", until)));
    query.extend(arguments.unmask.then(|| ("unmask", true.to_string())));
    if let Some(file) = &arguments.file {
        let document = document::read(file)?;
        if document.compiled.is_err() {
            return document::report_refusal(&document, arguments.json);
        }
        (text, _) = (document.text, query.push(("file", document.file)));
    }
    let answer = arguments.daemon.connect()?.post_policy("/policy/forecast", &text, &query)?.json()?;
    if arguments.json {
        output::json(&answer)?;
    } else {
        show(&answer)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(answer: &Value) -> anyhow::Result<()> {
    let number = |name: &str| output::cell(answer, name);
    let people = answer.get("people").and_then(Value::as_array).cloned().unwrap_or_default();
    if !people.is_empty() {
        let rows: Vec<Vec<String>> = people.iter().map(cells).collect();
        output::table(&["WHO", "DENIED", "UNKNOWN", "FREED", "CONNECTORS", "TENANTS"], &rows)?;
        output::line("")?;
    }
    output::line(&format!(
        "{} would have been denied that were not; of {} nobody can tell; {} denied would not have been",
        people_of(&number("newly_denied")),
        people_of(&number("unknown")),
        people_of(&number("freed")),
    ))?;
    let cut = if answer.get("truncated") == Some(&Value::Bool(true)) { ", the newest of more" } else { "" };
    output::line(&format!("{} event(s) since {}{cut}", number("looked_at"), number("since")))?;
    for limit in answer.get("limits").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        output::line(&format!("note: {limit}"))?;
    }
    Ok(())
}

fn people_of(count: &str) -> String {
    if count == "1" { "1 user or source".to_owned() } else { format!("{count} users or sources") }
}

fn cells(person: &Value) -> Vec<String> {
    let list = |name: &str| {
        let items = person.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        items.collect::<Vec<_>>().join(", ")
    };
    let who = match output::cell(person, "user").as_str() {
        "-" => output::cell(person, "source"),
        user => user.to_owned(),
    };
    let [denied, unknown, freed] = ["newly_denied", "unknown", "freed"].map(|name| output::cell(person, name));
    vec![who, denied, unknown, freed, list("connectors"), list("tenants")]
}
