//! `[faults]`: mistakes that this program makes on purpose, so that tests see what others cost. A program that is built for
//! use does not know the section.

use std::time::Duration;

use penstock_core::sni::Sni;
use serde::Deserialize;

/// Which flows strike. Default: none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Faults {
    /// Flows to this host panic once they are decided.
    panic_name: Option<String>,
    /// Inspected requests for this path panic, in the middle of the relay.
    panic_path: Option<String>,
    /// Inspected requests for this path hold up their whole shard for a minute.
    stall_path: Option<String>,
}

impl Faults {
    pub(crate) fn strike_name(&self, name: Option<&Sni>) {
        if self.panic_name.as_deref().is_some_and(|struck| name.is_some_and(|name| name.as_str() == struck)) {
            panic();
        }
    }

    pub(crate) fn strike_path(&self, path: &str) {
        if self.panic_path.as_deref() == Some(path) {
            panic();
        }
        if self.stall_path.as_deref() == Some(path) {
            std::thread::sleep(STALL);
        }
    }
}

#[expect(clippy::panic, reason = "it is what was asked for")]
fn panic() -> ! {
    std::panic::panic_any("asked for by [faults]")
}

const STALL: Duration = Duration::from_secs(60);
