//! Start, stop, and who may share a state directory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::Arc;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::control::{Control, command, policy, until};
use crate::node::Node;

#[test]
fn a_second_daemon_on_the_same_state_refuses_and_the_first_lives_on() {
    let control = Control::start();
    let second = Control::try_start_in(Arc::clone(&control.directory), "").err().expect("a second daemon");
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("control.lock") && said.contains("held by process"), "{said}");
    assert_eq!(control.put_policy(&policy("contoso.com")).status, 200);
    Node::attach(&control, "alpha").state(1);
}

#[test]
fn an_address_that_is_taken_is_named_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = TempDir::new().unwrap();
    let mut start = command(directory.path(), "");
    let config = directory.path().join("control.toml");
    let text = fs::read_to_string(&config).unwrap();
    let address = taken.local_addr().unwrap();
    fs::write(&config, text.replace("127.0.0.1:0", &address.to_string())).unwrap();
    let output = start.output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("Address already in use").count(), 1, "{said}");
    assert!(said.contains(&format!("admin listener {address}")), "{said}");
}

#[test]
fn secrets_are_the_owners_alone_and_open_ones_are_refused() {
    let control = Control::start();
    control.put_policy(&policy("contoso.com"));
    for name in ["", "admin.token", "link.sock", "control.db", "control.db-wal", "ca", "ca/root.key", "ca/issuer.pem"] {
        let mode = fs::metadata(control.state().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
    let token = control.state().join("admin.token");
    let directory = control.kill();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = Control::try_start_in(directory, "").err().expect("an open token");
    assert!(String::from_utf8(refused.stderr).unwrap().contains("chmod 600"));
}

#[test]
fn sigterm_ends_it_with_0_and_takes_the_socket_away() {
    let mut control = Control::start();
    let node = Node::attach(&control, "alpha");
    assert!(control.state().join("link.sock").exists());
    control.signal(Signal::TERM);
    assert_eq!(control.ended().code(), Some(0));
    assert!(!control.state().join("link.sock").exists());
    node.let_go();
}

#[test]
fn it_ends_with_its_parent_when_told_so() {
    let directory = TempDir::new().unwrap();
    let mut child = command(directory.path(), "")
        .arg("--exit-with-parent")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the link", || directory.path().join("state/link.sock").exists().then_some(()));
    assert!(child.try_wait().unwrap().is_none());
    drop(child.stdin.take());
    let status = until("the daemon's end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_second_node_of_one_name_speaks_for_it_until_it_leaves() {
    let control = Control::start();
    control.put_policy(&policy("contoso.com"));
    let first = Node::attach(&control, "alpha");
    first.state(1);
    let second = Node::attach(&control, "alpha");
    second.state(1);
    let nodes = || control.get("/nodes").json()["nodes"].as_array().unwrap().clone();
    assert_eq!(nodes().len(), 1);
    assert_eq!(control.put_policy(&policy("fabrikam.com")).status, 200);
    first.state(2);
    second.state(2);
    drop(second);
    until("the first to speak again", || (nodes()[0]["attached"] == true && nodes()[0]["epoch"] == 2).then_some(()));
    assert_eq!(nodes().len(), 1);
}
