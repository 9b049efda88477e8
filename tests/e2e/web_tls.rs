//! The admin listener by TLS: for browsers and for the operator's command, and refused without it off loopback.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::certificate::TestAuthority;
use penstock_tests::{place, wait};
use tempfile::TempDir;

/// An appliance whose admin listener has a certificate of the authority in `ca.pem`.
fn by_tls(folder: &TempDir) -> Appliance {
    let authority = TestAuthority::new("authority of the admin listener");
    let (certificate, key) = authority.certify_rsa("127.0.0.1");
    let file = |name: &str| folder.path().join(name);
    fs::write(file("ca.pem"), authority.root_pem()).unwrap();
    fs::write(file("admin.pem"), certificate).unwrap();
    fs::write(file("admin.key"), key).unwrap();
    fs::set_permissions(file("admin.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let of = |name: &str, path: &str| [name.to_owned(), file(path).to_str().unwrap().to_owned()];
    let arguments = [of("--admin-certificate", "admin.pem"), of("--admin-key", "admin.key")].concat();
    Setup::default().arguments(arguments).start()
}

#[test]
fn command_and_browser_reach_the_admin_listener_by_tls_and_nobody_without() {
    let folder = TempDir::new().unwrap();
    let appliance = by_tls(&folder);
    let address = appliance.admin_address();
    assert!(address.starts_with("https://127.0.0.1:"), "{address}");
    let ca = folder.path().join("ca.pem");
    let port = address.strip_prefix("https://").unwrap();
    // Whoever says nothing holds up nobody.
    let silent: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(port).unwrap()).collect();
    let listed = appliance.penstock(&["user", "list", "--admin-ca", ca.to_str().unwrap()]);
    assert!(listed.status.success(), "{listed:?}");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("admin"), "{listed:?}");
    drop(silent);
    let refused = appliance.penstock(&["user", "list"]);
    assert_eq!(refused.status.code(), Some(1), "its authority is none of the system's: {refused:?}");
    // In the clear nothing is served, not even a refusal.
    let mut plain = TcpStream::connect(port).unwrap();
    plain.set_read_timeout(Some(wait::LIMIT)).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer));
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1"), "{answer:?}");
}

#[test]
fn the_cookie_of_a_secure_listener_never_leaves_it_in_the_clear() {
    let Some(curl) = place::program("curl") else { return };
    let folder = TempDir::new().unwrap();
    let appliance = by_tls(&folder);
    let log = appliance.log();
    let (_, told) = log.split_once("as admin with the password ").unwrap();
    let password = format!("password={}", told.split_once(' ').unwrap().0);
    let output = Command::new(curl)
        .args(["--silent", "--include", "--noproxy", "*", "--data", "user=admin", "--data-urlencode", &password])
        .arg("--cacert")
        .arg(folder.path().join("ca.pem"))
        .arg(format!("{}/sign-in", appliance.admin_address()))
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&output.stdout).to_lowercase();
    let cookie = answer.lines().find(|line| line.starts_with("set-cookie:")).unwrap_or_default();
    assert!(cookie.starts_with("set-cookie: __host-penstock="), "{answer}");
    assert!(cookie.contains("; secure") && cookie.contains("; httponly; samesite=strict"), "{cookie}");
}

#[test]
fn off_loopback_the_admin_listener_needs_tls_or_a_word() {
    let folder = TempDir::new().unwrap();
    let start = |more: &[&str]| {
        let mut command = Command::new(place::binary("penstock"));
        command.arg("up").arg("--state").arg(folder.path().join("state")).arg("--policy").arg(place::example_policy());
        command.args(["--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0", "--shards", "1"]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let output = start(&[]).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("allow_plaintext_admin"), "{said}");
    let mut allowed = start(&["--allow-plaintext-admin"]);
    let mut line = [0; 14];
    allowed.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"{\"ready\":true,");
    penstock_tests::process::signal(allowed.id(), rustix::process::Signal::TERM);
    assert!(allowed.wait().unwrap().success());
}
