//! HAProxy in front of the appliance, as a balancer that says by the PROXY protocol whom it speaks for.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{place, wait};

/// A running HAProxy with one listener in front of one server.
pub struct Haproxy {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

/// The address from which it dials the appliance.
pub const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

impl Haproxy {
    /// Starts it before `server`, whose line gets `options`; `None` where there is no HAProxy.
    pub fn start(server: SocketAddr, options: &str) -> Option<Self> {
        let haproxy = [place::program("haproxy"), Some("/usr/sbin/haproxy".into())].into_iter().flatten().next()?;
        let directory = TempDir::new().unwrap();
        // An address of its own on the loopback network: no test listens there, and no port is handed out there.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let address = SocketAddr::from(([127, 77, high, low.max(1)], 8080));
        let file = directory.path().join("haproxy.cfg");
        let configuration = format!(
            "global\n    nbthread 1\n    maxconn 100\ndefaults\n    mode tcp\n    timeout connect 10s\n    timeout client 1m\n    \
             timeout server 1m\nlisten front\n    bind {address}\n    unique-id-format id-%rt\n    source {BALANCER}\n    \
             server appliance {server} {options}\n"
        );
        fs::write(&file, configuration).unwrap();
        let mut command = Command::new(haproxy);
        command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null());
        let child = command.spawn().unwrap();
        let it = Self { child, address, _directory: directory };
        wait::until("HAProxy to listen", || TcpStream::connect(it.address).ok());
        Some(it)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
