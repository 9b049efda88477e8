//! Squid as the parent proxy of an organisation: it asks for Basic credentials and opens tunnels to one origin.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{place, wait};

/// A running Squid.
pub struct Squid {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Squid {
    /// Starts it for the user `alice` with the password `secret`; every name of `hosts` is at that address, where tunnels
    /// may go to `port`. `None` where there is no Squid.
    pub fn start(hosts: &[(&str, Ipv4Addr)], port: u16) -> Option<Self> {
        let squid =
            [place::program("squid"), Some("/usr/sbin/squid".into())].into_iter().flatten().find(|it| it.exists())?;
        let helper = Path::new("/usr/lib/squid/basic_ncsa_auth");
        let directory = TempDir::new().unwrap();
        // Squid gives up root for a user of its own.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let path = |name: &str| directory.path().join(name);
        let hash = Command::new("openssl").args(["passwd", "-apr1", "secret"]).output().unwrap();
        fs::write(path("users"), format!("alice:{}", String::from_utf8_lossy(&hash.stdout))).unwrap();
        let names: String = hosts.iter().map(|(name, address)| format!("{address} {name}\n")).collect();
        fs::write(path("hosts"), names).unwrap();
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let address = SocketAddr::from(([127, 78, high, low.max(1)], 3128));
        let home = directory.path().display();
        let configuration = format!(
            "http_port {address}\nvisible_hostname parent\npid_filename none\ncoredump_dir {home}\n\
             cache deny all\naccess_log none\ncache_log {home}/cache.log\nhosts_file {home}/hosts\n\
             auth_param basic program {helper} {home}/users\nauth_param basic children 1\n\
             acl known proxy_auth REQUIRED\nacl wanted port {port}\n\
             http_access deny !wanted\nhttp_access allow known\nhttp_access deny all\nshutdown_lifetime 0\n",
            helper = helper.display(),
        );
        fs::write(path("squid.conf"), configuration).unwrap();
        let mut command = Command::new(squid);
        command.args(["-N", "-f"]).arg(path("squid.conf")).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let it = Self { child, address, directory };
        wait::until("Squid to listen", || TcpStream::connect(it.address).ok());
        Some(it)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it logged.
    pub fn log(&self) -> String {
        place::read(self.directory.path().join("cache.log"))
    }
}

impl Drop for Squid {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
