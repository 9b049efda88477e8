//! What speaks to a daemon.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::{ends_with, penstock, stderr, stdout};

pub(crate) struct Control {
    child: Child,
    directory: TempDir,
    base: String,
}

impl Control {
    fn start() -> Self {
        Self::start_with("")
    }

    /// `more` is appended to the configuration.
    pub(crate) fn start_with(more: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let (config, state) = (directory.path().join("control.toml"), directory.path().join("state"));
        std::fs::write(&config, format!("listen = \"127.0.0.1:0\"\nstate_directory = {state:?}\n{more}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_penstock-control"));
        command.arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self { child, directory, base: format!("http://{}", ready["admin"].as_str().unwrap()) }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let token = self.token_file();
        let mut all = arguments.to_vec();
        all.extend(["--admin", &self.base, "--token-file", token.to_str().unwrap()]);
        penstock(&all)
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.directory.path().join("state/admin.token")
    }

    pub(crate) fn policy(&self, name: &str, hosts: &[&str]) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, format!("[deny]\nhosts = {hosts:?}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_policy_is_applied_compared_and_rolled_back() {
    let control = Control::start();
    let (one, two) = (control.policy("one.toml", &["a.example"]), control.policy("two.toml", &["b.example"]));
    let output = control.run(&["policy", "apply", &one, "--author", "alice", "--comment", "first"]);
    ends_with(&output, 0);
    assert_eq!(stdout(&output), "epoch 1 is in force on 0 data plane(s)\n");
    ends_with(&control.run(&["policy", "diff", &one]), 0);
    assert_eq!(stdout(&control.run(&["policy", "diff", &one])), "no difference\n");
    let output = control.run(&["policy", "diff", &two]);
    ends_with(&output, 0);
    assert!(stdout(&output).contains("-hosts = [\"a.example\"]\n+hosts = [\"b.example\"]\n"), "{}", stdout(&output));
    assert!(stdout(&output).contains("0 host(s) added, 0 removed, 0 verdict(s) changed"), "{}", stdout(&output));
    ends_with(&control.run(&["policy", "apply", &two, "--json", "--expect", "1"]), 0);
    let output = control.run(&["policy", "apply", &one, "--expect", "1"]);
    ends_with(&output, 1);
    assert!(stderr(&output).contains("the active epoch is 2, not 1"), "{}", stderr(&output));
    ends_with(&control.run(&["policy", "rollback", "1", "--expect", "1"]), 1);
    ends_with(&control.run(&["policy", "rollback", "1", "--expect", "2"]), 0);
    ends_with(&control.run(&["policy", "rollback", "99"]), 1);
    let output = control.run(&["policy", "forecast", &two, "--json"]);
    ends_with(&output, 0);
    assert!(stdout(&output).contains("\"newly_denied\":0"), "{}", stdout(&output));
    assert!(stdout(&control.run(&["policy", "forecast"])).contains("note: "));
    let output = control.run(&["policy", "history"]);
    let lines: Vec<&str> = stdout(&output).lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].starts_with("EPOCH ") && lines[1].starts_with("3* ") && lines[3].contains("alice"), "{lines:?}");
    let output = control.run(&["explain", "--sni", "a.example", "--json"]);
    let answer: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(answer["epoch"], 3, "{answer}");
}

#[test]
fn a_bad_policy_is_told_with_its_places_and_changes_nothing() {
    let control = Control::start();
    let bad = control.policy("bad.toml", &["*"]);
    for verb in ["apply", "diff"] {
        let output = control.run(&["policy", verb, &bad]);
        ends_with(&output, 1);
        assert!(stderr(&output).contains("bad.toml:2:"), "{}", stderr(&output));
    }
    assert_eq!(stdout(&control.run(&["policy", "history"])).lines().count(), 1);
}

#[test]
fn events_have_a_heading_and_csv_every_column() {
    let control = Control::start();
    let output = control.run(&["events", "--since", "24h", "--status", "denied"]);
    ends_with(&output, 0);
    assert!(stdout(&output).starts_with("TIME ") && stdout(&output).lines().count() == 1);
    assert_eq!(stdout(&control.run(&["events", "--json"])), "");
    assert!(stdout(&control.run(&["events", "--csv"])).starts_with("time,node,site,"));
    assert!(stdout(&control.run(&["events", "--csv", "--all"])).starts_with("time,node,site,"));
    let output = control.run(&["events", "--since", "yesterday"]);
    ends_with(&output, 1);
    assert!(stderr(&output).contains("since: not a moment"), "{}", stderr(&output));
    ends_with(&control.run(&["events", "--csv", "--json"]), 2);
}

#[test]
fn the_report_has_headings_columns_and_counts() {
    let control = Control::start();
    assert!(stdout(&control.run(&["report"])).starts_with("USER  USERNAME  APPLICATION  STATUS  DATE "));
    assert_eq!(stdout(&control.run(&["report", "--csv", "--columns", "user,code"])), "User,Code\r\n");
    assert!(stdout(&control.run(&["report", "--denials-by", "tenant"])).starts_with("TENANT  DENIED  WOULD DENY "));
    let output = control.run(&["report", "--denials-by", "colour"]);
    ends_with(&output, 1);
    assert!(stderr(&output).contains("is none of application, connector"), "{}", stderr(&output));
    ends_with(&control.run(&["report", "--csv", "--json"]), 2);
}

#[test]
fn the_root_is_exported_for_trust_stores() {
    let control = Control::start();
    let pem = std::fs::read_to_string(control.directory.path().join("state/ca/root.pem")).unwrap();
    assert_eq!(stdout(&control.run(&["ca", "export"])), pem);
    let out = control.directory.path().join("exported.crt");
    let output = control.run(&["ca", "export", "--out", out.to_str().unwrap()]);
    ends_with(&output, 0);
    assert_eq!((stdout(&output), std::fs::read_to_string(&out).unwrap()), ("", pem));
    assert!(stdout(&control.run(&["ca", "show"])).contains("sha256"));
}

#[test]
fn a_daemon_that_is_not_there_or_does_not_know_us_is_told() {
    let control = Control::start();
    let output = penstock(&["policy", "history", "--admin", &control.base, "--token-file", "/does/not/exist"]);
    ends_with(&output, 1);
    assert!(stderr(&output).contains("--token-file"), "{}", stderr(&output));
    let wrong = control.directory.path().join("wrong.token");
    std::fs::write(&wrong, "0".repeat(64)).unwrap();
    let output = with_token(&control.base, &wrong);
    ends_with(&output, 1);
    assert!(stderr(&output).contains("refuses the token"), "{}", stderr(&output));
    let output = with_token("http://127.0.0.1:1", &control.token_file());
    ends_with(&output, 1);
    assert!(stderr(&output).contains("cannot be reached"), "{}", stderr(&output));
}

fn with_token(base: &str, token: &Path) -> Output {
    penstock(&["policy", "history", "--admin", base, "--token-file", token.to_str().unwrap()])
}
