//! The Debian package: built by its one command, sound, and on a fresh Debian under systemd what an operator expects.
//!
//! From the binaries that the other tests use, so that nothing is built for it; stripped and packed as a release is.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use penstock_tests::place;
use rustix::process::geteuid;
use tempfile::TempDir;

#[test]
fn the_package_is_whole_and_sound() {
    let directory = TempDir::new().unwrap();
    let Some(package) = package(directory.path()) else { return };
    let contents = said(Command::new("dpkg-deb").arg("--contents").arg(&package));
    for file in [
        "./usr/bin/penstock",
        "./usr/bin/penstock-control",
        "./usr/bin/penstock-dataplane",
        "./lib/systemd/system/penstock-control.service",
        "./lib/systemd/system/penstock-control.socket",
        "./lib/systemd/system/penstock-dataplane.service",
        "./lib/systemd/system/penstock-nft.service",
        "./usr/lib/sysusers.d/penstock.conf",
        "./etc/penstock/control.toml",
        "./etc/penstock/dataplane.toml",
        "./etc/penstock/nft.conf",
        "./etc/penstock/policy.toml",
        "./usr/share/doc/penstock/copyright",
        "./usr/share/penstock/prometheus/alerts.yml",
        "./usr/share/penstock/grafana/penstock-overview.json",
        "./usr/share/man/man1/penstock.1.gz",
        "./usr/share/man/man1/penstock-policy-apply.1.gz",
        "./usr/share/man/man8/penstock-control.8.gz",
        "./usr/share/man/man8/penstock-dataplane.8.gz",
        "./usr/share/man/man8/penstock-nft.8.gz",
        "./usr/share/bash-completion/completions/penstock",
        "./usr/share/fish/vendor_completions.d/penstock.fish",
        "./usr/share/zsh/vendor-completions/_penstock",
    ] {
        assert!(contents.lines().any(|line| line.ends_with(&format!(" {file}"))), "no {file} in:\n{contents}");
    }
    for line in contents.lines() {
        assert!(line.contains(" root/root "), "not root's: {line}");
        let open = line.as_bytes()[8] == b'w' && !line.starts_with('l');
        assert!(!open, "anybody may write: {line}");
    }
    let info = said(Command::new("dpkg-deb").arg("--info").arg(&package));
    for word in ["Depends: ", "libc6 (>= ", "ca-certificates", "conffiles", "postinst", "prerm", "postrm"] {
        assert!(info.contains(word), "no {word} in:\n{info}");
    }
    assert!(!info.contains('@') || info.contains("maintainers@"), "a placeholder is left: {info}");
    let Some(lintian) = place::program("lintian") else { return };
    let found = said(Command::new(lintian).args(["--fail-on", "error", "--allow-root"]).arg(&package));
    assert!(!found.contains("E: "), "{found}");
    assert!(!found.contains("manual-page") && !found.contains("groff"), "{found}");
}

/// `deploy/deb/try` installs, removes and purges in a folder, and again under systemd in a container, where both daemons
/// must serve, survive a crash and go away.
#[test]
fn the_package_installs_serves_and_goes_away() {
    let directory = TempDir::new().unwrap();
    let Some(package) = package(directory.path()) else { return };
    if !geteuid().is_root() {
        assert!(!place::strict(), "root is needed to install a package into a folder");
        let _ = writeln!(std::io::stderr(), "left out: installing a package needs root");
        return;
    }
    if ["debootstrap", "systemd-nspawn"].iter().any(|name| tool(name).is_none()) {
        return;
    }
    let base = place::binary("penstock").ancestors().nth(2).unwrap().join("tests-debian.tar");
    let mut command = Command::new(place::workspace().join("deploy/deb/try"));
    let output = run(command.arg(&package).arg("--base").arg(base));
    let words = text(&output);
    assert!(output.status.success() && words.lines().any(|line| line == "all is well"), "{words}");
}

/// Root's programs are not on everybody's PATH.
fn tool(name: &str) -> Option<PathBuf> {
    let sbin = Path::new("/usr/sbin").join(name);
    if sbin.exists() { Some(sbin) } else { place::program(name) }
}

/// The package, built quickly; `None` where the run leaves out what takes long, or a tool is missing.
fn package(directory: &Path) -> Option<PathBuf> {
    if place::quick() {
        return None;
    }
    place::program("dpkg-shlibdeps")?;
    let binary = place::binary("penstock-dataplane");
    for name in ["penstock", "penstock-control"] {
        assert_eq!(place::binary(name).parent(), binary.parent());
    }
    let mut command = Command::new(place::workspace().join("deploy/deb/build"));
    command.arg("--binaries").arg(binary.parent().unwrap()).arg("--out").arg(directory).args(["--compression", "0"]);
    let output = run(&mut command);
    assert!(output.status.success(), "{}", text(&output));
    let path = PathBuf::from(String::from_utf8(output.stdout).unwrap().lines().last().unwrap());
    assert!(path.exists(), "{}", path.display());
    Some(path)
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn said(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    text(&output)
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
