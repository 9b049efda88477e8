//! A NATS server of the machine with JetStream: in a temporary folder, on a free port of loopback.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::certificate::TestAuthority;
use crate::{place, process, wait};

/// A running server.
pub struct Nats {
    program: PathBuf,
    python: PathBuf,
    directory: TempDir,
    port: u16,
    is_guarded: bool,
    child: Child,
}

impl Nats {
    /// Starts it in the clear, open to everybody; `None` where there is none.
    pub fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// Starts it with TLS by a certificate of that authority, and with accounts: `user.creds` in its folder opens one.
    pub fn start_guarded(authority: &TestAuthority) -> Option<Self> {
        Self::start_with(Some(authority))
    }

    fn start_with(authority: Option<&TestAuthority>) -> Option<Self> {
        let program = Some(PathBuf::from("/usr/sbin/nats-server")).filter(|program| program.exists());
        let (program, python) = (program.or_else(|| place::program("nats-server"))?, place::python()?);
        let directory = TempDir::new().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let folder = directory.path().display();
        let mut config = format!("listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{folder}/streams\" }}\n");
        if let Some(authority) = authority {
            let (certificate, key) = authority.certify_rsa("localhost");
            for (name, text) in [("ca.pem", authority.root_pem()), ("server.pem", &certificate), ("server.key", &key)] {
                fs::write(directory.path().join(name), text).unwrap();
            }
            script(&python, &["accounts", directory.path().to_str().unwrap()]).unwrap();
            config += &format!("tls {{ cert_file: \"{folder}/server.pem\", key_file: \"{folder}/server.key\" }}\n");
            config += "include accounts.conf\n";
        }
        fs::write(directory.path().join("server.conf"), config).unwrap();
        let child = run(&program, &directory);
        let it = Self { program, python, directory, port, is_guarded: authority.is_some(), child };
        it.ask("make");
        Some(it)
    }

    /// Where it is.
    pub fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Has it take what is sent and answer nothing, until [`Self::resume`].
    pub fn hang(&self) {
        process::signal(self.child.id(), Signal::STOP);
    }

    /// See [`Self::hang`].
    pub fn resume(&self) {
        process::signal(self.child.id(), Signal::CONT);
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(&mut self) {
        process::signal(self.child.id(), Signal::KILL);
        self.child.wait().unwrap();
    }

    /// Starts it again on what it had.
    pub fn revive(&mut self) {
        self.child = run(&self.program, &self.directory);
    }

    /// Id and event of each message of the stream, in its order, as another client reads them.
    pub fn messages(&self) -> Vec<(String, Value)> {
        let read = |line: &str| {
            let message: Value = serde_json::from_str(line).unwrap();
            (message["id"].as_str().unwrap().to_owned(), message["event"].clone())
        };
        self.ask("read").lines().map(read).collect()
    }

    /// Has the other client do something, as soon as the server is there.
    fn ask(&self, act: &str) -> String {
        let (scheme, address) = (if self.is_guarded { "tls" } else { "nats" }, self.address());
        let url = format!("{scheme}://{address}");
        let mut arguments = vec![act.to_owned(), url];
        if self.is_guarded {
            arguments.extend(["user.creds", "ca.pem"].map(|name| self.file(name).display().to_string()));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        wait::until("the NATS server to answer", || script(&self.python, &arguments).ok())
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.kill();
        }
    }
}

fn run(program: &Path, directory: &TempDir) -> Child {
    let log = fs::File::options().create(true).append(true).open(directory.path().join("log")).unwrap();
    let mut server = Command::new(program);
    server.arg("-c").arg(directory.path().join("server.conf"));
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// What the other client prints; or why it could not.
fn script(python: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(python);
    command.arg(place::workspace().join("tests/clients/nats_stream.py")).args(arguments);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
