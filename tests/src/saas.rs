//! `penstock-saas`, the simulated sign-in endpoints: one TLS port for all host names.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::network::{Network, Place};
use crate::place;
use crate::process::Process;

/// A running `penstock-saas`.
pub struct Saas {
    process: Process,
    directory: TempDir,
}

impl Saas {
    /// Starts it on a free port.
    pub fn start() -> Self {
        Self::run(Command::new(place::binary("penstock-saas")), "127.0.0.1:0")
    }

    /// Starts it on port 443 of every outside address.
    pub fn start_outside(network: &Network) -> Self {
        Self::run(network.command(Place::Outside, place::binary("penstock-saas")), "[::]:443")
    }

    fn run(mut command: Command, listen: &str) -> Self {
        let directory = TempDir::new().unwrap();
        command.args(["--listen", listen, "--ca-out"]).arg(directory.path().join("saas-ca.pem"));
        let process = Process::start("penstock-saas", &mut command, &directory.path().join("saas.log"));
        Self { process, directory }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process.text("listen").parse().unwrap()
    }

    /// The certificate of its authority.
    pub fn ca(&self) -> PathBuf {
        self.directory().join("saas-ca.pem")
    }

    fn directory(&self) -> &Path {
        self.directory.path()
    }
}
