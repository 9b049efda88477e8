//! Under a service manager: it is told of the daemon's life, and its socket is served.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::control::{LIMIT, command, until};

/// The daemon's command behind a shell that hands `sockets` over as systemd does: from descriptor 3 on.
fn handed(directory: &Path, sockets: &str) -> Command {
    let plain = command(directory, "");
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(format!("{sockets} LISTEN_PID=$$ exec \"$0\" \"$@\"")).arg(plain.get_program());
    shell.args(plain.get_args()).stdin(Stdio::null());
    shell
}

fn stop(child: &mut Child) {
    kill_process(Pid::from_child(child), Signal::TERM).unwrap();
    let status = until("the daemon's end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn it_says_ready_alive_and_stopping() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    let mut start = command(directory.path(), "");
    start.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000").stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = start.spawn().unwrap();
    let heard = || {
        let mut datagram = [0; 1024];
        let count = manager.recv(&mut datagram).unwrap();
        String::from_utf8(datagram[..count].to_vec()).unwrap()
    };
    let first = heard();
    assert!(first.contains("READY=1") && first.contains("STATUS=Serving"), "{first}");
    assert!(directory.path().join("state/link.sock").exists(), "ready before it listens");
    for _ in 0..3 {
        assert_eq!(heard().trim(), "WATCHDOG=1");
    }
    stop(&mut child);
    until("the word that it stops", || (heard().trim() == "STOPPING=1").then_some(()));
}

#[test]
fn a_socket_that_is_handed_over_is_served_and_left_there() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("link-of-the-manager.sock");
    let listener = UnixListener::bind(&path).unwrap();
    // In the queue before anybody serves, as a data plane that starts first.
    let early = UnixStream::connect(&path).unwrap();
    let mut start = handed(directory.path(), "exec 3<&0 </dev/null; LISTEN_FDS=1");
    let mut child = start
        .stdin(OwnedFd::from(listener.try_clone().unwrap()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.contains("\"admin\""), "{ready}");
    assert!(!directory.path().join("state/link.sock").exists(), "a socket of its own beside the manager's");
    // The server opens HTTP/2 by its settings.
    early.set_read_timeout(Some(LIMIT)).unwrap();
    let mut early = early;
    std::io::Write::write_all(&mut early, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut frame = [0; 9];
    std::io::Read::read_exact(&mut early, &mut frame).unwrap();
    assert_eq!(frame[3], 4, "a SETTINGS frame: {frame:?}");
    drop(early);
    stop(&mut child);
    assert!(fs::symlink_metadata(&path).is_ok(), "the manager's file is gone");
}

#[test]
fn what_is_no_socket_for_the_link_is_refused() {
    let refused = |sockets: &str| -> Output {
        let directory = TempDir::new().unwrap();
        handed(directory.path(), sockets).output().unwrap()
    };
    for (sockets, word) in [
        ("exec 3</dev/null; LISTEN_FDS=1", "no Unix socket"),
        ("exec 3</dev/null 4</dev/null; LISTEN_FDS=2", "passed 2 sockets"),
    ] {
        let output = refused(sockets);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(word), "{said}");
    }
}
