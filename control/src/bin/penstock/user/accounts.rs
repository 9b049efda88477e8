//! `penstock user add|list|password|remove|role`.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::password;
use crate::client::{self, DaemonArguments};
use crate::output;

#[derive(Args)]
#[command(after_help = ADD_EXAMPLES)]
pub(crate) struct AddArguments {
    /// Name to sign in with.
    name: String,
    /// admin (everything), operator (changes the policy), auditor (sees everything, names and trail too) or viewer.
    #[arg(long, value_name = "ROLE", value_parser = client::ROLES)]
    role: String,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const ADD_EXAMPLES: &str = "\
Examples:
  penstock user add alice --role operator     (type the password, then Ctrl-D)
  pass show penstock/alice | penstock user add alice --role operator";

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock user list\n  penstock user list --json")]
pub(crate) struct ListArguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock user remove alice")]
pub(crate) struct NameArguments {
    /// The user.
    name: String,
    #[command(flatten)]
    daemon: DaemonArguments,
}

#[derive(Args)]
#[command(after_help = PASSWORD_EXAMPLES)]
pub(crate) struct PasswordArguments {
    /// The user.
    name: String,
    /// Change it as that user, without a token: the first line on standard input is the password so far, the second is the
    /// new one.
    #[arg(long)]
    own: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const PASSWORD_EXAMPLES: &str = "\
Examples:
  penstock user password admin                (type the password, then Ctrl-D)
  penstock user password alice --own          (type the old password, Enter, the new one, then Ctrl-D)";

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock user role alice auditor")]
pub(crate) struct RoleArguments {
    /// The user.
    name: String,
    /// admin, operator, auditor or viewer.
    #[arg(value_name = "ROLE", value_parser = client::ROLES)]
    role: String,
    #[command(flatten)]
    daemon: DaemonArguments,
}

pub(super) fn add(arguments: &AddArguments) -> anyhow::Result<ExitCode> {
    let password = password::read()?;
    let AddArguments { name, role, daemon } = arguments;
    daemon.connect()?.post("/users", &json!({ "name": name, "role": role, "password": *password }))?;
    output::line(&format!("{name} may sign in as {role}"))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list(arguments: &ListArguments) -> anyhow::Result<ExitCode> {
    let answer = arguments.daemon.connect()?.get("/users", &[])?.json()?;
    if arguments.json {
        output::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let users = answer.get("users").and_then(Value::as_array).cloned().unwrap_or_default();
    let cells = |user| ["name", "role", "created", "signed_in"].map(|field| output::cell(user, field)).to_vec();
    output::table(&["NAME", "ROLE", "CREATED", "SIGNED IN"], &users.iter().map(cells).collect::<Vec<_>>())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn set_password(arguments: &PasswordArguments) -> anyhow::Result<ExitCode> {
    let PasswordArguments { name, own, daemon } = arguments;
    if *own {
        let [old, new] = password::read_two()?;
        daemon.sign_in(name, &old)?.put("/session/password", &json!({ "old": *old, "new": *new }))?;
    } else {
        let password = password::read()?;
        daemon.connect()?.patch(&path(name), &json!({ "password": *password }))?;
    }
    output::line(&format!("{name} has a new password; its sessions are over"))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn remove(arguments: &NameArguments) -> anyhow::Result<ExitCode> {
    arguments.daemon.connect()?.delete(&path(&arguments.name))?;
    output::line(&format!("{} is removed", arguments.name))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn set_role(arguments: &RoleArguments) -> anyhow::Result<ExitCode> {
    let RoleArguments { name, role, daemon } = arguments;
    daemon.connect()?.patch(&path(name), &json!({ "role": role }))?;
    output::line(&format!("{name} is now {role}"))?;
    Ok(ExitCode::SUCCESS)
}

fn path(name: &str) -> String {
    format!("/users/{}", client::path_segment(name))
}
