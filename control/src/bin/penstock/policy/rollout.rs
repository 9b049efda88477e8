//! `penstock policy rollout`: how a policy comes through the fleet, and what is to become of it.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::apply;
use crate::client::DaemonArguments;
use crate::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Halt it, go on with the wave at which it halted, or give every node what was in force before.
    action: Option<Action>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum Action {
    Halt,
    Resume,
    Rollback,
}

const EXAMPLES: &str = "\
Examples:
  penstock policy apply policy.toml --waves canary,25% --soak 900
  penstock policy rollout
  penstock policy rollout resume
  penstock policy rollout rollback

A rollout halts by itself when a node refuses the policy or does not answer, or when too many flows fail there. Shown
without an action, it ends with 1 when it is halted.";

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let client = arguments.daemon.connect()?;
    let word = match arguments.action {
        None => {
            let answer = client.get("/policy/rollout", &[])?.json()?;
            show(&answer, arguments.json)?;
            let halted = output::cell(&answer, "state") == "halted";
            return Ok(if halted { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
        Some(Action::Halt) => "halt",
        Some(Action::Resume) => "resume",
        Some(Action::Rollback) => {
            return apply::report(&client.post("/policy/rollout", &json!({ "action": "roll_back" }))?, arguments.json);
        }
    };
    show(&client.post("/policy/rollout", &json!({ "action": word }))?.json()?, arguments.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a rollout's state.
pub(super) fn show(answer: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return Ok(output::json(answer)?);
    }
    let field = |name: &str| output::cell(answer, name);
    if field("state") == "none" {
        return Ok(output::line("no rollout is under way")?);
    }
    let waves = answer.get("waves").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let waves = waves.collect::<Vec<_>>().join(", ");
    let (state, epoch, wave) = (field("state"), field("epoch"), field("wave"));
    output::line(&format!(
        "epoch {epoch} is {state}, at wave {wave} of {waves}; epoch {} before",
        field("stable_epoch")
    ))?;
    if answer.get("why").is_some() {
        output::line(&format!("because {}", field("why")))?;
    }
    let nodes = answer.get("nodes").and_then(Value::as_array).cloned().unwrap_or_default();
    let cells = |node: &Value| {
        let released = node.get("released") == Some(&Value::Bool(true));
        let state = if released { output::cell(node, "state") } else { "waits".to_owned() };
        vec![output::cell(node, "node"), state, output::cell(node, "reason")]
    };
    output::table(&["NODE", "STATE", "REASON"], &nodes.iter().map(cells).collect::<Vec<_>>())?;
    Ok(())
}
