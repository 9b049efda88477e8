//! A Chromium of the test's own, with the roots that it is to trust and whatever it remembers from one run
//! to the next.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::network::{Network, Place};
use crate::place;

/// A home directory with a database of roots, and a profile.
pub struct Chromium {
    home: TempDir,
}

impl Chromium {
    /// One that trusts these roots for web sites; `None` where it is not installed.
    pub fn trusting(roots: &[&Path]) -> Option<Self> {
        let _ = (place::program("chromium")?, place::python()?);
        let home = TempDir::new().unwrap();
        roots.iter().try_for_each(|root| trust(home.path(), root))?;
        Some(Self { home })
    }

    /// Opens addresses one after the other, knowing of no proxy; with a `+` in front, the page before fetches them. With more
    /// flags. What became of each is in that order; see `tests/clients/chromium.js`.
    pub fn open(&self, network: &Network, addresses: &[&str], flags: &[&str]) -> Vec<Value> {
        let command = network.command(Place::Inside, environment().join("bin/node"));
        self.run(command, addresses, &[&["--no-proxy-server"], flags].concat())
    }

    /// The same outside any network, through a proxy.
    pub fn open_through(&self, proxy: SocketAddr, addresses: &[&str]) -> Vec<Value> {
        let flag = format!("--proxy-server=http://{proxy}");
        self.run(Command::new(environment().join("bin/node")), addresses, &[&flag])
    }

    fn run(&self, mut command: Command, addresses: &[&str], flags: &[&str]) -> Vec<Value> {
        command.env("NODE_PATH", environment().join("node/node_modules")).env("HOME", self.home.path());
        command.arg(place::workspace().join("tests/clients/chromium.js"));
        command.arg(place::program("chromium").unwrap()).arg(self.home.path().join("profile"));
        let output = command.args(addresses).args(flags).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Has a script of `tests/clients` drive a Chromium of its own: its arguments are Chromium's path and the folder for pictures,
/// then these. Each line of its standard output asks for something, and goes on when `answer` has done it.
pub fn drive(script: &str, arguments: &[&str], mut answer: impl FnMut(&str)) -> Option<()> {
    let (program, _) = (place::program("chromium")?, place::python()?);
    let folder = environment().parent().unwrap().join("web-pages");
    fs::create_dir_all(&folder).unwrap();
    let mut node = Command::new(environment().join("bin/node"))
        .env("NODE_PATH", environment().join("node/node_modules"))
        .arg(place::workspace().join("tests/clients").join(script))
        .args([&program, &folder])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answers = node.stdin.take().unwrap();
    for question in BufReader::new(node.stdout.take().unwrap()).lines() {
        answer(&question.unwrap());
        writeln!(answers, "done").unwrap();
    }
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(())
}

/// Where the clients' packages are.
pub(crate) fn environment() -> PathBuf {
    place::python().unwrap().parent().unwrap().parent().unwrap().to_path_buf()
}

/// Adds a root to the database that Chromium reads below a home directory, as an authority for web sites. `None` without
/// `certutil`.
pub fn trust(home: &Path, root: &Path) -> Option<()> {
    let certutil = place::program("certutil")?;
    let database = home.join(".pki/nssdb");
    let name = format!("sql:{}", database.display());
    let call = |arguments: &[&str]| {
        let output = Command::new(&certutil).args(["-d", &name]).args(arguments).output().unwrap();
        assert!(output.status.success(), "certutil {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    if !database.exists() {
        fs::create_dir_all(&database).unwrap();
        call(&["-N", "--empty-password"]);
    }
    let root = root.to_str().unwrap();
    call(&["-A", "-t", "C,,", "-n", root, "-i", root]);
    Some(())
}
