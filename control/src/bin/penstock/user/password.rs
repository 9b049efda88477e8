//! A password from standard input.

use std::io::{self, Read as _};

use anyhow::bail;
use penstock_core::limits::CREDENTIALS_BYTES_MAX;
use zeroize::Zeroizing;

/// All of standard input without its last line end.
pub(super) fn read() -> anyhow::Result<Zeroizing<String>> {
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
