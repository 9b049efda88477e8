//! `penstock`: the operator's command. Parses arguments, runs one subcommand, turns its outcome into an exit code.
//!
//! Exit codes: 0 done, 1 refused or found wrong, 2 misuse. What works on a file or on the built-in catalogue works
//! without a daemon; everything else speaks to the admin API, never to the store.
#![forbid(unsafe_code)]

mod authority;
mod catalogue;
mod client;
mod doctor;
mod events;
mod explain;
mod exports;
mod node;
mod openapi;
mod output;
mod policy;
mod probe;
mod reference;
mod report;
mod token;
mod trail;
mod up;
mod user;
mod whoami;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::client::Refused;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tenant restrictions for outgoing traffic: run the appliance, change its policy, ask it what it does and did.
#[derive(Parser)]
#[command(name = "penstock", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show or save the root certificate that clients must trust.
    #[command(subcommand)]
    Ca(authority::Command),
    /// Show what is known about each SaaS.
    #[command(subcommand)]
    Catalogue(catalogue::Command),
    /// Print a shell's completions of this command.
    Completions(reference::CompletionsArguments),
    /// Look for what would keep the appliance from working on this machine, and say how to mend it.
    Doctor(doctor::Arguments),
    /// Show audit events.
    Events(events::Arguments),
    /// Say what would happen to a flow, and why.
    Explain(explain::Arguments),
    /// Show where audit events go beside the store, and how far each export is.
    Exports(exports::Arguments),
    /// Let data planes of other machines join, show the fleet, shut one out.
    #[command(subcommand)]
    Node(node::Command),
    /// Print the manual page of this command, or write those of all of its subcommands.
    Man(reference::ManArguments),
    /// Print the description of the admin API, OpenAPI 3.1.
    Openapi(openapi::Arguments),
    /// Check, publish, compare and roll back policies.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Look whether hosts that pass let a client reach inspected ones.
    Probe(probe::Arguments),
    /// Report sign-ins, a row each, or count refusals.
    Report(report::Arguments),
    /// Run control and data plane on this machine, in the foreground.
    Up(up::Arguments),
    /// Make, list and revoke tokens of the admin API.
    #[command(subcommand)]
    Token(token::Command),
    /// Show who did what to the appliance.
    Trail(trail::Arguments),
    /// Manage who may sign in to the admin API and the web UI; make a line for the proxy's own file of users.
    #[command(subcommand)]
    User(user::Command),
    /// Say as whom the admin API knows the caller, and what that one may do.
    Whoami(whoami::Arguments),
}

const EXAMPLES: &str = "\
Examples:
  penstock policy check policy.toml
  penstock explain --policy policy.toml --sni login.microsoftonline.com
  penstock up --state /var/lib/penstock --policy policy.toml
  penstock events --since 24h --status denied

Exit codes: 0 done; 1 refused or found wrong; 2 misuse.";

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Ca(command) => authority::run(&command),
        Command::Catalogue(command) => catalogue::run(&command),
        Command::Completions(arguments) => reference::completions(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Events(arguments) => events::run(&arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Exports(arguments) => exports::run(&arguments),
        Command::Node(command) => node::run(&command),
        Command::Man(arguments) => reference::man(&arguments),
        Command::Openapi(arguments) => openapi::run(&arguments),
        Command::Policy(command) => policy::run(&command),
        Command::Probe(arguments) => probe::run(arguments),
        Command::Token(command) => token::run(&command),
        Command::Trail(arguments) => trail::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Up(arguments) => up::run(&arguments),
        Command::User(command) => user::run(&command),
        Command::Whoami(arguments) => whoami::run(&arguments),
    };
    match result {
        Ok(code) => code,
        // `penstock events | head` is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let message = match error.downcast_ref::<Refused>() {
                Some(refused) => refused.to_string(),
                None => format!("error: {}", with_causes(&error)),
            };
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::FAILURE
        }
    }
}

/// The message, and each cause that it does not name already.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
