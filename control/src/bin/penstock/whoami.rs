//! `penstock whoami`: as whom the admin API knows the caller.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::client::DaemonArguments;
use crate::{output, user};

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Sign in as this user instead, with the password on standard input, and out again.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const EXAMPLES: &str = "\
Examples:
  penstock whoami
  penstock whoami --token-file pipeline.token --json
  pass show penstock/alice | penstock whoami --user alice     (does the password still open the door?)";

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let answer = match &arguments.user {
        Some(user) => {
            let client = arguments.daemon.sign_in(user, &user::read_password()?)?;
            let answer = client.get("/session", &[])?.json()?;
            client.delete("/session")?;
            answer
        }
        None => arguments.daemon.connect()?.get("/session", &[])?.json()?,
    };
    if arguments.json {
        let mut answer = answer;
        // Worth nothing any more, and nothing for a log.
        answer.as_object_mut().map(|answer| answer.remove("csrf"));
        output::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let may = answer.get("may").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let may = may.collect::<Vec<_>>().join(", ");
    output::line(&format!("{}, role {}: {may}", output::cell(&answer, "name"), output::cell(&answer, "role")))?;
    Ok(ExitCode::SUCCESS)
}
