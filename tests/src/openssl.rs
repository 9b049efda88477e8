//! OpenSSL's own server and client, as the other side of our legs.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

use crate::certificate::TestAuthority;
use crate::{place, wait};

/// `openssl s_server` with an RSA certificate for one name. It prints what it receives, and sends what it is told.
pub struct OpensslServer {
    child: Child,
    stdin: ChildStdin,
    said: Arc<Mutex<String>>,
    address: SocketAddr,
    directory: TempDir,
}

impl OpensslServer {
    /// Starts it for `name` with more `arguments`; `None` where there is no OpenSSL.
    pub fn start(name: &str, arguments: &[&str]) -> Option<Self> {
        let openssl = place::program("openssl")?;
        let directory = TempDir::new().unwrap();
        let file = |name: &str| directory.path().join(name);
        let authority = TestAuthority::new("authority of OpenSSL");
        let (certificate, key) = authority.certify_rsa(name);
        fs::write(file("ca.pem"), authority.root_pem()).unwrap();
        fs::write(file("certificate.pem"), certificate).unwrap();
        fs::write(file("key.pem"), key).unwrap();
        let mut command = Command::new(openssl);
        command.args(["s_server", "-accept", "127.0.0.1:0"]).args(arguments);
        command.arg("-cert").arg(file("certificate.pem")).arg("-key").arg(file("key.pem"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "openssl s_server {arguments:?} ended");
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                break address.trim().parse().unwrap();
            }
        };
        let said = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&said);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = lines.read(&mut bytes) {
                copy.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Some(Self { child, stdin, said, address, directory })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its authority's root, in PEM.
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// What it printed so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it printed `text`.
    pub fn await_text(&self, text: &str) -> String {
        wait::until(&format!("openssl s_server to print {text:?}"), || {
            let said = self.said();
            said.contains(text).then_some(said)
        })
    }

    /// Sends bytes on the connection that it has.
    pub fn send(&mut self, bytes: &str) {
        self.stdin.write_all(bytes.as_bytes()).and_then(|()| self.stdin.flush()).unwrap();
    }
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `openssl s_client` with `arguments`, gives it `input` and then the end of its input once `until` was printed;
/// `None` where there is no OpenSSL.
pub fn client(arguments: &[&str], input: &str, until: &str) -> Option<Output> {
    let mut command = Command::new(place::program("openssl")?);
    command.arg("s_client").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdin.write_all(input.as_bytes()).and_then(|()| stdin.flush()).unwrap();
    let mut printed = Vec::new();
    let mut bytes = [0; 4096];
    while !String::from_utf8_lossy(&printed).contains(until) {
        match stdout.read(&mut bytes) {
            Ok(count @ 1..) => printed.extend_from_slice(&bytes[..count]),
            _ => break,
        }
    }
    drop(stdin);
    let _ = stdout.read_to_end(&mut printed);
    let mut output = child.wait_with_output().unwrap();
    output.stdout = printed;
    Some(output)
}
