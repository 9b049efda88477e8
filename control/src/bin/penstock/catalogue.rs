//! `penstock catalogue`: the connectors that are built in.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use penstock_core::catalogue::{Connector, ConnectorId, FieldKind, HostNote, connector, connectors};
use serde_json::json;

use crate::output;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List every connector.
    List(ListArguments),
    /// Show one: what to fill in, hosts, headers, refusals, source.
    Show(ShowArguments),
}

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock catalogue list\n  penstock catalogue list --json")]
pub(crate) struct ListArguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock catalogue show microsoft-entra\n  penstock catalogue show slack --json")]
pub(crate) struct ShowArguments {
    /// Catalogue id; `penstock catalogue list` shows them.
    id: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(arguments) => list(arguments),
        Command::Show(arguments) => show(arguments),
    }
}

fn list(arguments: &ListArguments) -> anyhow::Result<ExitCode> {
    if arguments.json {
        output::json(&json!({ "connectors": connectors().collect::<Vec<_>>() }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = connectors()
        .map(|connector| {
            let confirmed = if connector.unverified.is_some() { "unverified" } else { "confirmed" };
            let facts = format!("{confirmed} {:?}, {}", connector.confidence, connector.checked);
            vec![connector.id.label().to_owned(), connector.title.to_owned(), facts, connector.hosts.join(" ")]
        })
        .collect();
    output::table(&["ID", "TITLE", "FACTS", "HOSTS"], &rows)?;
    Ok(ExitCode::SUCCESS)
}

fn show(arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    let Some(id) = ConnectorId::parse(&arguments.id) else {
        bail!("no connector has the id {:?}; see: penstock catalogue list", arguments.id);
    };
    let connector = connector(id);
    if arguments.json {
        output::json(connector)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::text(&describe(connector))?;
    Ok(ExitCode::SUCCESS)
}

fn describe(connector: &Connector) -> String {
    let mut page = Page(format!("{}: {} ({})\n", connector.id, connector.title, connector.vendor));
    page.line("effect", connector.effect);
    page.line("plan", connector.plan);
    if let Some(reason) = connector.unverified {
        page.line("UNVERIFIED", &format!("{reason} (a restriction must say allow_unverified = true)"));
    }
    for field in connector.fields {
        let required = if field.required { "required" } else { "optional" };
        let many = if field.list { "list of " } else { "" };
        page.line("field", &format!("{} ({required}, {many}{}): {}", field.name, kind(field.kind), field.help));
    }
    for header in connector.headers {
        page.line("header", &format!("{}: {}", header.name, header.value));
    }
    for host in connector.hosts {
        page.line("inspects", host);
    }
    page.notes("on request", connector.optional_hosts);
    page.notes("never", connector.never_inspect);
    page.notes("better deny", connector.deny_advice);
    page.notes("siblings", connector.siblings);
    for conflict in connector.conflicts {
        page.line("not with", &format!("{}: {}", conflict.with, conflict.reason));
    }
    for denial in connector.denials {
        page.line("refusal", &format!("{}", denial.code));
    }
    for note in connector.notes {
        page.line("note", note);
    }
    page.line(
        "source",
        &format!("{} (read {}, confidence {:?})", connector.source, connector.checked, connector.confidence),
    );
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, heading: &str, text: &str) {
        self.0.push_str(&format!("  {heading:<12} {text}\n"));
    }

    fn notes(&mut self, heading: &str, notes: &[HostNote]) {
        for note in notes {
            self.line(heading, &format!("{} ({})", note.host, note.reason));
        }
    }
}

fn kind(kind: FieldKind) -> String {
    match kind {
        FieldKind::Choice(words) => words.join("|"),
        FieldKind::Directory => "directory id".to_owned(),
        FieldKind::Domain => "domain".to_owned(),
        FieldKind::GoogleAudience => "domain, or a Google account class".to_owned(),
        FieldKind::Guid => "GUID".to_owned(),
        FieldKind::HeaderName => "header name".to_owned(),
        FieldKind::Number => "number".to_owned(),
        FieldKind::OpenaiOrganization => "org-… id".to_owned(),
        FieldKind::SlackTeam => "T… or E… id".to_owned(),
        FieldKind::Tenant => "domain or directory id".to_owned(),
        FieldKind::Text => "text".to_owned(),
        FieldKind::Token => "id".to_owned(),
    }
}
