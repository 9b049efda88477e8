//! The report: every look's finding.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::look;

/// One finding. The data plane's probe prints the same form.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How bad it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The appliance cannot work.
    Failed,
    Good,
    /// It works, and not as well as it could.
    Warning,
}

#[derive(Deserialize)]
struct Probe {
    checks: Vec<Check>,
}

/// Every finding.
#[derive(Serialize)]
pub struct Report {
    /// Nothing failed.
    pub ok: bool,
    /// In the order of the looks.
    pub checks: Vec<Check>,
}

impl Check {
    pub(super) fn good(name: &str, found: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state: State::Good, found: found.into(), fix: None }
    }

    pub(super) fn warning(name: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Warning, fix: Some(fix.into()), ..Self::good(name, found) }
    }

    pub(super) fn failed(name: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Failed, ..Self::warning(name, found, fix) }
    }
}

/// Looks at everything; with the data plane's configuration also at what that asks of the host. Starts processes and reads
/// files: not for a reactor.
pub fn examine(state: &Path, upstream_ca: &[PathBuf], config: Option<&Path>) -> Report {
    let mut checks = probe(config).unwrap_or_else(|error| {
        let check = |config: &Path| format!("penstock-dataplane --config {} --check", config.display());
        let fix = config.map_or_else(|| "install penstock-dataplane beside penstock".to_owned(), check);
        vec![Check::failed("data plane", error, fix)]
    });
    checks.push(look::versions());
    checks.push(look::clock());
    checks.push(look::authority(state));
    // With a configuration the data plane has said what it trusts.
    if config.is_none() || !upstream_ca.is_empty() {
        checks.push(look::upstream_roots(upstream_ca));
    }
    checks.push(look::socket_path(state));
    checks.push(look::disk(state));
    Report { ok: checks.iter().all(|check| check.state != State::Failed), checks }
}

/// Asks the data plane's own program.
fn probe(config: Option<&Path>) -> Result<Vec<Check>, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = own.with_file_name("penstock-dataplane");
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut command = Command::new(&path);
    command.args(["--probe", "--json"]);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    let run = command.output().map_err(|error| told(&error))?;
    let probe: Result<Probe, _> = serde_json::from_slice(&run.stdout);
    let said = String::from_utf8_lossy(&run.stderr);
    probe.map(|probe| probe.checks).map_err(|error| format!("{} --probe: {error}: {}", path.display(), said.trim()))
}
