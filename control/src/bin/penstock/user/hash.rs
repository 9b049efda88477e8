//! `penstock user hash`: a line for the file of users who may use the proxy.

use std::process::ExitCode;

use anyhow::{anyhow, bail};
use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, SaltString};
use clap::Args;
use penstock_core::limits::USER_GROUPS_MAX;
use penstock_core::users::{self, User};

use super::password;
use crate::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
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

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
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
    let password = password::read()?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| anyhow!("no randomness for the salt: {error}"))?;
    let salt = SaltString::encode_b64(&salt).map_err(|error| anyhow!("{error}"))?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt).map_err(|error| anyhow!("{error}"))?;
    let user = User { name: arguments.name.clone(), hash: hash.to_string(), groups: arguments.group.clone(), line: 1 };
    output::line(&user.to_string())?;
    Ok(ExitCode::SUCCESS)
}
