//! A fleet: controls and data planes as processes of their own, joined over TCP by mutual TLS.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use penstock_tests::admin::Admin;
use penstock_tests::process::{self, Process};
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::Upstream;
use penstock_tests::{client, place, wait};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const ENTRA: &str = "login.microsoftonline.com";

/// One control and where it keeps its state.
pub(crate) struct Control {
    process: Process,
    directory: PathBuf,
}

impl Control {
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_with(directory, "")
    }

    /// The same with more tables in its configuration.
    pub(crate) fn start_with(directory: &Path, more: &str) -> Self {
        fs::create_dir_all(directory).unwrap();
        fs::copy(place::example_policy(), directory.join("policy.toml")).unwrap();
        let config = format!(
            "listen = \"127.0.0.1:0\"\nstate_directory = {:?}\npolicy_file = {:?}\n[link]\nlisten = \"127.0.0.1:0\"\n{more}",
            directory.join("state"),
            directory.join("policy.toml"),
        );
        fs::write(directory.join("control.toml"), config).unwrap();
        Self::run(directory.to_owned())
    }

    pub(crate) fn run(directory: PathBuf) -> Self {
        let mut command = Command::new(place::binary("penstock-control"));
        command.arg("--config").arg(directory.join("control.toml"));
        let process = Process::start("penstock-control", &mut command, &directory.join("control.log"));
        Self { process, directory }
    }

    /// A second control of the fleet: what the operator copies is all that they share.
    pub(crate) fn start_beside(&self, directory: &Path, more: &str) -> Self {
        fs::create_dir_all(directory).unwrap();
        let copied = Command::new("sh")
            .args(["-c", "umask 077; mkdir \"$2\"; cp -a \"$1/link-authority.pem\" \"$1/ca\" \"$2\"", "sh"])
            .args([self.directory.join("state"), directory.join("state")])
            .status();
        assert!(copied.unwrap().success());
        Self::start_with(directory, more)
    }

    fn link(&self) -> SocketAddr {
        self.process.text("link").parse().unwrap()
    }

    /// Ends it as a power cut would; it comes back on the same address.
    pub(crate) fn kill(mut self) -> PathBuf {
        let (file, link) = (self.directory.join("control.toml"), self.link());
        let config =
            place::read(&file).replace("[link]\nlisten = \"127.0.0.1:0\"", &format!("[link]\nlisten = \"{link}\""));
        fs::write(&file, config).unwrap();
        process::signal(self.process.id(), Signal::KILL);
        self.process.ended(wait::LIMIT).unwrap();
        self.directory.clone()
    }

    /// Of its admin listener, as a URL.
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.process.text("admin"))
    }

    pub(crate) fn admin(&self) -> Admin {
        let token = place::read(self.directory.join("state/admin.token"));
        Admin::new(&self.address(), &token)
    }

    pub(crate) fn penstock(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(place::binary("penstock"));
        command.args(arguments).args(["--admin", &self.address()]);
        command.arg("--token-file").arg(self.directory.join("state/admin.token")).stdin(Stdio::null());
        command.output().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// The file of a fresh token.
    pub(crate) fn token(&self, name: &str) -> PathBuf {
        let made = self.penstock(&["node", "token", "--name", name, "--for", "10m"]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let file = self.directory.join(format!("{name}.token"));
        fs::write(&file, made.stdout).unwrap();
        file
    }

    pub(crate) fn node(&self, name: &str) -> Option<Value> {
        let nodes = self.admin().json("/api/v1/nodes")["nodes"].as_array().cloned()?;
        nodes.into_iter().find(|node| node["node"] == name)
    }

    /// Waits until a node is attached here and has an epoch.
    pub(crate) fn await_node(&self, name: &str, epoch: u64) {
        wait::until(&format!("{name} with epoch {epoch} at {}", self.link()), || {
            self.node(name).filter(|node| node["attached"] == true && node["epoch"] == epoch)
        });
    }

    pub(crate) fn await_away(&self, name: &str) {
        wait::until(&format!("{name} to leave {}", self.link()), || {
            self.node(name).is_none_or(|node| node["attached"] == false).then_some(())
        });
    }
}

/// Joins at `control` with the token in a file.
pub(crate) fn join(control: &Control, token: &Path, state: &Path) -> Output {
    let mut command = Command::new(place::binary("penstock-dataplane"));
    command.args(["join", "--control", &control.link().to_string(), "--token-file"]).arg(token);
    command.arg("--state").arg(state).stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn joined(control: &Control, name: &str, state: &Path) {
    let output = join(control, &control.token(name), state);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("joined as {name}\n"));
}

/// Starts the data plane whose state is in `directory`.
pub(crate) fn dataplane(
    directory: &Path,
    controls: &[&Control],
    upstream: &Upstream,
    more: &str,
) -> Result<Process, String> {
    let controls: Vec<String> = controls.iter().map(|control| control.link().to_string()).collect();
    let config = format!(
        "{more}\nshards = 1\nstate_directory = {:?}\n[listen]\nproxy = \"127.0.0.1:0\"\n[link]\ncontrols = {controls:?}\n\
         [upstream]\nnative_roots = false\nca_files = [{:?}]\n[upstream.hosts]\n\"*\" = \"{}\"\n",
        directory.join("state"),
        upstream.ca(),
        upstream.address(),
    );
    fs::write(directory.join("dataplane.toml"), config).unwrap();
    let mut command = Command::new(place::binary("penstock-dataplane"));
    command.arg("--config").arg(directory.join("dataplane.toml"));
    Process::try_start("penstock-dataplane", &mut command, &directory.join("dataplane.log"))
}

/// An inspected request through a data plane comes back, under the root of the fleet.
pub(crate) fn serves(node: &Process, control: &Path) {
    let proxy = node.text("listening").parse().unwrap();
    let root = control.join("state/ca/root.pem");
    let mut client = wait::until("an inspected connection", || {
        let mut stream = tunnel::dial(STAFF, proxy);
        let head = format!("CONNECT {ENTRA}:443 HTTP/1.1\r\nHost: {ENTRA}:443\r\n\r\n");
        let granted = tunnel::ask(&mut stream, head.as_bytes()).status == 200;
        granted.then(|| client::Client::connect(stream, ENTRA, client::config(&[&root])).ok()).flatten()
    });
    assert_eq!(client.get(ENTRA, "/").status, 200);
}

#[test]
fn data_planes_join_one_control_and_serve_and_one_is_shut_out() {
    let upstream = Upstream::plan().start();
    let directory = TempDir::new().unwrap();
    let [home, one, two] = ["control", "one", "two"].map(|name| directory.path().join(name));
    let control = Control::start(&home);
    for (name, folder) in [("edge-1", &one), ("edge-2", &two)] {
        fs::create_dir(folder).unwrap();
        joined(&control, name, &folder.join("state"));
        let file = folder.join("state/link/node.pem");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let first = dataplane(&one, &[&control], &upstream, "").unwrap();
    let second = dataplane(&two, &[&control], &upstream, "node = \"edge-2\"").unwrap();
    control.await_node("edge-1", 1);
    control.await_node("edge-2", 1);
    for node in [&first, &second] {
        serves(node, &home);
    }
    // A change is acknowledged by both, and the events of both arrive under their names.
    let answer =
        control.admin().send("PUT", "/api/v1/policy", "application/toml", &place::read(place::example_policy()));
    let answer: Value = serde_json::from_str(&answer.1).unwrap();
    for (index, name) in ["edge-1", "edge-2"].into_iter().enumerate() {
        assert_eq!(
            (&answer["nodes"][index]["node"], &answer["nodes"][index]["state"]),
            (&name.into(), &"installed".into())
        );
    }
    for name in ["edge-1", "edge-2"] {
        wait::until("an event", || control.admin().events("limit=100").into_iter().find(|event| event["node"] == name));
    }

    assert!(control.penstock(&["node", "revoke", "edge-2"]).status.success());
    control.await_away("edge-2");
    serves(&second, &home);
    let listed = String::from_utf8(control.penstock(&["node", "list"]).stdout).unwrap();
    assert!(listed.contains("edge-1") && listed.contains("edge-2") && listed.contains("REVOKED"), "{listed}");

    // Control dies and comes back: the one that may is back, the other is not.
    let control = Control::run(control.kill());
    control.await_node("edge-1", answer["epoch"].as_u64().unwrap());
    wait::until("the refusal", || second.log().contains("was revoked").then_some(()));
    assert!(control.node("edge-2").is_none());
    // It joins again without a start.
    joined(&control, "edge-2", &two.join("state"));
    control.await_node("edge-2", answer["epoch"].as_u64().unwrap());
    drop((first, second));
}

#[test]
fn nobody_joins_by_a_used_token_or_at_a_control_of_another_fleet() {
    let directory = TempDir::new().unwrap();
    let [home, other, state] = ["control", "other", "state"].map(|name| directory.path().join(name));
    let (control, other) = (Control::start(&home), Control::start(&other));
    let token = control.token("edge-1");
    // The token pins the fleet: the other control is not even shown it.
    let wrong = join(&other, &token, &state);
    assert_eq!(wrong.status.code(), Some(1));
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains("UnknownIssuer"), "{said}");
    assert!(!state.join("link").exists());
    assert!(join(&control, &token, &state).status.success(), "it is still good");
    let again = join(&control, &token, &state);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("used or over"));
    for (text, word) in [("", "no token"), ("penstock-join-00-00", "no token")] {
        fs::write(&token, text).unwrap();
        let refused = join(&control, &token, &state);
        assert!(String::from_utf8_lossy(&refused.stderr).contains(word) && refused.status.code() == Some(1));
    }
    // A node without a certificate, and one whose name is not that of its certificate, do not start.
    let upstream = Upstream::plan().start();
    let node = directory.path().join("node");
    fs::create_dir(&node).unwrap();
    let refused = dataplane(&node, &[&control], &upstream, "").err().unwrap();
    assert!(refused.contains("penstock-dataplane join"), "{refused}");
    joined(&control, "edge-2", &node.join("state"));
    let refused = dataplane(&node, &[&control], &upstream, "node = \"edge-1\"").err().unwrap();
    assert!(refused.contains("edge-1") && refused.contains("edge-2"), "{refused}");
}

/// The preferred control dies, and the next takes over; it comes back, and the node with it; one that is behind is refused and
/// counted, and the node goes on with what it has, through a start of its own too.
#[test]
fn a_node_turns_to_the_next_control_and_back_and_refuses_one_that_is_behind() {
    let upstream = Upstream::plan().start();
    let directory = TempDir::new().unwrap();
    let [home, other, folder] = ["first", "second", "node"].map(|name| directory.path().join(name));
    let first = Control::start(&home);
    let second = first.start_beside(&other, "");
    fs::create_dir(&folder).unwrap();
    joined(&first, "edge-1", &folder.join("state"));
    let controls = [&first, &second];
    let node = dataplane(&folder, &controls, &upstream, "").unwrap();
    first.await_node("edge-1", 1);
    assert!(second.node("edge-1").is_none(), "the preferred one alone");

    let home = first.kill();
    second.await_node("edge-1", 1);
    serves(&node, &home);
    let first = Control::run(home);
    first.await_node("edge-1", 1);
    second.await_away("edge-1");

    // The second was not told of this change.
    assert_eq!(first.admin().apply(&place::read(place::example_policy())), 2);
    first.await_node("edge-1", 2);
    let home = first.kill();
    let refused = wait::until("the refusal", || second.node("edge-1").filter(|node| node["refused"].is_object()));
    assert!(refused["refused"]["reason"].as_str().unwrap().contains("behind"), "{refused}");
    assert_eq!(refused["epoch"], 2);
    let aged = || second.node("edge-1").and_then(|node| node["policy_age_seconds"].as_u64()).filter(|age| *age >= 2);
    wait::until("the policy to grow old", aged);
    assert!(second.admin().metrics().sum("penstock_policy_age_seconds", &[]) >= 2.0);
    serves(&node, &home);
    drop(node);
    let node = {
        let mut command = Command::new(place::binary("penstock-dataplane"));
        command.arg("--config").arg(folder.join("dataplane.toml"));
        Process::start("penstock-dataplane", &mut command, &folder.join("dataplane.log"))
    };
    serves(&node, &home);
    wait::until("the refusal again", || (node.log().matches("control is behind").count() >= 2).then_some(()));

    let first = Control::run(home);
    first.await_node("edge-1", 2);
    let behind = || first.admin().metrics().sum("penstock_policy_refused_total", &["reason=\"behind\""]);
    assert!(behind() >= 1.0);
    drop(node);
}
