//! `penstock user hash`: a line for the file of users who may use the proxy.

use std::io::{self, Read as _};
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, SaltString};
use clap::{Args, Subcommand};
use penstock_core::limits::{CREDENTIALS_BYTES_MAX, USER_GROUPS_MAX};
use penstock_core::users::{self, User};
use zeroize::Zeroizing;

use crate::output;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Read a password from standard input and print the user's line.
    Hash(HashArguments),
}

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HashArguments {
    /// The user's name, as the client will give it.
    name: String,
    /// A group of the user, for \"group:NAME\" in a policy's users; may be repeated.
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  penstock user hash alice --group finance >> /etc/penstock/users     (type the password, then Ctrl-D)
  pass show proxy/alice | penstock user hash alice >> /etc/penstock/users

The hash is Argon2id. The file is [auth] users_file of the data plane, or --users of penstock up; it is read again
when it changes.";

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Hash(arguments) = command;
    for name in [&arguments.name].into_iter().chain(&arguments.group) {
        if !users::is_user_name(name) {
            bail!(
                "{name:?} is no name: it must not be empty, too long, or hold a colon, a comma or a control character"
            );
        }
    }
    if arguments.group.len() > USER_GROUPS_MAX {
        bail!("{} groups; {USER_GROUPS_MAX} is the most", arguments.group.len());
    }
    let password = read_password()?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| anyhow!("no randomness for the salt: {error}"))?;
    let salt = SaltString::encode_b64(&salt).map_err(|error| anyhow!("{error}"))?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt).map_err(|error| anyhow!("{error}"))?;
    let user = User { name: arguments.name.clone(), hash: hash.to_string(), groups: arguments.group.clone(), line: 1 };
    output::line(&user.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// All of standard input without its last line end.
fn read_password() -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    // What `Basic` can carry, so that nobody gets a hash that no client can use.
    let bytes_max = CREDENTIALS_BYTES_MAX / 2;
    io::stdin().take(bytes_max as u64 + 3).read_to_string(&mut text)?;
    let password = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if password.is_empty() || password.len() > bytes_max || password.chars().any(char::is_control) {
        bail!("the password on standard input must be one line of 1 to {bytes_max} bytes without control characters");
    }
    Ok(Zeroizing::new(password.to_owned()))
}
