//! etcd of the machine: one member in a temporary folder, on free ports of loopback.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::{place, process, wait};

/// A running member.
pub struct Etcd {
    program: PathBuf,
    directory: TempDir,
    /// Of clients, and of other members.
    ports: [u16; 2],
    arguments: Vec<String>,
    scheme: &'static str,
    child: Child,
}

impl Etcd {
    /// Starts it in the clear; `None` where there is no etcd.
    pub fn start() -> Option<Self> {
        Self::start_with("http", &[], &[])
    }

    /// The same by TLS, or with files in its folder, whose names in arguments begin with `@`.
    pub fn start_with(scheme: &'static str, files: &[(&str, &str)], arguments: &[&str]) -> Option<Self> {
        let program = place::program("etcd").filter(|program| program.exists())?;
        let directory = TempDir::new().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let absolute = |argument: &&str| match argument.strip_prefix('@') {
            Some(name) => directory.path().join(name).display().to_string(),
            None => (*argument).to_owned(),
        };
        let arguments: Vec<String> = arguments.iter().map(absolute).collect();
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let listeners = [free(), free()];
        let ports = listeners.map(|listener| listener.local_addr().unwrap().port());
        let child = run(&program, &directory, ports, scheme, &arguments);
        let it = Self { program, directory, ports, arguments, scheme, child };
        it.await_ready();
        Some(it)
    }

    /// How to reach it.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.ports[0])
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(&mut self) {
        process::signal(self.child.id(), Signal::KILL);
        self.child.wait().unwrap();
    }

    /// Starts it again on what it had.
    pub fn revive(&mut self) {
        self.child = run(&self.program, &self.directory, self.ports, self.scheme, &self.arguments);
        self.await_ready();
    }

    /// Runs `etcdctl`.
    pub fn control(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.url()]);
        if self.scheme == "https" {
            command.args(["--insecure-transport=false", "--insecure-skip-tls-verify"]);
        }
        command.args(arguments);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Forgets every revision but the last.
    pub fn compact(&self) {
        let status = self.control(&["endpoint", "status", "--write-out=json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        let revision = status[0]["Status"]["header"]["revision"].as_u64().unwrap().to_string();
        let compacted = self.control(&["compact", "--physical", &revision]);
        assert!(compacted.status.success(), "{}", String::from_utf8_lossy(&compacted.stderr));
    }

    fn await_ready(&self) {
        wait::until("etcd to answer", || self.control(&["get", "nothing"]).status.success().then_some(()));
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.kill();
        }
    }
}

fn run(program: &PathBuf, directory: &TempDir, ports: [u16; 2], scheme: &str, arguments: &[String]) -> Child {
    let mut etcd = if geteuid().is_root() {
        // It needs no more than that.
        let nobody = "65534";
        std::os::unix::fs::chown(directory.path(), Some(65_534), Some(65_534)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", nobody, "--regid", nobody, "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    let (client, peer) = (format!("{scheme}://127.0.0.1:{}", ports[0]), format!("http://127.0.0.1:{}", ports[1]));
    etcd.arg("--data-dir").arg(directory.path().join("data"));
    etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    etcd.args(["--initial-cluster", &format!("default={peer}"), "--logger", "zap"]).args(arguments);
    let log = fs::File::options().create(true).append(true).open(directory.path().join("log")).unwrap();
    etcd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}
