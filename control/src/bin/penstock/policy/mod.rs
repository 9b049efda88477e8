//! `penstock policy`: one file per verb.

mod apply;
mod check;
mod diff;
pub(crate) mod document;
mod exceptions;
mod forecast;
mod history;
mod migrate;
mod replay;
mod rollback;
mod rollout;
mod show;

use std::process::ExitCode;

use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Publish a policy, and wait until it is in force on every data plane.
    Apply(apply::Arguments),
    /// Check a policy, without a daemon unless one is asked.
    Check(check::Arguments),
    /// Show what a policy would change.
    Diff(diff::Arguments),
    /// Show who is exempt from what in the policy in force, until when, and why.
    Exceptions(exceptions::Arguments),
    /// Tell whom a policy would have denied what, by the events that are recorded.
    Forecast(forecast::Arguments),
    /// Show what was published when, and by whom.
    History(history::Arguments),
    /// Change a policy from Microsoft's first version of tenant restrictions to the second, without a daemon.
    Migrate(migrate::Arguments),
    /// Publish an earlier policy again.
    Rollback(rollback::Arguments),
    /// Show how a policy comes through the fleet in waves; halt it, resume it, roll it back.
    Rollout(rollout::Arguments),
    /// Print the policy in force, or an earlier one.
    Show(show::Arguments),
    /// Tell what a policy would do with the flows of a capture, without a daemon.
    Test(replay::Arguments),
}

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Apply(arguments) => apply::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Diff(arguments) => diff::run(arguments),
        Command::Exceptions(arguments) => exceptions::run(arguments),
        Command::Forecast(arguments) => forecast::run(arguments),
        Command::History(arguments) => history::run(arguments),
        Command::Migrate(arguments) => migrate::run(arguments),
        Command::Rollback(arguments) => rollback::run(arguments),
        Command::Rollout(arguments) => rollout::run(arguments),
        Command::Show(arguments) => show::run(arguments),
        Command::Test(arguments) => replay::run(arguments),
    }
}
