//! The two daemons by their own configuration files, as a service manager starts them.

use std::fs;
use std::process::{Child, Command, Stdio};

use penstock_tests::process::Process;
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::Upstream;
use penstock_tests::{client, place, wait};
use tempfile::TempDir;

const ENTRA: &str = "login.microsoftonline.com";

/// `penstock-control` announces nothing, so it is a plain child.
struct Control(Child);

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_example_configurations_start_both_daemons() {
    let upstream = Upstream::plan().start();
    let directory = TempDir::new().unwrap();
    let root = directory.path();
    // Everything that the examples put elsewhere is here, or beside it by a longer name.
    let here = root.join("here");
    fs::create_dir(&here).unwrap();
    fs::copy(place::example_policy(), here.join("policy.toml")).unwrap();
    let adapt = |name: &str, changes: &[(&str, &str)]| {
        let mut text = place::read(place::workspace().join("deploy/config").join(name));
        for folder in ["/var/lib/penstock", "/run/penstock", "/etc/penstock"] {
            text = text.replace(folder, here.to_str().unwrap());
        }
        for (from, to) in changes {
            assert!(text.contains(from), "{name} has no {from}");
            text = text.replace(from, to);
        }
        fs::write(root.join(name), text).unwrap();
        root.join(name)
    };
    let control = adapt("control.toml", &[("127.0.0.1:7080", "127.0.0.1:0")]);
    let hosts = format!(
        "native_roots = false\nca_files = [\"{}\"]\n[upstream.hosts]\n\"*\" = \"{}\"\n",
        upstream.ca().display(),
        upstream.address()
    );
    let dataplane = adapt("dataplane.toml", &[("127.0.0.1:8080", "127.0.0.1:0"), ("# native_roots = true\n", &hosts)]);
    let log = fs::File::create(root.join("control.log")).unwrap();
    let mut command = Command::new(place::binary("penstock-control"));
    command.arg("--config").arg(control).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let _control = Control(command.spawn().unwrap());
    let mut command = Command::new(place::binary("penstock-dataplane"));
    let process =
        Process::start("penstock-dataplane", command.arg("--config").arg(dataplane), &root.join("dataplane.log"));
    let proxy = process.text("listening").parse().unwrap();
    let root_file = here.join("ca/root.pem");
    // The listener is open before the first policy has come; until then it answers that it is not ready.
    let mut client = wait::until("the first policy", || {
        let mut stream = tunnel::dial(STAFF, proxy);
        let head = format!("CONNECT {ENTRA}:443 HTTP/1.1\r\nHost: {ENTRA}:443\r\n\r\n");
        let granted = tunnel::ask(&mut stream, head.as_bytes()).status == 200;
        (granted && root_file.exists())
            .then(|| client::Client::connect(stream, ENTRA, client::config(&[&root_file])).ok())
            .flatten()
    });
    assert_eq!(client.get(ENTRA, "/").status, 200);
}

#[test]
fn a_configuration_that_is_wrong_names_its_place() {
    let directory = TempDir::new().unwrap();
    for (binary, text, word) in [
        ("penstock-control", "state_directory = 1\n", "state_directory"),
        ("penstock-control", "state_directory = \"/tmp/x\"\nsurprise = 1\n", "surprise"),
        (
            "penstock-dataplane",
            "state_directory = \"/tmp/x\"\n[listen]\nproxy = \"nowhere\"\n[link]\nsocket = \"/tmp/l\"\n",
            "proxy",
        ),
        ("penstock-dataplane", "surprise = 1\n", "surprise"),
    ] {
        let file = directory.path().join("wrong.toml");
        fs::write(&file, text).unwrap();
        let output = Command::new(place::binary(binary)).arg("--config").arg(&file).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success(), "{binary} accepted {text:?}");
        assert!(said.contains(word) && said.contains("wrong.toml"), "{binary}: {said}");
    }
}
