//! `penstock node`: which data planes belong to the fleet.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use penstock_control::audit::moment;
use serde_json::{Value, json};

use crate::client::{self, DaemonArguments};
use crate::output;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show the authority by which controls and data planes of other machines know each other, or let another follow it.
    Authority(AuthorityArguments),
    /// Show data planes: attached or away, the epoch of each and how old its policy is, and who joined from other machines.
    List(ListArguments),
    /// Shut a data plane out: its link ends, and its certificate is refused from now on.
    Revoke(RevokeArguments),
    /// Make a token by which one data plane joins from another machine, and print it, this once.
    Token(TokenArguments),
}

#[derive(Args)]
#[command(after_help = AUTHORITY_EXAMPLES)]
pub(crate) struct AuthorityArguments {
    /// Make the next authority. Controls and data planes believe both from now on.
    #[arg(long, conflicts_with_all = ["now", "finish"])]
    rotate: bool,
    /// Let the next authority sign: data planes that are attached have their certificates renewed by it at once.
    #[arg(long, conflicts_with = "finish")]
    now: bool,
    /// Believe the last authority no more. A data plane that still has a certificate by it joins again.
    #[arg(long)]
    finish: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const AUTHORITY_EXAMPLES: &str = "\
Examples:
  penstock node authority            which authority signs, and whether another follows it
  penstock node authority --rotate   make the next one
  penstock node authority --now      once every control has its file and every data plane was attached
  penstock node authority --finish   once `penstock node list` shows that every certificate was renewed

Where there are several controls, say each step to one, and copy its link-authority.pem over that of each other control before the
next step: it is taken within seconds.";

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock node list\n  penstock node list --json")]
pub(crate) struct ListArguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

#[derive(Args)]
#[command(after_help = REVOKE_EXAMPLES)]
pub(crate) struct RevokeArguments {
    /// The data plane's name, as `penstock node list` shows it.
    name: String,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const REVOKE_EXAMPLES: &str = "\
Examples:
  penstock node revoke edge-1

It comes back only by a new token. It goes on to serve under the policy that it has: stop it on its machine.
Controls that do not share their members ([store.access]) each have to be told.";

#[derive(Args)]
#[command(after_help = TOKEN_EXAMPLES)]
pub(crate) struct TokenArguments {
    /// The name that the data plane will have: letters, digits, `-`, `_` and `.`.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// How long the token is good: 30s, 20m, 1h, 7d.
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = seconds)]
    life: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const TOKEN_EXAMPLES: &str = "\
Examples:
  penstock node token --name edge-1
  (umask 077; penstock node token --name edge-1 --for 20m > edge-1.token)

On the data plane's machine, as the user that the data plane runs as:
  penstock-dataplane join --control control.corp.example:7443 --token-file edge-1.token --state /var/lib/penstock-dataplane

Whoever has the token can join under that name, once, until its end. It carries what the data plane knows control by.";

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Authority(arguments) => authority(arguments),
        Command::List(arguments) => list(arguments),
        Command::Revoke(arguments) => revoke(arguments),
        Command::Token(arguments) => token(arguments),
    }
}

fn list(arguments: &ListArguments) -> anyhow::Result<ExitCode> {
    let answer = arguments.daemon.connect()?.get("/nodes", &[])?.json()?;
    if arguments.json {
        output::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let all = |field| answer.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let (nodes, members) = (all("nodes"), all("members"));
    let name = |entry: &Value| output::cell(entry, "node");
    let mut names: Vec<String> = nodes.iter().chain(&members).map(name).collect();
    names.sort_unstable();
    names.dedup();
    let row = |of: String| {
        let find = |entries: &[Value]| entries.iter().find(|entry| name(entry) == of).cloned().unwrap_or_default();
        let (node, member) = (find(&nodes), find(&members));
        let seen =
            ["attached", "control", "since", "epoch", "policy_age_seconds"].map(|field| output::cell(&node, field));
        let joined = ["certificate_expires", "revoked"].map(|field| output::cell(&member, field));
        [of].into_iter().chain(seen).chain(joined).collect()
    };
    let rows: Vec<Vec<String>> = names.into_iter().map(row).collect();
    if answer.get("complete") == Some(&Value::Bool(false)) {
        output::note("the data planes of other controls cannot be looked up now");
    }
    output::table(&["NODE", "ATTACHED", "CONTROL", "SINCE", "EPOCH", "AGE", "CERTIFICATE UNTIL", "REVOKED"], &rows)?;
    Ok(ExitCode::SUCCESS)
}

fn authority(arguments: &AuthorityArguments) -> anyhow::Result<ExitCode> {
    let AuthorityArguments { rotate, now, finish, json, daemon } = arguments;
    let step = match (rotate, now, finish) {
        (true, ..) => Some("announce"),
        (_, true, _) => Some("switch"),
        (.., true) => Some("finish"),
        _ => None,
    };
    let client = daemon.connect()?;
    let answer = match step {
        Some(step) => client.post("/nodes/authority", &json!({ "step": step }))?.json()?,
        None => client.get("/nodes/authority", &[])?.json()?,
    };
    if *json {
        output::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let line = |name: &str, one: &Value| {
        let (sha256, expires) = (output::cell(one, "sha256"), output::cell(one, "expires"));
        output::line(&format!("{name:<8} sha256 {sha256}, ends {expires}"))
    };
    let none = Value::Null;
    line("signs", answer.get("signing").unwrap_or(&none))?;
    let other = answer.get("other").unwrap_or(&none);
    match answer.get("phase").and_then(Value::as_str) {
        Some("announced") => line("next", other)?,
        Some("switched") => line("last", other)?,
        _ => {}
    }
    if step.is_some() {
        output::note("copy link-authority.pem to every other control");
    }
    Ok(ExitCode::SUCCESS)
}

fn revoke(arguments: &RevokeArguments) -> anyhow::Result<ExitCode> {
    let path = format!("/nodes/{}/revoke", client::path_segment(&arguments.name));
    arguments.daemon.connect()?.post(&path, &json!({}))?;
    output::line(&format!("node {} is revoked", arguments.name))?;
    Ok(ExitCode::SUCCESS)
}

fn token(arguments: &TokenArguments) -> anyhow::Result<ExitCode> {
    let TokenArguments { name, life, json, daemon } = arguments;
    let answer = daemon.connect()?.post("/nodes/tokens", &json!({ "node": name, "seconds": life }))?.json()?;
    if *json {
        output::json(&answer)?;
    } else {
        output::line(&output::cell(&answer, "token"))?;
        let expires = output::cell(&answer, "expires");
        output::note(&format!("good for {name}, once, until {expires}; it is not shown again"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads how long something lasts.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "a number and s, m, h or d, such as 20m".to_owned();
    moment::parse_age(text).map(|age_ms| age_ms / 1_000).ok_or_else(wrong)
}
