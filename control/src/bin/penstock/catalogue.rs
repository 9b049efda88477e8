//! `penstock catalogue`: the connectors that are built in here, or in the daemon.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use penstock_core::catalogue::{ConnectorId, connector, connectors};
use serde_json::{Value, json};

use crate::client::{self, DaemonArguments};
use crate::output::{self, cell};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List every connector.
    List(ListArguments),
    /// Show one: what to fill in, hosts, headers, refusals, source.
    Show(ShowArguments),
}

#[derive(Args)]
#[command(
    after_help = "Examples:\n  penstock catalogue list\n  penstock catalogue list --json\n  penstock catalogue list --daemon"
)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock catalogue show microsoft-entra\n  penstock catalogue show slack --json")]
pub(crate) struct ShowArguments {
    /// Catalogue id; `penstock catalogue list` shows them.
    id: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct Place {
    /// Ask the daemon, which may be of another version than this command.
    #[arg(long = "daemon")]
    is_remote: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(arguments) => list(&arguments.place),
        Command::Show(arguments) => show(arguments),
    }
}

fn list(place: &Place) -> anyhow::Result<ExitCode> {
    let catalogue = match place.is_remote {
        true => place.daemon.connect()?.get("/catalogue", &[])?.json()?,
        false => json!({ "connectors": connectors().collect::<Vec<_>>() }),
    };
    if place.json {
        output::json(&catalogue)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |connector: &Value| {
        let confirmed = if is_absent(connector, "unverified") { "confirmed" } else { "unverified" };
        let facts = format!("{confirmed} {}, {}", cell(connector, "confidence"), cell(connector, "checked"));
        let hosts: Vec<&str> = items(connector, "hosts").filter_map(Value::as_str).collect();
        vec![cell(connector, "id"), cell(connector, "title"), facts, hosts.join(" ")]
    };
    let rows: Vec<Vec<String>> = items(&catalogue, "connectors").map(row).collect();
    output::table(&["ID", "TITLE", "FACTS", "HOSTS"], &rows)?;
    Ok(ExitCode::SUCCESS)
}

fn show(ShowArguments { id, place }: &ShowArguments) -> anyhow::Result<ExitCode> {
    let connector = match (place.is_remote, ConnectorId::parse(id)) {
        (true, _) => place.daemon.connect()?.get(&format!("/catalogue/{}", client::path_segment(id)), &[])?.json()?,
        (false, Some(id)) => json!(connector(id)),
        (false, None) => bail!("no connector has the id {id:?}; see: penstock catalogue list"),
    };
    if place.json {
        output::json(&connector)?;
    } else {
        output::text(&describe(&connector))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(connector: &Value) -> String {
    let text = |name| cell(connector, name);
    let mut page = Page(format!("{}: {} ({})\n", text("id"), text("title"), text("vendor")));
    page.line("effect", &text("effect"));
    page.line("plan", &text("plan"));
    if !is_absent(connector, "unverified") {
        let reason = text("unverified");
        page.line("UNVERIFIED", &format!("{reason} (a restriction must say allow_unverified = true)"));
    }
    for field in items(connector, "fields") {
        let is = |name| field.get(name) == Some(&Value::Bool(true));
        let required = if is("required") { "required" } else { "optional" };
        let many = if is("list") { "list of " } else { "" };
        let kind = field.get("kind").map(kind).unwrap_or_default();
        page.line("field", &format!("{} ({required}, {many}{kind}): {}", cell(field, "name"), cell(field, "help")));
    }
    page.pairs("header", connector, "headers", |header| (cell(header, "name"), cell(header, "value")));
    page.words("inspects", connector, "hosts");
    page.notes("on request", connector, "optional_hosts");
    page.notes("never", connector, "never_inspect");
    page.notes("better deny", connector, "deny_advice");
    page.notes("siblings", connector, "siblings");
    page.pairs("not with", connector, "conflicts", |conflict| (cell(conflict, "with"), cell(conflict, "reason")));
    for denial in items(connector, "denials") {
        page.line("refusal", &cell(denial, "code"));
    }
    page.words("note", connector, "notes");
    let (source, checked, confidence) = (text("source"), text("checked"), text("confidence"));
    page.line("source", &format!("{source} (read {checked}, confidence {confidence})"));
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, heading: &str, text: &str) {
        self.0.push_str(&format!("  {heading:<12} {text}\n"));
    }

    fn words(&mut self, heading: &str, connector: &Value, name: &str) {
        for word in items(connector, name).filter_map(Value::as_str) {
            self.line(heading, word);
        }
    }

    fn pairs(&mut self, heading: &str, connector: &Value, name: &str, pair: impl Fn(&Value) -> (String, String)) {
        for (first, second) in items(connector, name).map(pair) {
            self.line(heading, &format!("{first}: {second}"));
        }
    }

    fn notes(&mut self, heading: &str, connector: &Value, name: &str) {
        for note in items(connector, name) {
            self.line(heading, &format!("{} ({})", cell(note, "host"), cell(note, "reason")));
        }
    }
}

fn items<'a>(object: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    object.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn is_absent(object: &Value, name: &str) -> bool {
    object.get(name).is_none_or(Value::is_null)
}

/// What a field's values look like, in words.
fn kind(kind: &Value) -> String {
    if !is_absent(kind, "choice") {
        return items(kind, "choice").filter_map(Value::as_str).collect::<Vec<_>>().join("|");
    }
    let word = kind.as_str().unwrap_or_default();
    let told = match word {
        "directory" => "directory id",
        "google_audience" => "domain, or a Google account class",
        "guid" => "GUID",
        "header_name" => "header name",
        "openai_organization" => "org-… id",
        "slack_team" => "T… or E… id",
        "tenant" => "domain or directory id",
        "token" => "id",
        _ => word,
    };
    told.to_owned()
}
