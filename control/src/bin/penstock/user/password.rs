//! A password from standard input.

use std::io::{self, Read as _};

use anyhow::bail;
use penstock_core::limits::CREDENTIALS_BYTES_MAX;
use zeroize::Zeroizing;

/// All of standard input without its last line end.
pub(crate) fn read() -> anyhow::Result<Zeroizing<String>> {
    let text = input(1)?;
    password(&text)
}

/// Two passwords, a line each.
pub(super) fn read_two() -> anyhow::Result<[Zeroizing<String>; 2]> {
    let text = input(2)?;
    let Some((first, second)) = text.split_once('\n') else { bail!("standard input must hold two lines") };
    Ok([password(first.strip_suffix('\r').unwrap_or(first))?, password(second)?])
}

/// Standard input, as far as so many passwords reach, without the last line end.
fn input(lines: u64) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    io::stdin().take(lines * (PASSWORD_BYTES_MAX as u64 + 2) + 1).read_to_string(&mut text)?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(Zeroizing::new(line.to_owned()))
}

fn password(line: &str) -> anyhow::Result<Zeroizing<String>> {
    if line.is_empty() || line.len() > PASSWORD_BYTES_MAX || line.chars().any(char::is_control) {
        bail!(
            "a password on standard input must be one line of 1 to {PASSWORD_BYTES_MAX} bytes without control characters"
        );
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// What `Basic` can carry, so that nobody gets a hash that no client can use.
const PASSWORD_BYTES_MAX: usize = CREDENTIALS_BYTES_MAX / 2;
