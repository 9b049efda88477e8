//! `penstock user`: who may sign in to the admin API and the web UI, and lines for the proxy's file of users.

mod accounts;
mod hash;
mod password;

use std::process::ExitCode;

use clap::Subcommand;

pub(crate) use password::read as read_password;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Add a user of the web UI and the admin API; the password is read from standard input.
    Add(accounts::AddArguments),
    /// Read a password from standard input and print a line for the file of the proxy's users.
    Hash(hash::Arguments),
    /// Show the users of the web UI and the admin API.
    List(accounts::ListArguments),
    /// Give a user the password on standard input, and end the user's sessions.
    Password(accounts::PasswordArguments),
    /// Remove a user with its sessions and tokens.
    Remove(accounts::NameArguments),
    /// Give a user another role.
    Role(accounts::RoleArguments),
}

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Add(arguments) => accounts::add(arguments),
        Command::Hash(arguments) => hash::run(arguments),
        Command::List(arguments) => accounts::list(arguments),
        Command::Password(arguments) => accounts::set_password(arguments),
        Command::Remove(arguments) => accounts::remove(arguments),
        Command::Role(arguments) => accounts::set_role(arguments),
    }
}
